package serve

import (
	"cmp"
	"container/heap"

	"github.com/spotserve/spotserve/core/event"
)

// queue is FIFO by arrival, ties by id: a returned request goes back to where
// its arrival time belongs.
type queue struct{ items requestHeap }

func (q *queue) push(r *request) { heap.Push(&q.items, r) }

func (q *queue) pop() *request { return heap.Pop(&q.items).(*request) }

// Len is the number of queued requests.
func (q *queue) Len() int { return len(q.items) }

type requestHeap []*request

func (h requestHeap) Len() int { return len(h) }

func (h requestHeap) Less(i, j int) bool {
	if h[i].arrived != h[j].arrived {
		return h[i].arrived < h[j].arrived
	}
	return h[i].id < h[j].id
}

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
