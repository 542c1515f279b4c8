package llm

import (
	"runtime"
	"sync/atomic"
)

// tileBytes is about the weights that a thread multiplies at a time: enough to
// read memory in long runs, little enough that no thread waits long for another.
const tileBytes = 128 << 10

// tile is rows [from, to) of one of the leaf's matrices, or of the output of all.
type tile struct {
	leaf, from, to int
	which          int // among the matrices of a list
}

// plan cuts the work on a layer into tiles. It decides the speed alone.
type plan struct {
	qkv  []tile // which: query, key, value
	out  []tile // rows of the hidden width, all leaves together
	ffn  []tile // rows of gate and up
	down []tile // rows of the hidden width, all leaves together
	head []tile

	// The tasks are made once: a closure a step would be allocated.
	doQKV, doAttend, doOut, doFFN, doDown, doHead func(i int)
}

// tiles cuts rows of so many bytes each.
func tiles(to []tile, leaf, which, rows, rowBytes int) []tile {
	const unit = 16 // rows: what the kernels take at a time divides it
	size := max(tileBytes/rowBytes/unit, 1) * unit
	for from := 0; from < rows; from += size {
		to = append(to, tile{leaf: leaf, which: which, from: from, to: min(from+size, rows)})
	}
	return to
}

func newPlan(s *Shard) plan {
	c, element := s.config, s.config.DType.Bytes()
	var p plan
	for g, f := range s.layers[0].leaves {
		p.qkv = tiles(p.qkv, g, 0, f.query.Rows, c.Hidden*element)
		p.qkv = tiles(p.qkv, g, 1, f.key.Rows, c.Hidden*element)
		p.qkv = tiles(p.qkv, g, 2, f.value.Rows, c.Hidden*element)
		p.ffn = tiles(p.ffn, g, 0, f.gate.Rows, 2*c.Hidden*element)
	}
	f := s.layers[0].leaves[0]
	p.out = tiles(nil, 0, 0, c.Hidden, len(s.layers[0].leaves)*f.output.Cols*element)
	p.down = tiles(nil, 0, 0, c.Hidden, len(s.layers[0].leaves)*f.down.Cols*element)
	for g, m := range s.heads {
		p.head = tiles(p.head, g, 0, m.Rows, c.Hidden*element)
	}
	p.doQKV, p.doAttend, p.doOut, p.doFFN, p.doDown, p.doHead = s.taskQKV, s.taskAttend, s.taskOut, s.taskFFN, s.taskDown, s.taskHead
	return p
}

// buffers of a step, used again by the next.
type buffers struct {
	x      []float32 // [rows][hidden], of Embed
	hidden []float32 // [rows][hidden], normalised
	sum    []float32 // [rows][hidden], to be added over ranks
	query  []float32 // [leaf][rows][query rows of a leaf]
	key    []float32 // [leaf][rows][key rows of a leaf]
	value  []float32
	attn   []float32 // as query
	ffn    []float32 // [leaf][rows][gate rows of a leaf]
	part   []float32 // what a rank gathers
	whole  []float32 // what was gathered
	logits []float32
	tokens []int32
}

// room returns n elements of *b, whose contents are undefined.
func room(b *[]float32, n int) []float32 {
	if cap(*b) < n {
		*b = make([]float32, n)
	}
	*b = (*b)[:n]
	return *b
}

// slots lend scratch memory to the tasks that run at the same time: one a thread.
type slots struct {
	taken   []paddedBool
	scratch [][]float32
}

type paddedBool struct {
	atomic.Bool
	_ [60]byte // a cache line each
}

func newSlots(threads int) slots {
	return slots{taken: make([]paddedBool, threads), scratch: make([][]float32, threads)}
}

// take lends n elements until give.
func (s *slots) take(n int) (slot int, scratch []float32) {
	for {
		for i := range s.taken {
			if s.taken[i].CompareAndSwap(false, true) {
				return i, room(&s.scratch[i], n)
			}
		}
		runtime.Gosched() // another thread is about to give one back
	}
}

func (s *slots) give(slot int) { s.taken[slot].Store(false) }
