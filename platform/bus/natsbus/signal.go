package natsbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/internal/feed"
)

// Signal implements bus.Signaller.
func (b *Bus) Signal(ctx context.Context, subject string, data []byte) error {
	if err := errors.Join(b.usable(ctx), bus.CheckSignal(subject)); err != nil {
		return err
	}
	return b.link.do(ctx, b.open, nil, func(_ context.Context, c *conn) error {
		// Nobody answers a signal; a refusal of one is told to the next.
		if err := c.wasDenied(publishes, subject); err != nil {
			return err
		}
		if err := c.nc.Publish(subject, data); err != nil {
			return fmt.Errorf("bus: signal %s: %w", subject, err)
		}
		return nil
	})
}

// Listen implements bus.Signaller.
func (b *Bus) Listen(ctx context.Context, filter string) (bus.Subscription, error) {
	if err := errors.Join(b.usable(ctx), bus.CheckSignal(filter)); err != nil {
		return nil, err
	}
	f := feed.New[bus.Message](ctx, b.open)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.Err() != nil {
		f.End(nil)
		return nil, bus.ErrClosed
	}
	listening := make(chan error, 1)
	b.readers.Go(func() { f.End(b.listen(f, filter, listening)) })
	if err := <-listening; err != nil {
		return nil, err
	}
	return f, nil
}

// listen goes from connection to connection until f is over. The outcome of the
// first attempt is told to listening, and ends it if it failed.
func (b *Bus) listen(f *feed.Feed[bus.Message], filter string, listening chan<- error) error {
	ctx := f.Context()
	tell := func(err error) {
		if listening != nil {
			listening <- err
			listening = nil
		}
	}
	for first := true; ctx.Err() == nil; first = false {
		c, err := b.link.conn(ctx, b.open)
		if err == nil {
			err = listenOn(c, f, filter, func() { tell(nil) })
		}
		err = away(ctx, err)
		tell(err)
		if err != nil && (first || isFinal(err)) {
			return err
		}
		if err != nil {
			pause(ctx, firstPause)
		}
	}
	return nil
}

// listenOn hears the signals that come over c until it is lost or f is over.
func listenOn(c *conn, f *feed.Feed[bus.Message], filter string, heard func()) error {
	sub, err := c.nc.SubscribeSync(filter)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()           // a lost connection has none left
	if err := c.nc.FlushTimeout(apiWait); err != nil { // now the server knows of it, and has said whether it may be
		return err
	}
	m, err := sub.NextMsg(time.Nanosecond)
	if err == nil || errors.Is(err, nats.ErrTimeout) {
		heard()
	}
	for {
		switch {
		case err == nil:
			f.TrySend(bus.Message{Subject: m.Subject, Data: m.Data, Published: time.Now()})
		case errors.Is(err, nats.ErrPermissionViolation):
			return c.options.denied(subscribes, filter)
		case errors.Is(err, nats.ErrTimeout):
		default:
			return nil // the connection is lost, or f is over
		}
		m, err = sub.NextMsgWithContext(f.Context())
	}
}
