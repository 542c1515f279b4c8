package cost

import (
	"math"

	"github.com/spotserve/spotserve/core/topology"
)

// DefaultMigrationBuffer is U_max, the memory that a GPU keeps free for context
// in transit where the experiment names no other bound.
const DefaultMigrationBuffer = 1 << 30

// MemoryModel says whether a configuration fits the GPUs.
type MemoryModel struct {
	Model           Model
	GPUMemoryBytes  int64
	MigrationBuffer int64 // U_max, bytes a GPU
	TokensPerSeq    int   // longest sequence, prompt and output
}

// PositionBytes is the context of one GPU of c with batch requests running:
// its share of the weights and of their KV cache. Stages are as long as
// the longest one.
func (m MemoryModel) PositionBytes(c topology.ParallelConfig, batch int) int64 {
	layers := int64((m.Model.Layers + c.Pipeline - 1) / c.Pipeline)
	all := int64(m.Model.Layers) * int64(c.Tensor)
	cache := m.Model.KVBytesPerToken * int64(m.TokensPerSeq) * int64(batch)
	return (m.Model.WeightBytes + cache) * layers / all
}

// Fits reports whether c can run batches of batch requests. Where the catalogue
// gives the least number of GPUs, that decides; else weights, KV cache and
// migration buffer have to fit one GPU's memory (paper section 3.2).
func (m MemoryModel) Fits(c topology.ParallelConfig, batch int) bool {
	if m.Model.MinGPUs > 0 {
		return c.DevicesPerPipeline() >= m.Model.MinGPUs
	}
	return m.PositionBytes(c, batch)+m.MigrationBuffer <= m.GPUMemoryBytes
}

// KVTokens is how many tokens of KV cache one pipeline of c has memory for: what
// weights and migration buffer leave of the GPU with the longest stage. Where
// MinGPUs overrules the memory model, it still is one longest sequence.
func (m MemoryModel) KVTokens(c topology.ParallelConfig) int {
	if m.Model.KVBytesPerToken <= 0 {
		return math.MaxInt
	}
	layers := int64((m.Model.Layers + c.Pipeline - 1) / c.Pipeline)
	all := int64(m.Model.Layers) * int64(c.Tensor)
	pipeline := (m.GPUMemoryBytes - m.MigrationBuffer) * all / layers // as much memory as the longest stage's share is of
	return int(max(int64(m.TokensPerSeq), (pipeline-m.Model.WeightBytes)/m.Model.KVBytesPerToken))
}
