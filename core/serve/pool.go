package serve

import (
	"container/heap"
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/topology"
)

// Room is what a pipeline can take.
type Room struct {
	Limit    int // requests in a batch; those that run at a time, if it is continuous
	KVTokens int // KV memory in tokens, which bounds a continuous batch
}

// pool is what a pipeline was sent and has not answered, in the order sent.
type pool struct {
	pipeline int
	config   topology.ParallelConfig
	room     Room
	requests []*request

	continuous bool
	// A continuous batch runs as many as fit, first come, first served; the others
	// wait in the pool.
	tokens  int // reserved for all of the pool
	running int // that fit
	fitting int // tokens reserved for those
	waiting []*request

	place int // in the heap of open pools; -1 outside
}

// need is the KV memory that a request reserves, in tokens.
func (r *request) need() int { return r.prompt + r.output }

func (p *pool) add(r *request) {
	p.requests = append(p.requests, r)
	if !p.continuous {
		return
	}
	p.tokens += r.need()
	p.waiting = append(p.waiting, r)
	p.admit()
}

func (p *pool) remove(r *request) {
	i := slices.Index(p.requests, r)
	p.requests = slices.Delete(p.requests, i, i+1)
	if !p.continuous {
		return
	}
	p.tokens -= r.need()
	if w := slices.Index(p.waiting, r); w >= 0 {
		p.waiting = slices.Delete(p.waiting, w, w+1)
	} else {
		p.running--
		p.fitting -= r.need()
	}
	p.admit()
}

// admit lets those run that fit by now.
func (p *pool) admit() {
	n := 0
	for n < len(p.waiting) && p.fits(p.waiting[n]) {
		p.running++
		p.fitting += p.waiting[n].need()
		n++
	}
	if n > 0 {
		p.waiting = slices.Delete(p.waiting, 0, n)
	}
}

// fits reports whether a request may run beside those that do.
func (p *pool) fits(r *request) bool {
	return p.running == 0 || p.running < p.room.Limit && p.fitting+r.need() <= p.room.KVTokens
}

func (p *pool) ids() []event.RequestID {
	out := make([]event.RequestID, len(p.requests))
	for i, r := range p.requests {
		out[i] = r.id
	}
	return out
}

// poolHeap holds the pools that take requests, the best to take one first, ties
// by pipeline. A pool must be fixed whenever it changes.
type poolHeap struct {
	pools []*pool
}

func (h *poolHeap) Len() int { return len(h.pools) }

func (h *poolHeap) Less(i, j int) bool {
	a, b := h.pools[i], h.pools[j]
	switch {
	case a.continuous && len(a.waiting) != len(b.waiting):
		return len(a.waiting) < len(b.waiting)
	case a.continuous && a.tokens != b.tokens:
		return a.tokens < b.tokens
	case !a.continuous && len(a.requests) != len(b.requests):
		return len(a.requests) < len(b.requests)
	}
	return a.pipeline < b.pipeline
}

func (h *poolHeap) Swap(i, j int) {
	h.pools[i], h.pools[j] = h.pools[j], h.pools[i]
	h.pools[i].place, h.pools[j].place = i, j
}

func (h *poolHeap) Push(x any) {
	p := x.(*pool)
	p.place = len(h.pools)
	h.pools = append(h.pools, p)
}

func (h *poolHeap) Pop() any {
	p := h.pools[len(h.pools)-1]
	h.pools = h.pools[:len(h.pools)-1]
	p.place = -1
	return p
}

func (h *poolHeap) fix(p *pool) {
	if p.place >= 0 {
		heap.Fix(h, p.place)
	}
}

func (h *poolHeap) take(p *pool) {
	if p.place < 0 {
		heap.Push(h, p)
	}
}

func (h *poolHeap) drop(p *pool) {
	if p.place >= 0 {
		heap.Remove(h, p.place)
	}
}
