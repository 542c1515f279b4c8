package tokenizer

import "container/heap"

// symbol is a part of a word while its parts are merged: a list over a slice.
type symbol struct {
	from, to   int // of the text; equal once it is merged into another
	id         int32
	prev, next int // -1: none
}

// join says which token two neighbours make, and how early: lower ranks first.
type join func(left, right *symbol) (rank float64, id int32, ok bool)

// mergeAll merges neighbours, lowest rank first, leftmost of equals first, until
// nothing merges, in n log n steps. Symbols lie in the order of the text and have
// their neighbours set by link.
func mergeAll(symbols []symbol, by join) {
	var queue candidates
	consider := func(left int) {
		if left < 0 || symbols[left].next < 0 {
			return
		}
		a, b := &symbols[left], &symbols[symbols[left].next]
		if rank, id, ok := by(a, b); ok {
			heap.Push(&queue, candidate{rank: rank, left: left, from: a.from, middle: b.from, to: b.to, id: id})
		}
	}
	for i := range symbols {
		consider(i)
	}
	for len(queue) > 0 {
		c := heap.Pop(&queue).(candidate)
		a := &symbols[c.left]
		if a.from == a.to || a.next < 0 || a.to != c.middle {
			continue // one of the two has changed since
		}
		b := &symbols[a.next]
		if b.to != c.to {
			continue
		}
		a.to, a.id, a.next = b.to, c.id, b.next
		if b.next >= 0 {
			symbols[b.next].prev = c.left
		}
		b.from = b.to
		consider(a.prev)
		consider(c.left)
	}
}

// link makes a list of symbols.
func link(symbols []symbol) {
	for i := range symbols {
		symbols[i].prev, symbols[i].next = i-1, i+1
	}
	if len(symbols) > 0 {
		symbols[len(symbols)-1].next = -1
	}
}

type candidate struct {
	rank             float64
	left             int // its index among the symbols
	from, middle, to int
	id               int32
}

type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	if c[i].rank != c[j].rank {
		return c[i].rank < c[j].rank
	}
	return c[i].from < c[j].from
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	old := *c
	last := old[len(old)-1]
	*c = old[:len(old)-1]
	return last
}
