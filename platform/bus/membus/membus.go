// Package membus is the bus in memory, for runs in one process and for tests.
//
// It starts goroutines only for subscriptions, one each, and they end before
// Close returns. All it waits on are channels and timers, so it works inside a
// testing/synctest bubble.
package membus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/internal/feed"
)

// Options are the settings of a bus. The zero value is usable.
type Options struct {
	FirstSeq        uint64        // of both streams' first message; 0: 1
	DuplicateWindow time.Duration // how long an ID is remembered; 0: 2 minutes
	AckWait         time.Duration // until an unacknowledged message comes again; 0: 30 seconds
}

// Bus is a bus.Bus.
type Bus struct {
	open    context.Context // ends with cause bus.ErrClosed
	shut    context.CancelCauseFunc
	logs    map[bus.Stream]*log
	mu      sync.Mutex // orders readers.Go before readers.Wait
	readers sync.WaitGroup

	listeners listeners

	keysMu sync.Mutex
	keys   map[string]entry
}

// entry is the value of a key.
type entry struct {
	value    []byte
	revision uint64
}

var _ bus.Bus = (*Bus)(nil)

// New returns an empty bus.
func New(o Options) *Bus {
	o.FirstSeq = max(o.FirstSeq, 1)
	if o.DuplicateWindow <= 0 {
		o.DuplicateWindow = 2 * time.Minute
	}
	if o.AckWait <= 0 {
		o.AckWait = 30 * time.Second
	}
	b := &Bus{keys: make(map[string]entry), logs: map[bus.Stream]*log{
		bus.Control: newLog(o),
		bus.Runs:    newLog(o),
	}}
	b.open, b.shut = context.WithCancelCause(context.Background())
	return b
}

// Publish implements bus.Publisher.
func (b *Bus) Publish(ctx context.Context, m bus.Outgoing) error {
	_, err := b.PublishWait(ctx, m)
	return err
}

// PublishWait implements bus.Publisher.
func (b *Bus) PublishWait(ctx context.Context, m bus.Outgoing) (uint64, error) {
	if err := b.usable(ctx); err != nil {
		return 0, err
	}
	s, err := bus.StreamOf(m.Subject)
	if err != nil {
		return 0, err
	}
	return b.logs[s].append(m), nil
}

// Append implements bus.Appender.
func (b *Bus) Append(ctx context.Context, m bus.Outgoing, last uint64) (uint64, error) {
	if err := b.usable(ctx); err != nil {
		return 0, err
	}
	s, err := bus.StreamOf(m.Subject)
	if err != nil {
		return 0, err
	}
	return b.logs[s].appendAfter(m, last)
}

// Flush implements bus.Publisher.
func (b *Bus) Flush(ctx context.Context) error { return b.usable(ctx) }

// LastSeq implements bus.Follower.
func (b *Bus) LastSeq(ctx context.Context, s bus.Stream) (uint64, error) {
	if err := b.usable(ctx); err != nil {
		return 0, err
	}
	if err := bus.CheckFilters(s, nil); err != nil {
		return 0, err
	}
	return b.logs[s].last(), nil
}

// Newest implements bus.Follower.
func (b *Bus) Newest(ctx context.Context, s bus.Stream, filter string) (bus.Message, bool, error) {
	if err := errors.Join(b.usable(ctx), bus.CheckFilters(s, []string{filter})); err != nil {
		return bus.Message{}, false, err
	}
	l := b.logs[s]
	l.mu.Lock()
	defer l.mu.Unlock()
	m, found := l.newest(filter)
	return m, found, nil
}

// Purge implements bus.Purger.
func (b *Bus) Purge(ctx context.Context, s bus.Stream, filter string) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	if err := bus.CheckFilters(s, []string{filter}); err != nil {
		return err
	}
	b.logs[s].purge(func(m bus.Message) bool { return bus.Match(filter, m.Subject) })
	return nil
}

// PurgeBefore implements bus.Purger.
func (b *Bus) PurgeBefore(ctx context.Context, s bus.Stream, seq uint64) error {
	if err := errors.Join(b.usable(ctx), bus.CheckFilters(s, nil)); err != nil {
		return err
	}
	b.logs[s].purge(func(m bus.Message) bool { return m.Seq < seq })
	return nil
}

// Waiting implements bus.Consumer.
func (b *Bus) Waiting(ctx context.Context, s bus.Stream, name string) (uint64, error) {
	if err := errors.Join(b.usable(ctx), bus.CheckDurable(name), bus.CheckFilters(s, nil)); err != nil {
		return 0, err
	}
	return b.logs[s].waiting(name), nil
}

// Follow implements bus.Follower.
func (b *Bus) Follow(ctx context.Context, s bus.Stream, from bus.Position, filters ...string) (bus.Subscription, error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	if err := bus.CheckFilters(s, filters); err != nil {
		return nil, err
	}
	l := b.logs[s]
	next, wake := l.attach(from)
	f := feed.New[bus.Message](ctx, b.open)
	b.read(func() {
		defer l.detach(wake)
		l.follow(f, next, wake, filters)
		f.End(nil)
	})
	return f, nil
}

// Consume implements bus.Consumer.
func (b *Bus) Consume(ctx context.Context, s bus.Stream, name string, filters ...string) (bus.Work, error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(bus.CheckDurable(name), bus.CheckFilters(s, filters)); err != nil {
		return nil, err
	}
	l := b.logs[s]
	d := l.durable(name, filters)
	_, wake := l.attach(bus.Position{})
	f := feed.New[bus.Delivery](ctx, b.open)
	b.read(func() {
		defer l.detach(wake)
		d.work(b.open, f, wake)
		d.release(f)
		f.End(nil)
	})
	return f, nil
}

// Get implements bus.KeyValue.
func (b *Bus) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	if err := b.usable(ctx); err != nil {
		return nil, 0, err
	}
	b.keysMu.Lock()
	defer b.keysMu.Unlock()
	e := b.keys[key]
	return e.value, e.revision, nil
}

// Put implements bus.KeyValue.
func (b *Bus) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := b.usable(ctx); err != nil {
		return 0, err
	}
	b.keysMu.Lock()
	defer b.keysMu.Unlock()
	e := b.keys[key]
	if e.revision != revision {
		return 0, fmt.Errorf("%w: key %s has revision %d, expected was %d", bus.ErrTaken, key, e.revision, revision)
	}
	b.keys[key] = entry{value, revision + 1}
	return revision + 1, nil
}

// Close implements bus.Bus.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.shut(bus.ErrClosed)
	b.mu.Unlock()
	b.readers.Wait()
	return nil
}

// read runs a reader. On a bus that was closed in the meantime it ends at once,
// with its feed.
func (b *Bus) read(reader func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.Err() != nil {
		reader()
		return
	}
	b.readers.Go(reader)
}

func (b *Bus) usable(ctx context.Context) error {
	if b.open.Err() != nil {
		return bus.ErrClosed
	}
	return ctx.Err()
}
