package membus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/internal/feed"
)

// listeners are those who hear signals.
type listeners struct {
	mu  sync.Mutex
	all map[*feed.Feed[bus.Message]]string // with their filters
}

// Signal implements bus.Signaller.
func (b *Bus) Signal(ctx context.Context, subject string, data []byte) error {
	if err := errors.Join(b.usable(ctx), bus.CheckSignal(subject)); err != nil {
		return err
	}
	b.listeners.mu.Lock()
	defer b.listeners.mu.Unlock()
	for f, filter := range b.listeners.all {
		if bus.Match(filter, subject) {
			f.TrySend(bus.Message{Subject: subject, Data: data, Published: time.Now()})
		}
	}
	return nil
}

// Listen implements bus.Signaller.
func (b *Bus) Listen(ctx context.Context, filter string) (bus.Subscription, error) {
	if err := errors.Join(b.usable(ctx), bus.CheckSignal(filter)); err != nil {
		return nil, err
	}
	f := feed.New[bus.Message](ctx, b.open)
	b.listeners.mu.Lock()
	if b.listeners.all == nil {
		b.listeners.all = make(map[*feed.Feed[bus.Message]]string)
	}
	b.listeners.all[f] = filter
	b.listeners.mu.Unlock()
	b.read(func() {
		<-f.Context().Done()
		b.listeners.mu.Lock()
		delete(b.listeners.all, f)
		b.listeners.mu.Unlock()
		f.End(nil)
	})
	return f, nil
}
