package bustest

import (
	"context"
	"sync/atomic"

	"github.com/spotserve/spotserve/platform/bus"
)

// Flaky is a bus some of whose calls are not answered. They do nothing and
// return bus.ErrAway.
type Flaky struct {
	bus.Bus
	// Away says whether a call is not answered. Calls are numbered from 1; it
	// may be asked by several goroutines at once.
	Away func(call int64) bool

	calls atomic.Int64
}

// Calls is how many there were so far.
func (f *Flaky) Calls() int64 { return f.calls.Load() }

func (f *Flaky) answer() error {
	if f.Away(f.calls.Add(1)) {
		return bus.ErrAway
	}
	return nil
}

// Publish implements bus.Publisher.
func (f *Flaky) Publish(ctx context.Context, m bus.Outgoing) error {
	if err := f.answer(); err != nil {
		return err
	}
	return f.Bus.Publish(ctx, m)
}

// PublishWait implements bus.Publisher.
func (f *Flaky) PublishWait(ctx context.Context, m bus.Outgoing) (uint64, error) {
	if err := f.answer(); err != nil {
		return 0, err
	}
	return f.Bus.PublishWait(ctx, m)
}

// Flush implements bus.Publisher.
func (f *Flaky) Flush(ctx context.Context) error {
	if err := f.answer(); err != nil {
		return err
	}
	return f.Bus.Flush(ctx)
}

// Append implements bus.Appender.
func (f *Flaky) Append(ctx context.Context, m bus.Outgoing, last uint64) (uint64, error) {
	if err := f.answer(); err != nil {
		return 0, err
	}
	return f.Bus.Append(ctx, m, last)
}

// Follow implements bus.Follower.
func (f *Flaky) Follow(ctx context.Context, s bus.Stream, from bus.Position, filters ...string) (bus.Subscription, error) {
	if err := f.answer(); err != nil {
		return nil, err
	}
	return f.Bus.Follow(ctx, s, from, filters...)
}

// LastSeq implements bus.Follower.
func (f *Flaky) LastSeq(ctx context.Context, s bus.Stream) (uint64, error) {
	if err := f.answer(); err != nil {
		return 0, err
	}
	return f.Bus.LastSeq(ctx, s)
}

// Newest implements bus.Follower.
func (f *Flaky) Newest(ctx context.Context, s bus.Stream, filter string) (bus.Message, bool, error) {
	if err := f.answer(); err != nil {
		return bus.Message{}, false, err
	}
	return f.Bus.Newest(ctx, s, filter)
}

// Consume implements bus.Consumer.
func (f *Flaky) Consume(ctx context.Context, s bus.Stream, durable string, filters ...string) (bus.Work, error) {
	if err := f.answer(); err != nil {
		return nil, err
	}
	return f.Bus.Consume(ctx, s, durable, filters...)
}

// Waiting implements bus.Consumer.
func (f *Flaky) Waiting(ctx context.Context, s bus.Stream, durable string) (uint64, error) {
	if err := f.answer(); err != nil {
		return 0, err
	}
	return f.Bus.Waiting(ctx, s, durable)
}

// Get implements bus.KeyValue.
func (f *Flaky) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if err := f.answer(); err != nil {
		return nil, 0, err
	}
	return f.Bus.Get(ctx, key)
}

// Put implements bus.KeyValue.
func (f *Flaky) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := f.answer(); err != nil {
		return 0, err
	}
	return f.Bus.Put(ctx, key, value, revision)
}

// Signal implements bus.Signaller.
func (f *Flaky) Signal(ctx context.Context, subject string, data []byte) error {
	if err := f.answer(); err != nil {
		return err
	}
	return f.Bus.Signal(ctx, subject, data)
}

// Listen implements bus.Signaller.
func (f *Flaky) Listen(ctx context.Context, filter string) (bus.Subscription, error) {
	if err := f.answer(); err != nil {
		return nil, err
	}
	return f.Bus.Listen(ctx, filter)
}
