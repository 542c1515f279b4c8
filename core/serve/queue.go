package serve

import (
	"cmp"
	"container/heap"

	"github.com/spotserve/spotserve/core/event"
)

// queue is FIFO by arrival, ties by id: a returned request goes back to where
// its arrival time belongs. Arrivals come in order, so they wait in a list; only
// what came back is sorted in.
type queue struct {
	arrived  []*request // from head on
	head     int
	returned requestHeap
}

func (q *queue) push(r *request) {
	if len(q.arrived) > q.head && before(r, q.arrived[len(q.arrived)-1]) {
		heap.Push(&q.returned, r)
		return
	}
	if q.head > len(q.arrived)/2 {
		n := copy(q.arrived, q.arrived[q.head:])
		clear(q.arrived[n:])
		q.arrived, q.head = q.arrived[:n], 0
	}
	q.arrived = append(q.arrived, r)
}

// first is the next request; the queue must not be empty.
func (q *queue) first() *request {
	if q.head == len(q.arrived) || len(q.returned) > 0 && before(q.returned[0], q.arrived[q.head]) {
		return q.returned[0]
	}
	return q.arrived[q.head]
}

func (q *queue) pop() *request {
	r := q.first()
	if len(q.returned) > 0 && q.returned[0] == r {
		heap.Pop(&q.returned)
		return r
	}
	q.arrived[q.head] = nil
	q.head++
	return r
}

// Len is the number of queued requests.
func (q *queue) Len() int { return len(q.arrived) - q.head + len(q.returned) }

func before(a, b *request) bool {
	return a.arrived < b.arrived || a.arrived == b.arrived && a.id < b.id
}

type requestHeap []*request

func (h requestHeap) Len() int { return len(h) }

func (h requestHeap) Less(i, j int) bool { return before(h[i], h[j]) }

func (h requestHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *requestHeap) Push(x any) { *h = append(*h, x.(*request)) }

func (h *requestHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return r
}

func compareIDs(a, b event.RequestID) int { return cmp.Compare(a, b) }
