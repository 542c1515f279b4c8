package cost

import (
	"errors"
	"fmt"
)

// Architecture is a decoder-only transformer by its matrices: what the sizes of
// Model follow from, and what a Roofline counts. Biases, norms and position
// embeddings are left out: they are less than a thousandth of the weights.
type Architecture struct {
	Name            string
	Layers          int
	Hidden          int  // width of the residual stream
	Heads           int  // query heads
	KVHeads         int  // key and value heads: Heads, or less with grouped queries
	HeadDim         int  // width of a head
	FFN             int  // inner width of the feed-forward block
	Gated           bool // three matrices of Hidden x FFN (SwiGLU) instead of two
	Vocabulary      int  // tokens
	TiedEmbeddings  bool // one matrix embeds tokens and projects to them
	BytesPerElement int  // of weights, activations and KV cache: 4, 2 or 1
}

// LayerParameters counts the weights of one layer: query, key, value and output
// projections, and the feed-forward block.
func (a Architecture) LayerParameters() int64 {
	hidden, head := int64(a.Hidden), int64(a.HeadDim)
	attention := 2*hidden*head*int64(a.Heads) + 2*hidden*head*int64(a.KVHeads)
	matrices := int64(2)
	if a.Gated {
		matrices = 3
	}
	return attention + matrices*hidden*int64(a.FFN)
}

// vocabularyParameters counts the weights of the embedding, and of the output
// projection.
func (a Architecture) vocabularyParameters() int64 { return int64(a.Vocabulary) * int64(a.Hidden) }

// Parameters counts all weights.
func (a Architecture) Parameters() int64 {
	matrices := int64(2)
	if a.TiedEmbeddings {
		matrices = 1
	}
	return int64(a.Layers)*a.LayerParameters() + matrices*a.vocabularyParameters()
}

// WeightBytes is the memory of all weights.
func (a Architecture) WeightBytes() int64 { return a.Parameters() * int64(a.BytesPerElement) }

// KVBytesPerToken is the KV cache that one token leaves behind over all layers:
// key and value of every KV head.
func (a Architecture) KVBytesPerToken() int64 {
	return 2 * int64(a.Layers) * int64(a.KVHeads) * int64(a.HeadDim) * int64(a.BytesPerElement)
}

// MaxTensor is the largest power of two that the heads and the feed-forward
// width divide by: tensor parallelism gives each GPU whole heads (Megatron-LM,
// Shoeybi et al. 2019). 0 if either is not positive.
func (a Architecture) MaxTensor() int {
	if a.Heads <= 0 || a.FFN <= 0 {
		return 0
	}
	t := 1
	for a.Heads%(2*t) == 0 && a.FFN%(2*t) == 0 {
		t *= 2
	}
	return t
}

// Model is the transformer as the planner sees it. Pipelines may have any depth
// that divides its layers.
func (a Architecture) Model() Model {
	return Model{
		Name: a.Name, Layers: a.Layers, PaddedLayers: a.Layers, Hidden: a.Hidden,
		WeightBytes: a.WeightBytes(), KVBytesPerToken: a.KVBytesPerToken(),
	}
}

// Check returns every dimension that cannot be.
func (a Architecture) Check() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value int
		limit int
	}{
		{"layers", a.Layers, 10_000}, {"hidden", a.Hidden, 1 << 20}, {"heads", a.Heads, 1 << 14},
		{"KV heads", a.KVHeads, 1 << 14}, {"head dimension", a.HeadDim, 1 << 14}, {"FFN width", a.FFN, 1 << 22},
		{"vocabulary", a.Vocabulary, 1 << 24},
	} {
		if d.value < 1 || d.value > d.limit {
			errs = append(errs, fmt.Errorf("model %s: %s is %d, allowed is 1 to %d", a.Name, d.name, d.value, d.limit))
		}
	}
	if b := a.BytesPerElement; b != 1 && b != 2 && b != 4 {
		errs = append(errs, fmt.Errorf("model %s: bytes per element is %d, allowed are 4, 2 and 1", a.Name, b))
	}
	if a.Heads > 0 && a.KVHeads > 0 && a.Heads%a.KVHeads != 0 {
		errs = append(errs, fmt.Errorf("model %s: %d heads do not share %d KV heads evenly", a.Name, a.Heads, a.KVHeads))
	}
	return errors.Join(errs...)
}
