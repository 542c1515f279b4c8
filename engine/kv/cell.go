package kv

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// cell is what one leaf of one layer keeps of one sequence.
type cell struct {
	// tokens counts positions that are written. Readers stay below it, writers of
	// new positions above it.
	tokens atomic.Int64
	// rewriting is held by who writes below tokens again, and shared by exports.
	rewriting sync.RWMutex
	// table is replaced as a whole, under the cache's mutex.
	table atomic.Pointer[table]
}

// table lists the pages of a cell, and their keys and values by head. It never
// changes.
type table struct {
	pages        []page
	keys, values [][][]float32 // [head][page][PageTokens * head_dim]
}

func (c *cell) pages() int {
	if c == nil {
		return 0
	}
	if t := c.table.Load(); t != nil {
		return len(t.pages)
	}
	return 0
}

func (c *cell) count() int {
	if c == nil {
		return 0
	}
	return int(c.tokens.Load())
}

// grow appends pages. What readers have of the old table stays as it is.
func (c *cell) grow(more []page, heads int) {
	old := c.table.Load()
	if old == nil {
		old = &table{keys: make([][][]float32, heads), values: make([][][]float32, heads)}
	}
	t := &table{pages: append(old.pages, more...), keys: make([][][]float32, heads), values: make([][][]float32, heads)}
	for h := range heads {
		t.keys[h], t.values[h] = old.keys[h], old.values[h]
		for _, p := range more {
			size := len(p.floats) / heads / 2
			at := 2 * h * size
			t.keys[h] = append(t.keys[h], p.floats[at:at+size])
			t.values[h] = append(t.values[h], p.floats[at+size:at+2*size])
		}
	}
	c.table.Store(t)
}

// shrink keeps the first n pages and returns the others. Nobody may be reading.
func (c *cell) shrink(n int) []page {
	old := c.table.Load()
	if old == nil || len(old.pages) <= n {
		return nil
	}
	t := &table{pages: old.pages[:n:n]}
	for h := range old.keys {
		t.keys = append(t.keys, old.keys[h][:n:n])
		t.values = append(t.values, old.values[h][:n:n])
	}
	c.table.Store(t)
	return old.pages[n:]
}

// Hold keeps the pages of one sequence in a region where they are, until Release.
// Its zero value holds nothing.
type Hold struct {
	cache *Cache
	s     *sequence
}

// Hold reserves room for the first tokens positions of a sequence in a region and
// pins them; at least one. Errors are those of Reserve.
func (c *Cache) Hold(id uint64, r Region, tokens int) (Hold, error) {
	if tokens < 1 {
		return Hold{}, fmt.Errorf("kv: sequence %d with %d tokens, must be at least 1", id, tokens)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.reserve(id, r, tokens)
	if err != nil {
		return Hold{}, err
	}
	s.pins++
	return Hold{c, s}, nil
}

// Release ends a hold.
func (h *Hold) Release() {
	if h.s == nil {
		return
	}
	h.cache.mu.Lock()
	defer h.cache.mu.Unlock()
	h.s.pins--
	h.cache.freeDropped(h.s)
	*h = Hold{}
}

// Cell returns one cell of the region that is held.
func (h *Hold) Cell(layer, leaf int) Cell {
	x := h.s.cells[layer*h.cache.config.Leaves+leaf]
	return Cell{c: x, t: x.table.Load(), headDim: h.cache.config.HeadDim}
}

// Cell is the room of one leaf of one layer for one sequence, while it is held.
type Cell struct {
	c       *cell
	t       *table
	headDim int
}

// Tokens counts the positions that are there.
func (x Cell) Tokens() int { return x.c.count() }

// Keys are the pages of one KV head of the leaf, each [PageTokens][head_dim].
func (x Cell) Keys(head int) [][]float32 { return x.t.keys[head] }

// Values are the pages of one KV head of the leaf, each [PageTokens][head_dim].
func (x Cell) Values(head int) [][]float32 { return x.t.values[head] }

// Write stores the keys and values of positions from, from+1, ...: n rows of
// [kv_head][head_dim] with the given stride. Positions that are there already must
// get the bits that they have. It reports ErrGap if from is beyond Tokens.
func (x Cell) Write(from, n int, keys, values []float32, stride int) error {
	have := x.c.count()
	if from > have {
		return fmt.Errorf("%w position %d: %d are there", ErrGap, from, have)
	}
	if from < have {
		x.c.rewriting.Lock()
		defer x.c.rewriting.Unlock()
	}
	for i := range n {
		page, at := (from+i)/PageTokens, (from+i)%PageTokens*x.headDim
		for h := range x.t.keys {
			row := i*stride + h*x.headDim
			copy(x.t.keys[h][page][at:at+x.headDim], keys[row:row+x.headDim])
			copy(x.t.values[h][page][at:at+x.headDim], values[row:row+x.headDim])
		}
	}
	x.c.advance(from + n)
	return nil
}

// advance counts positions below n as there.
func (c *cell) advance(n int) {
	for {
		have := c.tokens.Load()
		if int64(n) <= have || c.tokens.CompareAndSwap(have, int64(n)) {
			return
		}
	}
}
