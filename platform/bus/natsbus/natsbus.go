// Package natsbus is the bus over NATS JetStream.
//
// A connection that breaks is never mended: the bus dials a new one, for ever,
// and everything that was under way is taken up there from a position that it
// knows. That keeps the order of a publisher and the place of a reader provable
// where a connection that mends itself would leave both to luck.
package natsbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/internal/feed"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
	"github.com/spotserve/spotserve/platform/credential"
)

// Options are the settings of a bus.
type Options struct {
	// URL is where the server is, nats://[user:password@]host:port; several,
	// with commas between them, are the servers of one cluster.
	URL string
	// InProcess connects to a server in this process instead.
	InProcess nats.InProcessConnProvider
	// Name is the connection's, in the server's reports.
	Name string

	// Credentials are the files of this process's user. With an authority in them
	// no connection is in plain text, whatever the URL's scheme.
	Credentials credential.Files
	// User and Password, if set, are what a server in this process made up for it;
	// they go before Credentials.
	User, Password string

	// FirstSeq is the sequence of the first message of a stream that is not
	// there yet; 0: 1.
	FirstSeq uint64
	// Replicas is how many servers of a cluster keep a stream, and the keys; 0
	// leaves it at what it is, 1 for a new one.
	Replicas int
	// DuplicateWindow is how long a stream remembers IDs; 0 leaves it at what
	// it is, 2 minutes for a new one.
	DuplicateWindow time.Duration

	// MaxInFlight is how many messages may be handed over and not stored; the
	// next Publish waits. 0: 4096.
	MaxInFlight int
	// PublishWait is how long the bus tries to store a message before it fails,
	// also while there is no connection. It is to be shorter than the
	// DuplicateWindow, which makes repetition safe. 0: 30 seconds.
	PublishWait time.Duration
	// AckWait is how long a delivery may stay unacknowledged until it comes
	// again; 0: 30 seconds.
	AckWait time.Duration

	// Log hears of lost and new connections. nil: slog.Default.
	Log *slog.Logger
	// Metrics, if set, shows those of the bus until its end, by its Name.
	Metrics prometheus.Registerer
	// Linked, if set, hears whether there is a connection, at first and whenever
	// that changes. It must not wait.
	Linked func(up bool)
}

func (o Options) withDefaults() Options {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 4096
	}
	if o.PublishWait <= 0 {
		o.PublishWait = 30 * time.Second
	}
	if o.AckWait <= 0 {
		o.AckWait = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Bus is a bus.Bus.
type Bus struct {
	options Options
	link    *link
	outbox  *outbox

	unregister []func()

	open    context.Context // ends with cause bus.ErrClosed
	shut    context.CancelCauseFunc
	mu      sync.Mutex // orders readers.Go before readers.Wait
	readers sync.WaitGroup

	linked    context.Context // ends when the readers are gone
	unlink    context.CancelFunc
	keepers   sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

var _ bus.Bus = (*Bus)(nil)

// closeWait bounds the flush of Close.
const closeWait = 5 * time.Second

// Connect connects to a server and makes the streams that are not there. A
// server that cannot be reached now is an error, and so is one that does not
// answer for its streams, which is away (bus.ErrAway); one that goes away later is
// waited for.
func Connect(ctx context.Context, o Options) (*Bus, error) {
	o = o.withDefaults()
	if err := o.checkServer(); err != nil {
		return nil, err
	}
	if err := o.Credentials.Check(); err != nil {
		return nil, err
	}
	first, err := dial(o)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS %s: %w: %s", o.where(), err,
			cmp.Or(o.hint(err), "is nats-server -js running there? Start it, name another one with --nats, or let spotserve up run one"))
	}
	if err := ensureStreams(ctx, first); err != nil {
		first.close()
		if !errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
			err = away(ctx, err)
		}
		return nil, fmt.Errorf("NATS %s: %w", o.where(), err)
	}
	b := &Bus{options: o, link: newLink(o, first), outbox: newOutbox(o)}
	if err := b.register(); err != nil {
		first.close()
		b.forget()
		return nil, err
	}
	b.open, b.shut = context.WithCancelCause(context.Background())
	b.linked, b.unlink = context.WithCancel(context.Background())
	b.outbox.attach(first)
	o.linked(b.outbox.metrics, true)
	b.keepers.Go(func() { b.link.keep(b.linked, b.outbox) })
	b.keepers.Go(func() { b.outbox.watch(b.linked) })
	return b, nil
}

// Publish implements bus.Publisher.
func (b *Bus) Publish(ctx context.Context, m bus.Outgoing) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	return b.outbox.put(ctx, b.open, m, nil)
}

// PublishWait implements bus.Publisher.
func (b *Bus) PublishWait(ctx context.Context, m bus.Outgoing) (uint64, error) {
	if err := b.usable(ctx); err != nil {
		return 0, err
	}
	stored := make(chan outcome, 1)
	if err := b.outbox.put(ctx, b.open, m, stored); err != nil {
		return 0, err
	}
	select {
	case o := <-stored:
		return o.seq, o.err
	case <-ctx.Done():
		return 0, fmt.Errorf("bus: publish %s: %w before the answer came: it may be stored or not", m.Subject, ctx.Err())
	case <-b.open.Done():
		return 0, bus.ErrClosed
	}
}

// Flush implements bus.Publisher.
func (b *Bus) Flush(ctx context.Context) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	return b.outbox.flush(ctx, b.open)
}

// LastSeq implements bus.Follower.
func (b *Bus) LastSeq(ctx context.Context, s bus.Stream) (seq uint64, err error) {
	if err := errors.Join(b.usable(ctx), bus.CheckFilters(s, nil)); err != nil {
		return 0, err
	}
	err = b.link.do(ctx, b.open, []string{jsapi.StreamInfo(string(s))}, func(ctx context.Context, c *conn) (err error) {
		seq, _, err = c.lastSeq(ctx, s)
		return err
	})
	return seq, err
}

// Newest implements bus.Follower.
func (b *Bus) Newest(ctx context.Context, s bus.Stream, filter string) (m bus.Message, found bool, err error) {
	if err := errors.Join(b.usable(ctx), bus.CheckFilters(s, []string{filter})); err != nil {
		return bus.Message{}, false, err
	}
	asks := []string{jsapi.StreamInfo(string(s)), jsapi.MessageGet(string(s))}
	err = b.link.do(ctx, b.open, asks, func(ctx context.Context, c *conn) error {
		stream, err := c.js.Stream(ctx, string(s))
		if err != nil {
			return err
		}
		raw, err := stream.GetLastMsgForSubject(ctx, filter)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		} else if err == nil {
			m, found = bus.Message{
				Subject: raw.Subject, Data: raw.Data, Seq: raw.Sequence, Published: raw.Time, TraceContext: traceOf(raw.Header),
			}, true
		}
		return err
	})
	if err != nil {
		return bus.Message{}, false, fmt.Errorf("bus: newest of %s: %w", filter, err)
	}
	return m, found, nil
}

func purges(s bus.Stream) []string {
	return []string{jsapi.StreamInfo(string(s)), jsapi.StreamPurge(string(s))}
}

// Purge implements bus.Purger.
func (b *Bus) Purge(ctx context.Context, s bus.Stream, filter string) error {
	if err := errors.Join(b.usable(ctx), bus.CheckFilters(s, []string{filter})); err != nil {
		return err
	}
	return b.link.do(ctx, b.open, purges(s), func(ctx context.Context, c *conn) error {
		stream, err := c.js.Stream(ctx, string(s))
		if err == nil {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(filter))
		}
		if err != nil {
			return fmt.Errorf("bus: purge %s of %s: %w", filter, s, err)
		}
		return nil
	})
}

// PurgeBefore implements bus.Purger.
func (b *Bus) PurgeBefore(ctx context.Context, s bus.Stream, seq uint64) error {
	if err := errors.Join(b.usable(ctx), bus.CheckFilters(s, nil)); err != nil {
		return err
	}
	if seq <= 1 {
		return nil // a server takes 0 for everything
	}
	return b.link.do(ctx, b.open, purges(s), func(ctx context.Context, c *conn) error {
		stream, err := c.js.Stream(ctx, string(s))
		if err == nil {
			err = stream.Purge(ctx, jetstream.WithPurgeSequence(seq))
		}
		if err != nil {
			return fmt.Errorf("bus: purge %s before %d: %w", s, seq, err)
		}
		return nil
	})
}

// Waiting implements bus.Consumer.
func (b *Bus) Waiting(ctx context.Context, s bus.Stream, durable string) (n uint64, err error) {
	if err := errors.Join(b.usable(ctx), bus.CheckDurable(durable), bus.CheckFilters(s, nil)); err != nil {
		return 0, err
	}
	err = b.link.do(ctx, b.open, []string{jsapi.ConsumerInfo(string(s), durable)}, func(ctx context.Context, c *conn) error {
		consumer, err := c.js.Consumer(ctx, string(s), durable)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil
		} else if err == nil {
			info := consumer.CachedInfo() // asked for just now
			n = info.NumPending + uint64(info.NumAckPending)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("bus: ask for consumer %s of %s: %w", durable, s, err)
	}
	return n, nil
}

// Follow implements bus.Follower.
func (b *Bus) Follow(ctx context.Context, s bus.Stream, from bus.Position, filters ...string) (bus.Subscription, error) {
	if err := errors.Join(b.usable(ctx), bus.CheckFilters(s, filters)); err != nil {
		return nil, err
	}
	f := &follower{Feed: feed.New[bus.Message](ctx, b.open), stream: s, filters: filters, next: from.Seq, fromNew: from.New}
	if err := b.read(f); err != nil {
		return nil, fmt.Errorf("bus: follow %s: %w", s, err)
	}
	return f, nil
}

// Consume implements bus.Consumer.
func (b *Bus) Consume(ctx context.Context, s bus.Stream, durable string, filters ...string) (bus.Work, error) {
	if err := errors.Join(b.usable(ctx), bus.CheckDurable(durable), bus.CheckFilters(s, filters)); err != nil {
		return nil, err
	}
	w := &worker{Feed: feed.New[bus.Delivery](ctx, b.open), stream: s, durable: durable, filters: filters,
		ackWait: b.options.AckWait, busOpen: b.open, unacked: map[uint64]jetstream.Msg{}}
	if err := b.read(w); err != nil {
		return nil, fmt.Errorf("bus: consume %s as %s: %w", s, durable, err)
	}
	return w, nil
}

// Close implements bus.Bus.
func (b *Bus) Close() error {
	b.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		b.closeErr = b.outbox.flush(ctx, b.open)
		b.mu.Lock()
		b.shut(bus.ErrClosed)
		b.mu.Unlock()
		b.readers.Wait()
		b.unlink()
		b.keepers.Wait()
		b.forget()
	})
	return b.closeErr
}

func (b *Bus) usable(ctx context.Context) error {
	if b.open.Err() != nil {
		return bus.ErrClosed
	}
	return ctx.Err()
}
