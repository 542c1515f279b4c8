package kv

import (
	"fmt"

	"github.com/spotserve/spotserve/engine/model"
)

// ExportBytes is the size of n positions of one cell as Export writes them.
func ExportBytes(c model.Config, n int) int64 {
	return int64(n) * int64(c.KVHeads/c.Leaves) * int64(c.HeadDim) * 2 * 4
}

// Export copies the positions [from, to) of a cell to dst, which is ExportBytes
// long: [kv_head][K|V][position][head_dim], little-endian float32. It reports
// ErrNotHeld if some of them are not there.
func (c *Cache) Export(id uint64, layer, leaf, from, to int, dst []byte) error {
	if err := c.checkCopy(id, layer, leaf, from, to, len(dst)); err != nil {
		return err
	}
	c.mu.Lock()
	s := c.sequences[id]
	if s == nil || s.cells[layer*c.config.Leaves+leaf].count() < to {
		c.mu.Unlock()
		return fmt.Errorf("%w: sequence %d, layer %d, leaf %d, positions %d to %d of %d", ErrNotHeld, id, layer, leaf, from, to-1, c.Tokens(id, layer, leaf))
	}
	s.pins++
	hold := Hold{c, s}
	c.mu.Unlock()
	defer hold.Release()
	cell := hold.Cell(layer, leaf)
	cell.c.rewriting.RLock()
	defer cell.c.rewriting.RUnlock()
	runs(cell, from, to, func(floats []float32) {
		dst = dst[copy(dst, bytesOf(floats)):]
	})
	return nil
}

// Import makes room for the positions [from, to) of a cell and fills it with what
// Export wrote. Positions that are there already stay as they are, since they
// have the same bits. It reports ErrGap if from is beyond what is there, and
// ErrFull.
func (c *Cache) Import(id uint64, layer, leaf, from, to int, src []byte) error {
	if err := c.checkCopy(id, layer, leaf, from, to, len(src)); err != nil {
		return err
	}
	gap := func(have int) error {
		return fmt.Errorf("%w position %d of sequence %d, layer %d, leaf %d: %d are there", ErrGap, from, id, layer, leaf, have)
	}
	if have := c.Tokens(id, layer, leaf); from > have {
		return gap(have) // before room is made
	}
	hold, err := c.Hold(id, Region{[2]int{layer, layer + 1}, [2]int{leaf, leaf + 1}}, to)
	if err != nil {
		return err
	}
	defer hold.Release()
	cell := hold.Cell(layer, leaf)
	cell.c.rewriting.Lock()
	defer cell.c.rewriting.Unlock()
	have := cell.Tokens()
	if from > have {
		return gap(have)
	}
	if have >= to {
		return nil
	}
	at := from
	runs(cell, from, to, func(floats []float32) {
		bytes := bytesOf(floats)
		// A run is part of one page, all at positions from at on.
		n := len(floats) / cell.headDim
		skip := min(max(have-at, 0), n) * cell.headDim * 4
		copy(bytes[skip:], src[skip:len(bytes)])
		src = src[len(bytes):]
		if at += n; at == to {
			at = from
		}
	})
	cell.c.advance(to)
	return nil
}

func (c *Cache) checkCopy(id uint64, layer, leaf, from, to, bytes int) error {
	if err := c.checkRegion(Region{[2]int{layer, layer + 1}, [2]int{leaf, leaf + 1}}); err != nil {
		return err
	}
	if from < 0 || from >= to || to > c.config.Context {
		return fmt.Errorf("kv: sequence %d: positions %d to %d, must rise within a context of %d", id, from, to-1, c.config.Context)
	}
	if want := ExportBytes(c.config, to-from); int64(bytes) != want {
		return fmt.Errorf("kv: sequence %d: %d positions of a cell take %d bytes, got %d", id, to-from, want, bytes)
	}
	return nil
}

// runs visits the positions [from, to) in the order of Export, as pieces that lie
// in one page.
func runs(x Cell, from, to int, visit func([]float32)) {
	for h := range x.t.keys {
		for _, pages := range [...][][]float32{x.t.keys[h], x.t.values[h]} {
			for at := from; at < to; {
				page, first := at/PageTokens, at%PageTokens
				n := min(PageTokens-first, to-at)
				visit(pages[page][first*x.headDim : (first+n)*x.headDim])
				at += n
			}
		}
	}
}
