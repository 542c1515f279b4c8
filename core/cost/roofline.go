package cost

import (
	"errors"
	"fmt"
	"time"
)

// Roofline estimates a latency profile from the data sheet of a GPU and the
// matrices of a model, where no profile was measured. Each phase takes the
// longer of moving its bytes and doing its operations (Williams, Waterman,
// Patterson: Roofline, CACM 2009), plus what the GPUs tell each other. The
// counts are those of Pope et al., Efficiently Scaling Transformer Inference
// (2022), and Kaplan et al., Scaling Laws (2020), section 2.1.
//
// With b bytes an element, W weights a layer, S tokens a prompt, K tokens of
// context, h heads of width d, k KV heads, t GPUs, n requests:
//
//	decode  = max( (W*b/t + n*K*2*d*ceil(k/t)*b) / (bandwidth*Memory),
//	               n*(2*W + 4*K*h*d)/t / (peak*Compute) )
//	          + 2*allReduce(n*hidden*b) + LayerOverhead + output projection / layers
//	prefill = max( n*S*(2*W + 4*S*h*d)/t / (peak*Compute),
//	               (W*b/t + n*S*2*d*ceil(k/t)*b) / (bandwidth*Memory) )
//	          + 2*allReduce(n*S*hidden*b) + LayerOverhead
//
// A weight costs two operations a token, a key and a value two each a head
// element. The mask of causal attention saves nothing, as in engines that
// multiply whole matrices. Traffic of activations inside a layer is not
// counted.
type Roofline struct {
	GPU          GPU
	Architecture Architecture
	Links        Links
	Efficiencies Efficiencies
	// DecodeContext is K, the tokens of a sequence whose KV cache an iteration
	// reads; 0: those of the prompt, as in the measured profiles.
	DecodeContext int
}

// Efficiencies say how much of a data sheet a real engine gets.
type Efficiencies struct {
	Compute       float64       // share of the peak FLOP/s in matrix products of a prefill
	Memory        float64       // share of the memory bandwidth when weights and KV cache stream
	Link          float64       // share of a link's rate in a collective
	LayerOverhead time.Duration // launches of a layer's kernels
}

// DefaultEfficiencies are general knowledge about engines of this kind and
// fitted to no profile: large matrix products reach some 60 % of the peak,
// streams some 80 % of the bandwidth, NCCL some 80 % of a link; a layer is some
// ten kernels of 5 us to launch. docs/fidelity.md has their errors.
func DefaultEfficiencies() Efficiencies {
	return Efficiencies{Compute: 0.6, Memory: 0.8, Link: 0.8, LayerOverhead: 50 * time.Microsecond}
}

// RooflineFixFactor is end to end over summed layers in an estimated profile.
// Measured ones have 1.06 to 1.1 and count the output projection in it, which an
// estimated profile has in its rows.
const RooflineFixFactor = 1.05

const (
	maxProfileTensor = 1 << 10
	maxProfileBatch  = 1 << 12
	maxProfileTokens = 1 << 20
)

// Check returns everything that no profile can be estimated from.
func (r Roofline) Check() error {
	var errs []error
	for _, e := range []struct {
		name  string
		value float64
	}{{"compute", r.Efficiencies.Compute}, {"memory", r.Efficiencies.Memory}, {"link", r.Efficiencies.Link}} {
		if !(e.value > 0 && e.value <= 1) {
			errs = append(errs, fmt.Errorf("%s efficiency is %v, allowed is above 0 up to 1", e.name, e.value))
		}
	}
	if r.Efficiencies.LayerOverhead < 0 {
		errs = append(errs, fmt.Errorf("layer overhead is %s, allowed is 0 and above", r.Efficiencies.LayerOverhead))
	}
	if k := r.DecodeContext; k < 0 || k > maxProfileTokens {
		errs = append(errs, fmt.Errorf("decode context is %d tokens, allowed is 0 (the prompt's) to %d", k, maxProfileTokens))
	}
	return errors.Join(append(errs, r.GPU.Check(), r.Architecture.Check(), r.Links.Check())...)
}

// Profile estimates the latencies for prompts of promptTokens, tensor degrees 1,
// 2, 4 up to maxTensor, and batches 1, 2, 4 up to the first that holds maxBatch.
// It has the form and the units of a measured profile. maxTensor has to be a
// power of two that divides the heads and the feed-forward width
// (Architecture.MaxTensor).
func (r Roofline) Profile(promptTokens, maxTensor, maxBatch int) (Profile, error) {
	if err := r.Check(); err != nil {
		return Profile{}, err
	}
	if promptTokens < 1 || promptTokens > maxProfileTokens {
		return Profile{}, fmt.Errorf("prompt of %d tokens, allowed is 1 to %d", promptTokens, maxProfileTokens)
	}
	if maxBatch < 1 || maxBatch > maxProfileBatch {
		return Profile{}, fmt.Errorf("largest batch is %d, allowed is 1 to %d", maxBatch, maxProfileBatch)
	}
	most := min(r.Architecture.MaxTensor(), maxProfileTensor)
	if maxTensor < 1 || maxTensor > most || maxTensor&(maxTensor-1) != 0 {
		return Profile{}, fmt.Errorf("tensor degree %d of model %s, allowed are powers of two from 1 to %d, which share its %d heads and its FFN width %d evenly",
			maxTensor, r.Architecture.Name, most, r.Architecture.Heads, r.Architecture.FFN)
	}
	prompt, border := float64(promptTokens), r.Links.Inter
	p := Profile{
		Name:         r.GPU.Name + "-" + r.Architecture.Name + "-roofline",
		GPU:          r.GPU.Name,
		PromptTokens: promptTokens,
		FixFactor:    RooflineFixFactor,
		PrefillComm:  1e3 * r.transfer(border, prompt*r.token()),
		DecodeComm:   1e3 * r.transfer(border, r.token()),
		MaxTensor:    maxTensor,
	}
	batches := 1 // of which the last holds maxBatch
	for 1<<(batches-1) < maxBatch {
		batches++
	}
	for i := range batches {
		p.Embed = append(p.Embed, 1e3*r.embed(float64(int(1)<<i), prompt))
	}
	for tensor := 1; tensor <= maxTensor; tensor *= 2 {
		t := TensorProfile{Tensor: tensor}
		for i := range batches {
			n := float64(int(1) << i)
			t.Rows = append(t.Rows, PhaseLatency{
				Batch: 1 << i, Prefill: 1e3 * r.prefill(tensor, n, prompt), Decode: 1e3 * r.decode(tensor, n, prompt),
			})
		}
		p.Tensors = append(p.Tensors, t)
	}
	return p, nil
}

// prefill is one layer's pass over n prompts on t GPUs, in seconds.
func (r Roofline) prefill(t int, n, prompt float64) float64 {
	a, share := r.Architecture, float64(t)
	weights := float64(a.LayerParameters())
	operations := n * prompt * (2*weights + 4*prompt*float64(a.Heads*a.HeadDim)) / share
	bytes := weights*r.width()/share + n*prompt*r.kvToken(t)
	return r.longer(operations, bytes) + 2*r.allReduce(t, n*prompt*r.token()) + r.Efficiencies.LayerOverhead.Seconds()
}

// decode is one layer's pass over one token of each of n requests on t GPUs, in
// seconds. A profile has no place for the output projection of an iteration, so
// each layer carries its share of it.
func (r Roofline) decode(t int, n, prompt float64) float64 {
	a, share, context := r.Architecture, float64(t), prompt
	if r.DecodeContext > 0 {
		context = float64(r.DecodeContext)
	}
	weights := float64(a.LayerParameters())
	operations := n * (2*weights + 4*context*float64(a.Heads*a.HeadDim)) / share
	bytes := weights*r.width()/share + n*context*r.kvToken(t)
	return r.longer(operations, bytes) + r.projection(t, n)/float64(a.Layers) +
		2*r.allReduce(t, n*r.token()) + r.Efficiencies.LayerOverhead.Seconds()
}

// embed is half of the embedding of n prompts and the projection of their first
// tokens, in seconds, on one GPU: the latency model counts it twice a batch.
func (r Roofline) embed(n, prompt float64) float64 {
	lookup := r.longer(0, 2*n*prompt*r.token()) // read a row, write it
	return (lookup + r.projection(1, n)) / 2
}

// projection is the product of n hidden states with the vocabulary's matrix on t
// GPUs, in seconds.
func (r Roofline) projection(t int, n float64) float64 {
	weights := float64(r.Architecture.vocabularyParameters()) / float64(t)
	return r.longer(2*n*weights, weights*r.width())
}

// longer is the time of the scarcer resource of one GPU, in seconds.
func (r Roofline) longer(operations, bytes float64) float64 {
	return max(operations/(r.GPU.Peak(r.Architecture.BytesPerElement)*r.Efficiencies.Compute),
		bytes/(r.GPU.MemoryBytesPerSecond*r.Efficiencies.Memory))
}

// allReduce is the sum of one tensor of so many bytes over t GPUs by a ring, in
// seconds: 2(t-1) steps, each of a t-th of the tensor (Patarasuk and Yuan 2009).
// A ring that visits node after node crosses each node's border once, so where
// one node is too small the network's rate bounds every step.
func (r Roofline) allReduce(t int, bytes float64) float64 {
	if t == 1 {
		return 0
	}
	link := r.Links.Intra
	if t > r.Links.GPUsPerNode {
		link.BytesPerSecond = min(link.BytesPerSecond, r.Links.Inter.BytesPerSecond)
		link.Latency = max(link.Latency, r.Links.Inter.Latency)
	}
	return float64(2*(t-1)) * r.transfer(link, bytes/float64(t))
}

// transfer is a message over a link, in seconds.
func (r Roofline) transfer(link Link, bytes float64) float64 {
	return link.Latency.Seconds() + bytes/(link.BytesPerSecond*r.Efficiencies.Link)
}

// token is the bytes of one token's hidden state.
func (r Roofline) token() float64 { return float64(r.Architecture.Hidden) * r.width() }

// kvToken is the bytes of one token's KV cache in one layer on one of t GPUs. A
// KV head is never split: with fewer of them than GPUs each GPU keeps one.
func (r Roofline) kvToken(t int) float64 {
	heads := (r.Architecture.KVHeads + t - 1) / t
	return float64(2*heads*r.Architecture.HeadDim) * r.width()
}

func (r Roofline) width() float64 { return float64(r.Architecture.BytesPerElement) }
