// Package kv keeps the keys and values of attention: a paged cache of sequences,
// cut like the weights.
//
// A cell is what one leaf of one layer keeps of one sequence: the keys and values
// of the leaf's heads, in pages of PageTokens tokens, each page laid out
// [kv_head][K|V][token][head_dim] in float32. So a change of the tensor-parallel
// degree moves whole cells, a change of the pipeline's depth moves whole layers,
// and a commit point is a range of tokens. Cells of all shards of a node lie in
// one Cache.
//
// Tokens of a cell are counted from position 0 without holes. What is counted
// never changes: computing a position again writes the same bits. So cells may be
// exported while a shard appends to them.
package kv

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/spotserve/spotserve/engine/model"
)

// PageTokens is how many positions a page holds.
const PageTokens = 32

var (
	// ErrFull says that there is no room for more tokens.
	ErrFull = errors.New("kv: cache is full")
	// ErrNotHeld says that tokens were asked for that the cache does not have.
	ErrNotHeld = errors.New("kv: not held")
	// ErrGap says that tokens came that do not follow those that are there.
	ErrGap = errors.New("kv: tokens are missing before")
)

// Block is memory that a cache was lent: an arena's, for example.
type Block interface {
	Bytes() []byte
	Free()
}

// Options say what a cache is for.
type Options struct {
	Config model.Config
	// Alloc lends memory, aligned to 4 bytes; nil: the Go heap.
	Alloc func(bytes int64) (Block, error)
	// MaxBytes bounds what is taken from Alloc; at least a page's size.
	MaxBytes int64
}

// Region is a part of a model: layers [from, to) x leaves [from, to).
type Region struct {
	Layers [2]int
	Leaves [2]int
}

func (r Region) String() string {
	return fmt.Sprintf("layers %d to %d of leaves %d to %d", r.Layers[0], r.Layers[1]-1, r.Leaves[0], r.Leaves[1]-1)
}

// Cache holds the cells of sequences. It is safe for concurrent use; what a
// sequence's step writes is the business of the one shard that has the region.
type Cache struct {
	config    model.Config
	heads     int // KV heads of a leaf
	mu        sync.Mutex
	pool      pool
	sequences map[uint64]*sequence
}

// sequence is guarded by the cache's mutex, except for what cells say otherwise.
type sequence struct {
	cells []*cell // [layer * leaves + leaf]; nil: none
	// pins counts who uses pages outside the mutex. Pages are freed only at 0.
	pins    int
	dropped bool
}

// New returns an empty cache.
func New(o Options) (*Cache, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	c := &Cache{config: o.Config, heads: o.Config.KVHeads / o.Config.Leaves, sequences: map[uint64]*sequence{}}
	alloc := o.Alloc
	if alloc == nil {
		alloc = heapBlock
	}
	floats := c.heads * 2 * PageTokens * o.Config.HeadDim
	c.pool = pool{alloc: alloc, pageFloats: floats, capacity: int(min(o.MaxBytes/(4*int64(floats)), math.MaxInt32))}
	if c.pool.capacity < 1 {
		return nil, fmt.Errorf("kv: %d bytes hold no page of model %s, must be at least %d", o.MaxBytes, o.Config.Name, 4*floats)
	}
	return c, nil
}

// Config is the model's.
func (c *Cache) Config() model.Config { return c.config }

func (c *Cache) checkRegion(r Region) error {
	if r.Layers[0] < 0 || r.Layers[0] >= r.Layers[1] || r.Layers[1] > c.config.Layers ||
		r.Leaves[0] < 0 || r.Leaves[0] >= r.Leaves[1] || r.Leaves[1] > c.config.Leaves {
		return fmt.Errorf("kv: model %s has no %v: it has %d layers of %d leaves", c.config.Name, r, c.config.Layers, c.config.Leaves)
	}
	return nil
}

// Reserve makes room for the first tokens positions of a sequence in every cell of
// a region, all or nothing. It reports ErrFull if there is none.
func (c *Cache) Reserve(id uint64, r Region, tokens int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.reserve(id, r, tokens)
	return err
}

func (c *Cache) reserve(id uint64, r Region, tokens int) (*sequence, error) {
	if err := c.checkRegion(r); err != nil {
		return nil, err
	}
	if tokens < 0 || tokens > c.config.Context {
		return nil, fmt.Errorf("kv: sequence %d with %d tokens: model %s takes 0 to %d", id, tokens, c.config.Name, c.config.Context)
	}
	s, known := c.sequences[id]
	if !known {
		s = &sequence{cells: make([]*cell, c.config.Layers*c.config.Leaves)}
	}
	pages, missing := (tokens+PageTokens-1)/PageTokens, 0
	for layer := r.Layers[0]; layer < r.Layers[1]; layer++ {
		for leaf := r.Leaves[0]; leaf < r.Leaves[1]; leaf++ {
			missing += max(pages-s.cells[layer*c.config.Leaves+leaf].pages(), 0)
		}
	}
	if missing > 0 {
		taken, err := c.pool.take(missing)
		if err != nil {
			return nil, fmt.Errorf("%w: sequence %d with %d tokens in %v", err, id, tokens, r)
		}
		for layer := r.Layers[0]; layer < r.Layers[1]; layer++ {
			for leaf := r.Leaves[0]; leaf < r.Leaves[1]; leaf++ {
				at := &s.cells[layer*c.config.Leaves+leaf]
				n := max(pages-(*at).pages(), 0)
				if n == 0 {
					continue
				}
				if *at == nil {
					*at = &cell{}
				}
				(*at).grow(taken[:n], c.heads)
				taken = taken[n:]
			}
		}
	}
	c.sequences[id] = s
	return s, nil
}

// Tokens counts the positions of a cell that are there, from 0 without holes.
func (c *Cache) Tokens(id uint64, layer, leaf int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sequences[id]; s != nil && layer >= 0 && layer < c.config.Layers && leaf >= 0 && leaf < c.config.Leaves {
		return s.cells[layer*c.config.Leaves+leaf].count()
	}
	return 0
}

// Truncate forgets the positions from n on in all cells of a sequence, and frees
// their pages; those of a sequence in a step, or being exported, stay until it is
// truncated again or dropped.
func (c *Cache) Truncate(id uint64, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sequences[id]
	if s == nil {
		return
	}
	n = max(n, 0)
	for _, x := range s.cells {
		if x == nil {
			continue
		}
		x.tokens.Store(min(x.tokens.Load(), int64(n)))
		if s.pins == 0 {
			c.pool.free(x.shrink((n + PageTokens - 1) / PageTokens))
		}
	}
}

// Drop forgets a sequence. Pages in use by a step or an export are freed when that
// ends.
func (c *Cache) Drop(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sequences[id]; s != nil {
		delete(c.sequences, id)
		s.dropped = true
		c.freeDropped(s)
	}
}

// DropRegion forgets what a sequence has in a region, unless the sequence is in a
// step or being exported: then it changes nothing and says so by false.
func (c *Cache) DropRegion(id uint64, r Region) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sequences[id]
	if s == nil || c.checkRegion(r) != nil {
		return true
	}
	if s.pins > 0 {
		return false
	}
	for layer := r.Layers[0]; layer < r.Layers[1]; layer++ {
		for leaf := r.Leaves[0]; leaf < r.Leaves[1]; leaf++ {
			if at := &s.cells[layer*c.config.Leaves+leaf]; *at != nil {
				c.pool.free((*at).shrink(0))
				*at = nil
			}
		}
	}
	if !slices.ContainsFunc(s.cells, func(x *cell) bool { return x != nil }) {
		delete(c.sequences, id)
	}
	return true
}

func (c *Cache) freeDropped(s *sequence) {
	if !s.dropped || s.pins > 0 {
		return
	}
	for _, x := range s.cells {
		if x != nil {
			c.pool.free(x.shrink(0))
		}
	}
	s.cells = nil
}

// Sequences lists the sequences that have room here, by number.
func (c *Cache) Sequences() []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]uint64, 0, len(c.sequences))
	for id := range c.sequences {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Bytes is the memory that the cache has taken from Alloc.
func (c *Cache) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return 4 * int64(c.pool.held) * int64(c.pool.pageFloats)
}

// Used is the part of Bytes that pages of sequences take.
func (c *Cache) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return 4 * int64(c.pool.used) * int64(c.pool.pageFloats)
}
