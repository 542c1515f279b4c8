package llm

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/model"
)

// Options say which part of a model a shard is and what it computes with.
type Options struct {
	Config model.Config
	Layers [2]int // from, to
	// Leaves are from, to: a power of two of them, from a multiple of it.
	Leaves [2]int
	// Blob returns the weights of a leaf, model.Config.BlobBytes long and aligned
	// to 4 bytes; nil if they are not here. The shard reads them until it is
	// no longer used. They must not change.
	Blob func(model.BlobID) []byte
	KV   *kv.Cache
	CPU  *kernel.CPU
}

// Shard computes a part of a decoder. It runs one step at a time, and what it
// returns is valid until its next call. In a steady state it allocates nothing.
type Shard struct {
	config     model.Config
	region     kv.Region
	cache      *kv.Cache
	cpu        *kernel.CPU
	rope       rope
	layers     []layer
	embeddings []kernel.Matrix // by leaf; on the first stage
	finalNorm  []float32       // on the last stage
	heads      []kernel.Matrix // by leaf; on the last stage
	plan       plan

	busy    atomic.Bool
	batch   []Sequence
	rows    []row
	holds   []kv.Hold // by sequence of the batch
	longest int       // positions of the longest sequence
	layer   int       // that is being computed
	x       []float32 // [rows][hidden], the residual stream
	wanted  []int     // sequences with Sample
	logits  []float32 // [wanted][part of the vocabulary]
	buffers buffers
	sampler sampler
	slots   slots
}

type layer struct {
	attnNorm, ffnNorm []float32
	leaves            []leaf
}

type leaf struct {
	query, key, value, output, gate, up, down kernel.Matrix
}

// NewShard reports what is missing or does not fit.
func NewShard(o Options) (*Shard, error) {
	c := o.Config
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if o.Layers[0] < 0 || o.Layers[0] >= o.Layers[1] || o.Layers[1] > c.Layers {
		return nil, fmt.Errorf("llm: layers %d to %d, model %s has 0 to %d", o.Layers[0], o.Layers[1]-1, c.Name, c.Layers-1)
	}
	n := o.Leaves[1] - o.Leaves[0]
	if o.Leaves[0] < 0 || n <= 0 || o.Leaves[1] > c.Leaves || n&(n-1) != 0 || o.Leaves[0]%n != 0 {
		return nil, fmt.Errorf("llm: leaves %d to %d of %d: must be a power of two of them, from a multiple of it", o.Leaves[0], o.Leaves[1]-1, c.Leaves)
	}
	if o.Blob == nil || o.KV == nil || o.CPU == nil {
		return nil, errors.New("llm: a shard needs weights, a KV cache and a CPU")
	}
	if k := o.KV.Config(); k.Layers != c.Layers || k.Leaves != c.Leaves || k.KVHeads != c.KVHeads || k.HeadDim != c.HeadDim || k.Context < c.Context {
		return nil, fmt.Errorf("llm: the KV cache is of model %s, which has another shape than model %s", k.Name, c.Name)
	}
	s := &Shard{
		config: c, region: kv.Region{Layers: o.Layers, Leaves: o.Leaves},
		cache: o.KV, cpu: o.CPU, rope: newRope(c),
	}
	for l := o.Layers[0]; l < o.Layers[1]; l++ {
		var x layer
		for g := o.Leaves[0]; g < o.Leaves[1]; g++ {
			if err := s.read(&x, model.BlobID{Layer: l, Leaf: g}, o.Blob); err != nil {
				return nil, err
			}
		}
		s.layers = append(s.layers, x)
	}
	s.plan = newPlan(s)
	s.slots = newSlots(o.CPU.Threads())
	return s, nil
}

// read adds one leaf of a layer.
func (s *Shard) read(x *layer, id model.BlobID, blob func(model.BlobID) []byte) error {
	b := blob(id)
	if want := s.config.BlobBytes(id); int64(len(b)) != want {
		return fmt.Errorf("llm: model %s: %v has %d bytes, must have %d", s.config.Name, id, len(b), want)
	}
	if !aligned(b) {
		return fmt.Errorf("llm: model %s: %v is not aligned to 4 bytes", s.config.Name, id)
	}
	var f leaf
	for _, t := range s.config.Tensors(id) {
		m := matrix(t, b)
		switch t.Role {
		case model.Embedding:
			s.embeddings = append(s.embeddings, m)
		case model.AttnNorm:
			x.attnNorm = m.F32
		case model.Query:
			f.query = m
		case model.Key:
			f.key = m
		case model.Value:
			f.value = m
		case model.Output:
			f.output = m
		case model.FFNNorm:
			x.ffnNorm = m.F32
		case model.Gate:
			f.gate = m
		case model.Up:
			f.up = m
		case model.Down:
			f.down = m
		case model.FinalNorm:
			s.finalNorm = m.F32
		case model.Head:
			s.heads = append(s.heads, m)
		}
	}
	x.leaves = append(x.leaves, f)
	return nil
}

// Config is the model's.
func (s *Shard) Config() model.Config { return s.config }

// Layers are from, to.
func (s *Shard) Layers() [2]int { return s.region.Layers }

// Leaves are from, to.
func (s *Shard) Leaves() [2]int { return s.region.Leaves }

func (s *Shard) leaves() int { return s.region.Leaves[1] - s.region.Leaves[0] }

// vocab is the part [from, to) of the vocabulary that the shard's leaves hold.
func (s *Shard) vocab() (from, to int) {
	from, _ = s.config.VocabRange(s.region.Leaves[0])
	_, to = s.config.VocabRange(s.region.Leaves[1] - 1)
	return from, to
}
