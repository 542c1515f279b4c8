package cost_test

import (
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/topology"
)

func TestPositionBytes(t *testing.T) {
	m := cost.MemoryModel{
		Model:        cost.Model{Layers: 10, WeightBytes: 1000, KVBytesPerToken: 2},
		TokensPerSeq: 50,
	}
	for _, tt := range []struct {
		config topology.ParallelConfig
		batch  int
		want   int64
	}{
		{topology.ParallelConfig{Pipeline: 1, Tensor: 1}, 1, 1000 + 100},
		{topology.ParallelConfig{Pipeline: 1, Tensor: 1}, 4, 1000 + 400},
		{topology.ParallelConfig{Pipeline: 1, Tensor: 2}, 4, (1000 + 400) / 2},
		// The longest of three stages has four of ten layers.
		{topology.ParallelConfig{Pipeline: 3, Tensor: 1}, 4, (1000 + 400) * 4 / 10},
		{topology.ParallelConfig{Pipeline: 5, Tensor: 4}, 0, 1000 / 20},
	} {
		if got := m.PositionBytes(tt.config, tt.batch); got != tt.want {
			t.Errorf("%+v with batches of %d: %d bytes, want %d", tt.config, tt.batch, got, tt.want)
		}
	}
}

func TestFitsToTheByte(t *testing.T) {
	config := topology.ParallelConfig{Pipeline: 2, Tensor: 2}
	m := cost.MemoryModel{
		Model:        cost.Model{Layers: 10, WeightBytes: 1000, KVBytesPerToken: 2},
		TokensPerSeq: 50, MigrationBuffer: 30,
	}
	m.GPUMemoryBytes = m.PositionBytes(config, 4) + 30
	if !m.Fits(config, 4) {
		t.Error("does not fit exactly its memory")
	}
	m.GPUMemoryBytes--
	if m.Fits(config, 4) {
		t.Error("fits with a byte too little")
	}
	if !m.Fits(config, 2) {
		t.Error("half the KV cache does not fit")
	}
}

// TestPublishedMinimumDecides: 12 GPUs for 20B, whatever the bytes say.
func TestPublishedMinimumDecides(t *testing.T) {
	m := cost.MemoryModel{Model: fixture.GPT20B().Model}
	for p, want := range map[int]bool{1: false, 2: false, 3: true, 4: true} {
		if got := m.Fits(topology.ParallelConfig{Data: 9, Pipeline: p, Tensor: 4}, 4); got != want {
			t.Errorf("%d GPUs a pipeline fit: %t, want %t", p*4, got, want)
		}
	}
}

func TestUSDPerHour(t *testing.T) {
	node := fixture.T4Node()
	if got := node.USDPerHour(cost.Spot); got != 1.9046 {
		t.Errorf("spot costs %v", got)
	}
	if got := node.USDPerHour(cost.OnDemand); got != 3.912 {
		t.Errorf("on demand costs %v", got)
	}
}

func TestKVTokens(t *testing.T) {
	m := cost.MemoryModel{
		Model:          cost.Model{Layers: 10, WeightBytes: 1000, KVBytesPerToken: 2},
		GPUMemoryBytes: 1500, MigrationBuffer: 30, TokensPerSeq: 50,
	}
	for _, tt := range []struct {
		config topology.ParallelConfig
		want   int
	}{
		{topology.ParallelConfig{Pipeline: 1, Tensor: 1}, (1470 - 1000) / 2},
		{topology.ParallelConfig{Pipeline: 1, Tensor: 2}, (2*1470 - 1000) / 2},
		// The longest of three stages has four of ten layers: its GPU fills first.
		{topology.ParallelConfig{Pipeline: 3, Tensor: 1}, (1470*10/4 - 1000) / 2},
	} {
		if got := m.KVTokens(tt.config); got != tt.want {
			t.Errorf("%+v has memory for %d tokens, want %d", tt.config, got, tt.want)
		}
	}
	// Where the catalogue's minimum decides, one request fits whatever the bytes say.
	m.GPUMemoryBytes, m.Model.MinGPUs = 0, 1
	if got := m.KVTokens(topology.ParallelConfig{Pipeline: 1, Tensor: 1}); got != 50 {
		t.Errorf("memory for %d tokens, want one sequence of 50", got)
	}
	// A model without a cache has room for all.
	m.Model.KVBytesPerToken = 0
	if got := m.KVTokens(topology.ParallelConfig{Pipeline: 1, Tensor: 1}); got < 1<<30 {
		t.Errorf("without a cache there is memory for %d tokens", got)
	}
}

// TestKVTokensHoldsWhatFits: a configuration that fits a batch of the longest
// requests has KV memory for them, and not for one more where the next does not.
func TestKVTokensHoldsWhatFits(t *testing.T) {
	spec := fixture.Small()
	m := cost.MemoryModel{Model: spec.Model, GPUMemoryBytes: 9_000_000_000, MigrationBuffer: 1 << 28, TokensPerSeq: 640}
	for p := 1; p <= 8; p++ {
		for tensor := 1; tensor <= 4; tensor *= 2 {
			c := topology.ParallelConfig{Data: 1, Pipeline: p, Tensor: tensor}
			n := 0
			for m.Fits(c, n+1) {
				n++
			}
			if got := m.KVTokens(c); n > 0 && (got < n*640 || got >= (n+1)*640) {
				t.Errorf("%dx%d fits %d requests of 640 tokens, and has memory for %d tokens", p, tensor, n, got)
			}
		}
	}
}
