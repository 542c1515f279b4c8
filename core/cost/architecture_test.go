package cost_test

import (
	"math"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
)

// llama7B is Llama 2 7B in FP16.
func llama7B() cost.Architecture {
	return cost.Architecture{
		Name: "llama-2-7b", Layers: 32, Hidden: 4096, Heads: 32, KVHeads: 32, HeadDim: 128, FFN: 11008, Gated: true,
		Vocabulary: 32_000, BytesPerElement: 2,
	}
}

// TestParametersOfKnownModels compares with the counts that the models' cards
// state, which include norms, biases and position embeddings.
func TestParametersOfKnownModels(t *testing.T) {
	for _, tt := range []struct {
		architecture cost.Architecture
		billions     float64
	}{
		{llama7B(), 6.738},
		{cost.Architecture{Layers: 80, Hidden: 8192, Heads: 64, KVHeads: 8, HeadDim: 128, FFN: 28672, Gated: true, Vocabulary: 32_000}, 68.98},
		{cost.Architecture{Layers: 32, Hidden: 4096, Heads: 32, KVHeads: 8, HeadDim: 128, FFN: 14336, Gated: true, Vocabulary: 128_256}, 8.030},
		{cost.Architecture{Layers: 48, Hidden: 7168, Heads: 56, KVHeads: 56, HeadDim: 128, FFN: 28672, Vocabulary: 50_272, TiedEmbeddings: true}, 29.97},
	} {
		if got := float64(tt.architecture.Parameters()) / 1e9; math.Abs(got/tt.billions-1) > 0.002 {
			t.Errorf("%+v has %.3f billion weights, want %.3f", tt.architecture, got, tt.billions)
		}
	}
}

func TestArchitectureByHand(t *testing.T) {
	a := cost.Architecture{Name: "small", Layers: 3, Hidden: 10, Heads: 4, KVHeads: 2, HeadDim: 5, FFN: 28, Gated: true, Vocabulary: 100, BytesPerElement: 2}
	// Query and output 10 x 20 each, key and value 10 x 10 each, three of 10 x 28.
	const layer = 2*200 + 2*100 + 3*280
	if got := a.LayerParameters(); got != layer {
		t.Errorf("a layer has %d weights, want %d", got, layer)
	}
	want := cost.Model{
		Name: "small", Layers: 3, PaddedLayers: 3, Hidden: 10,
		WeightBytes: 2 * (3*layer + 2*1000), KVBytesPerToken: 2 * 3 * 2 * 5 * 2,
	}
	if got := a.Model(); got != want {
		t.Errorf("model %+v, want %+v", got, want)
	}
	if got := a.MaxTensor(); got != 4 {
		t.Errorf("largest tensor degree %d, want 4: 4 heads, a width of 4*7", got)
	}
	a.TiedEmbeddings, a.Gated = true, false
	if got, want := a.WeightBytes(), int64(2*(3*(layer-280)+1000)); got != want {
		t.Errorf("tied and not gated: %d bytes, want %d", got, want)
	}
	if got := (cost.Architecture{}).MaxTensor(); got != 0 {
		t.Errorf("a model without heads has tensor degree %d", got)
	}
}

func TestArchitectureCheck(t *testing.T) {
	if err := llama7B().Check(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		spoil func(*cost.Architecture)
		want  string
	}{
		{func(a *cost.Architecture) { a.Layers = 0 }, "model llama-2-7b: layers is 0, allowed is 1 to"},
		{func(a *cost.Architecture) { a.FFN = -1 }, "FFN width is -1"},
		{func(a *cost.Architecture) { a.Vocabulary = 1 << 30 }, "vocabulary is 1073741824"},
		{func(a *cost.Architecture) { a.BytesPerElement = 3 }, "bytes per element is 3, allowed are 4, 2 and 1"},
		{func(a *cost.Architecture) { a.KVHeads = 5 }, "32 heads do not share 5 KV heads evenly"},
	} {
		a := llama7B()
		tt.spoil(&a)
		if err := a.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want an error with %q", err, tt.want)
		}
	}
}
