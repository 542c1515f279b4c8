package migrate

import (
	"cmp"
	"slices"
)

// wave is the transfers after which old context can be freed: one batch's cache
// or one layer.
type wave struct {
	leaving []transfer // from devices that leave; they come first
	others  []transfer // by receiver, then those that missed a deadline elsewhere
	arena   []supply   // of all transfers
}

// transfer is what one device sends to another in a wave.
type transfer struct {
	link
	cells []supply
}

// supply names who sends a cell, disk if nobody, and the cell's leaf.
type supply struct {
	from, leaf int
}

// clear makes the wave ready for the next transfers.
func (w *wave) clear() { w.leaving, w.others, w.arena = w.leaving[:0], w.others[:0], w.arena[:0] }

// all yields the transfers in the order of execution.
func (w *wave) all(yield func(transfer) bool) {
	for _, list := range [][]transfer{w.leaving, w.others} {
		for _, t := range list {
			if !yield(t) {
				return
			}
		}
	}
}

// enlist makes transfers of the cells that device to gets, one a source.
func (d *draft) enlist(to int, cells []supply) {
	w := &d.wave
	slices.SortStableFunc(cells, func(a, b supply) int { return cmp.Compare(a.from, b.from) })
	for len(cells) > 0 {
		n := 1
		for n < len(cells) && cells[n].from == cells[0].from {
			n++
		}
		start := len(w.arena)
		w.arena = append(w.arena, cells[:n]...)
		t := transfer{d.link(cells[0].from, to), w.arena[start:]}
		if t.from != disk && !d.stays(t.from) {
			w.leaving = append(w.leaving, t)
		} else {
			w.others = append(w.others, t)
		}
		cells = cells[n:]
	}
}
