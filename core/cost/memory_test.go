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
