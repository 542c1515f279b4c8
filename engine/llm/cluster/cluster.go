// Package cluster runs a whole model in one process, cut into P stages of M ranks
// as workers would have it. Each position has a KV cache and a CPU of its own.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spotserve/spotserve/engine/arena"
	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/model"
)

// Options say how a model is cut and what it is computed with.
type Options struct {
	Config model.Config
	// Blob returns the weights of a leaf; see llm.Options. Weights have one.
	Blob func(model.BlobID) []byte
	// Pipeline is P, the stages of ceil(layers/P) layers; 0 is 1.
	Pipeline int
	// Tensor is M, the ranks of a stage, a power of two up to Config.Leaves; 0 is 1.
	Tensor int
	// CPU is of each rank. Those of one stage compute at the same time.
	CPU kernel.Options
	// KVBytes bounds the KV cache of each position.
	KVBytes int64
}

// Cluster is a model of P x M positions. It runs one step at a time.
type Cluster struct {
	config model.Config
	stages []stage
	cpus   []*kernel.CPU
}

type stage struct {
	shards []*llm.Shard
	caches []*kv.Cache
	comms  []llm.Comm
}

// Weights are all of a model, in memory outside the Go heap.
type Weights struct {
	block *arena.Block
	blobs map[model.BlobID][]byte
}

// Load reads all weights of a source. The caller closes them, after the clusters
// that compute with them.
func Load(source model.Source) (*Weights, error) {
	c := source.Config()
	// One block for all: memory is read fastest from huge pages, and a blob alone
	// may be too small for some.
	block, err := arena.New(0).Alloc(c.WeightBytes())
	if err != nil {
		return nil, err
	}
	w := &Weights{block: block, blobs: make(map[model.BlobID][]byte, c.Layers*c.Leaves)}
	rest := block.Bytes()
	for layer := range c.Layers {
		for leaf := range c.Leaves {
			id := model.BlobID{Layer: layer, Leaf: leaf}
			n := c.BlobBytes(id)
			if err := source.ReadBlob(id, rest[:n:n]); err != nil {
				return nil, errors.Join(err, block.Free())
			}
			w.blobs[id], rest = rest[:n:n], rest[n:]
		}
	}
	return w, nil
}

// Blob returns a blob; nil if the model has no such.
func (w *Weights) Blob(id model.BlobID) []byte { return w.blobs[id] }

// Close gives the memory back.
func (w *Weights) Close() { _ = w.block.Free() } // unmapping what was mapped does not fail

// New cuts a model. The caller closes the cluster.
func New(o Options) (*Cluster, error) {
	o.Pipeline, o.Tensor = max(o.Pipeline, 1), max(o.Tensor, 1)
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Tensor&(o.Tensor-1) != 0 || o.Tensor > o.Config.Leaves {
		return nil, fmt.Errorf("cluster: tensor-parallel degree %d, model %s takes powers of two up to %d", o.Tensor, o.Config.Name, o.Config.Leaves)
	}
	c := &Cluster{config: o.Config}
	size := (o.Config.Layers + o.Pipeline - 1) / o.Pipeline
	for p := range o.Pipeline {
		layers := [2]int{p * size, min((p+1)*size, o.Config.Layers)}
		if layers[0] >= layers[1] {
			c.Close()
			return nil, fmt.Errorf("cluster: %d stages of %d layers leave stage %d of model %s none", o.Pipeline, size, p, o.Config.Name)
		}
		s := stage{comms: Comms(o.Tensor)}
		for m := range o.Tensor {
			cache, err := kv.New(kv.Options{Config: o.Config, MaxBytes: o.KVBytes})
			if err != nil {
				c.Close()
				return nil, err
			}
			cpu := kernel.New(o.CPU)
			c.cpus = append(c.cpus, cpu)
			shard, err := llm.NewShard(llm.Options{
				Config: o.Config, Blob: o.Blob, KV: cache, CPU: cpu,
				Layers: layers, Leaves: [2]int{m * o.Config.Leaves / o.Tensor, (m + 1) * o.Config.Leaves / o.Tensor},
			})
			if err != nil {
				c.Close()
				return nil, err
			}
			s.shards, s.caches = append(s.shards, shard), append(s.caches, cache)
		}
		c.stages = append(c.stages, s)
	}
	return c, nil
}

// Close ends the threads.
func (c *Cluster) Close() {
	for _, cpu := range c.cpus {
		cpu.Close()
	}
}

// Step computes a batch: the next token of every sequence with Sample, valid until
// the next call. Errors are those of llm.Shard.
func (c *Cluster) Step(ctx context.Context, batch []llm.Sequence) ([]int32, error) {
	var tokens []int32
	err := c.run(ctx, batch, func(ctx context.Context, s *llm.Shard, comm llm.Comm, x []float32) error {
		next, err := s.Next(ctx, comm, batch, x)
		if comm.Rank() == 0 {
			tokens = next
		}
		return err
	})
	return tokens, err
}

// Logits computes a batch as Step does: [sequences with Sample][vocab].
func (c *Cluster) Logits(ctx context.Context, batch []llm.Sequence) ([]float32, error) {
	var logits []float32
	err := c.run(ctx, batch, func(ctx context.Context, s *llm.Shard, comm llm.Comm, x []float32) error {
		all, err := s.Logits(ctx, comm, batch, x)
		if comm.Rank() == 0 {
			logits = all
		}
		return err
	})
	return logits, err
}

type finish func(ctx context.Context, s *llm.Shard, comm llm.Comm, x []float32) error

// run takes a batch through all stages, and has every rank of the last finish.
func (c *Cluster) run(ctx context.Context, batch []llm.Sequence, last finish) error {
	var rows [][]float32 // by rank
	for p := range c.stages {
		s := &c.stages[p]
		if rows == nil {
			rows = make([][]float32, len(s.shards))
		}
		err := s.each(ctx, func(ctx context.Context, rank int) error {
			shard, comm := s.shards[rank], s.comms[rank]
			if p == 0 {
				x, err := shard.Embed(ctx, comm, batch)
				if err != nil {
					return err
				}
				rows[rank] = x
			}
			if err := shard.Forward(ctx, comm, batch, rows[rank]); err != nil {
				return err
			}
			if p == len(c.stages)-1 {
				return last(ctx, shard, comm, rows[rank])
			}
			return nil
		})
		if err != nil {
			s.comms = Comms(len(s.shards))
			return fmt.Errorf("stage %d: %w", p, err)
		}
	}
	return nil
}

// each calls f for all ranks at once. The first error ends the others; it is the
// one that is returned.
func (s *stage) each(ctx context.Context, f func(ctx context.Context, rank int) error) error {
	if len(s.shards) == 1 {
		return f(ctx, 0)
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for rank := range s.shards {
		all.Go(func() {
			if err := f(inner, rank); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(inner)
}

// Sequences lists the sequences of which some position has KV cache.
func (c *Cluster) Sequences() []uint64 {
	var ids []uint64
	for _, s := range c.stages {
		for _, cache := range s.caches {
			ids = append(ids, cache.Sequences()...)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Truncate forgets the positions of a sequence from n on, at every position of the
// cluster.
func (c *Cluster) Truncate(id uint64, n int) {
	for _, s := range c.stages {
		for _, cache := range s.caches {
			cache.Truncate(id, n)
		}
	}
}

// Drop forgets a sequence.
func (c *Cluster) Drop(id uint64) {
	for _, s := range c.stages {
		for _, cache := range s.caches {
			cache.Drop(id)
		}
	}
}

// Tokens is how many positions of a sequence every cell has.
func (c *Cluster) Tokens(id uint64) int {
	n := c.config.Context
	for layer := range c.config.Layers {
		for leaf := range c.config.Leaves {
			n = min(n, c.cacheOf(layer, leaf).Tokens(id, layer, leaf))
		}
	}
	return n
}

// Export copies positions of the cell of one leaf of one layer; see package kv.
func (c *Cluster) Export(id uint64, layer, leaf, from, to int, dst []byte) error {
	return c.cacheOf(layer, leaf).Export(id, layer, leaf, from, to, dst)
}

// Import is the inverse of Export.
func (c *Cluster) Import(id uint64, layer, leaf, from, to int, src []byte) error {
	return c.cacheOf(layer, leaf).Import(id, layer, leaf, from, to, src)
}

// cacheOf is the cache of the position that has a leaf of a layer.
func (c *Cluster) cacheOf(layer, leaf int) *kv.Cache {
	for _, s := range c.stages {
		for rank, shard := range s.shards {
			if within(layer, shard.Layers()) && within(leaf, shard.Leaves()) {
				return s.caches[rank]
			}
		}
	}
	return nil
}

func within(x int, r [2]int) bool { return x >= r[0] && x < r[1] }
