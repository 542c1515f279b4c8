package node

import "sync"

// queue hands things from those that must not wait to one that does. It is
// bounded only by what its writers have to say.
type queue[T any] struct {
	mu     sync.Mutex
	items  []T
	filled chan struct{} // has a value when items may have some
}

func newQueue[T any]() *queue[T] { return &queue[T]{filled: make(chan struct{}, 1)} }

func (q *queue[T]) push(x T) {
	q.mu.Lock()
	q.items = append(q.items, x)
	q.mu.Unlock()
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

// pop waits for the next item; ok is false when end is closed first.
func (q *queue[T]) pop(end <-chan struct{}) (x T, ok bool) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			x, q.items = q.items[0], q.items[1:]
			q.mu.Unlock()
			return x, true
		}
		q.mu.Unlock()
		select {
		case <-q.filled:
		case <-end:
			return x, false
		}
	}
}
