package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
)

// conn is one connection, from its dial to its loss.
type conn struct {
	options Options
	nc      *nats.Conn
	js      jetstream.JetStream
	lost    chan struct{} // closed when the connection is
	denials *denials
}

// dial makes a connection. It does not reconnect: that is the link's part.
func dial(o Options) (*conn, error) {
	urls, login, err := o.login()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCredentials, err)
	}
	c := &conn{options: o, lost: make(chan struct{}), denials: newDenials()}
	options := slices.Concat(login, []nats.Option{
		nats.Name(o.Name),
		nats.NoReconnect(),
		nats.Timeout(2 * time.Second),
		// A server that is gone without a word is missed after 20 seconds.
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ClosedHandler(func(*nats.Conn) { close(c.lost) }),
		nats.PermissionErrOnSubscribe(true),
		nats.ErrorHandler(func(nc *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				c.refused(err)
				return
			}
			o.Log.Warn("bus connection", "nats", o.where(), "error", err)
			if errors.Is(err, nats.ErrSlowConsumer) {
				// Messages were dropped on our side. A new connection makes
				// all readers take up where they are.
				nc.Close()
			}
		}),
	})
	if c.nc, err = nats.Connect(urls, options...); err != nil {
		return nil, err
	}
	if c.js, err = jetstream.New(c.nc); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// close ends the connection and waits until it has.
func (c *conn) close() {
	c.nc.Close()
	<-c.lost
}

// lastSeq is the sequence of the last message that s ever stored, and how many
// servers store it.
func (c *conn) lastSeq(ctx context.Context, s bus.Stream) (seq uint64, replicas int, err error) {
	stream, err := c.js.Stream(ctx, string(s))
	if err != nil {
		return 0, 0, fmt.Errorf("bus: state of stream %s: %w", s, err)
	}
	info := stream.CachedInfo()
	if info.State.LastSeq >= max(info.Config.FirstSeq, 1) { // else the server counts from before the first
		seq = info.State.LastSeq
	}
	return seq, info.Config.Replicas, nil
}

// link is the sequence of connections to a server.
type link struct {
	options Options

	mu      sync.Mutex
	current *conn
	renewed chan struct{} // closed when current is replaced
}

func newLink(o Options, first *conn) *link {
	return &link{options: o, current: first, renewed: make(chan struct{})}
}

// conn waits for a connection that works.
func (l *link) conn(ctx, open context.Context) (*conn, error) {
	for {
		l.mu.Lock()
		c, renewed := l.current, l.renewed
		l.mu.Unlock()
		if open.Err() != nil {
			return nil, bus.ErrClosed
		}
		if !c.nc.IsClosed() {
			return c, nil
		}
		select {
		case <-renewed:
		case <-open.Done():
		case <-ctx.Done():
			return nil, fmt.Errorf("bus: no connection to %s: %w", l.options.where(), ctx.Err())
		}
	}
}

// do calls f with a connection, again if the connection was lost meanwhile. If
// the bus does not answer, the error wraps bus.ErrAway; if it refuses one of the
// subjects that f publishes to, bus.ErrDenied.
func (l *link) do(ctx, open context.Context, subjects []string, f func(context.Context, *conn) error) error {
	for {
		c, err := l.conn(ctx, open)
		if err != nil {
			return err
		}
		err = c.guarded(ctx, subjects, func(ctx context.Context) error { return f(ctx, c) })
		if err == nil || !c.nc.IsClosed() {
			return away(ctx, err)
		}
	}
}

// keep replaces lost connections and hands the new ones to box, until ctx
// ends. Then it closes the last.
func (l *link) keep(ctx context.Context, box *outbox) {
	log := l.options.Log.With("nats", l.options.where())
	c := l.current
	for {
		select {
		case <-c.lost:
		case <-ctx.Done():
			c.close()
			return
		}
		log.Warn("bus connection lost", "error", c.nc.LastError())
		lostAt := time.Now()
		l.options.linked(box.metrics, false)
		next := redial(ctx, l.options, log)
		if next == nil {
			return
		}
		c = next
		log.Info("bus connected again", "after", time.Since(lostAt).Round(time.Millisecond))
		box.attach(c)
		l.mu.Lock()
		l.current = c
		close(l.renewed)
		l.renewed = make(chan struct{})
		l.mu.Unlock()
		box.metrics.reconnects.Inc()
		l.options.linked(box.metrics, true)
	}
}

// redial dials until it gets a connection or ctx ends; then it returns nil.
func redial(ctx context.Context, o Options, log *slog.Logger) *conn {
	said := ""
	for wait := firstPause; ctx.Err() == nil; wait = longer(wait) {
		c, err := dial(o)
		if err == nil {
			return c
		}
		// A server that is away comes back; what has a hint needs a person.
		if hint := o.hint(err); hint != "" && hint != said {
			log.Error("bus cannot connect", "error", err, "hint", hint)
			said = hint
		} else {
			log.Debug("bus cannot connect", "error", err)
		}
		pause(ctx, wait)
	}
	return nil
}

// Pauses between attempts grow from the first to the longest.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

func longer(wait time.Duration) time.Duration { return min(2*wait, longestPause) }

// pause waits for about d, so that clients that lost the same server do not
// come back at once.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d/2 + rand.N(d)):
	case <-ctx.Done():
	}
}
