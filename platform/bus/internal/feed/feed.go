// Package feed is the channel between a bus and one reader: what the
// subscriptions of every bus have in common.
package feed

import (
	"context"
	"errors"
	"sync"

	"github.com/spotserve/spotserve/platform/bus"
)

// Feed carries values from one producing goroutine to a reader until the reader
// stops, its context ends, the bus closes, or the producer fails. It implements
// bus.Subscription and bus.Work.
type Feed[T any] struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	unlink func() bool // from the bus's context
	c      chan T

	mu  sync.Mutex
	err error
}

// buffer is how many values wait for the reader in the channel. All others wait
// in the stream.
const buffer = 64

// New returns a feed for a reader with this context. The producer must End it.
func New[T any](reader, busOpen context.Context) *Feed[T] {
	f := &Feed[T]{c: make(chan T, buffer)}
	f.ctx, f.cancel = context.WithCancelCause(reader)
	f.unlink = context.AfterFunc(busOpen, func() { f.cancel(bus.ErrClosed) })
	return f
}

// C is closed when the feed is over.
func (f *Feed[T]) C() <-chan T { return f.c }

// Err says why a feed is over: nil after Stop and after the context's end,
// bus.ErrClosed after the bus was closed.
func (f *Feed[T]) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Stop ends the feed.
func (f *Feed[T]) Stop() { f.cancel(nil) }

// Context ends when nobody wants values any more. It is the producer's.
func (f *Feed[T]) Context() context.Context { return f.ctx }

// Send waits until the reader or the buffer takes v. It returns false when the
// feed is over.
func (f *Feed[T]) Send(v T) bool {
	select {
	case <-f.ctx.Done():
		return false
	default:
	}
	select {
	case f.c <- v:
		return true
	case <-f.ctx.Done():
		return false
	}
}

// TrySend hands v over if the buffer has room.
func (f *Feed[T]) TrySend(v T) {
	select {
	case f.c <- v:
	default:
	}
}

// End closes C. The producer calls it once, after its last Send, with what made
// it give up. A feed that the other side ended has no use for that error.
func (f *Feed[T]) End(err error) {
	f.unlink()
	if f.ctx.Err() != nil {
		err = nil
		if errors.Is(context.Cause(f.ctx), bus.ErrClosed) {
			err = bus.ErrClosed
		}
	}
	f.mu.Lock()
	f.err = err
	f.mu.Unlock()
	f.cancel(nil)
	close(f.c)
}
