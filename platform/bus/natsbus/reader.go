package natsbus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
	"github.com/spotserve/spotserve/platform/failpoint"
)

// source is what differs between the readers of a stream. Its methods are
// called one at a time.
type source interface {
	// Context ends when nobody wants messages any more.
	Context() context.Context
	// subjects are those that the next start publishes to.
	subjects() []string
	// start makes the server's consumer on c, from where the source is.
	start(ctx context.Context, c *conn) (jetstream.Consumer, error)
	// take hands a message to the reader. After an error the consumer is
	// started anew.
	take(m jetstream.Msg) error
	// refuse gets the messages that come after the end.
	refuse(m jetstream.Msg)
	// release tidies up on the server, if it can be reached.
	release(c *conn)
	// End closes the reader's channel.
	End(err error)
}

const (
	apiWait     = 5 * time.Second // bounds one request to the server
	releaseWait = 2 * time.Second // bounds what is only tidy
	// heartbeat is how often a consumer says that it is there when it delivers
	// nothing. After twice as long it is given up: in a cluster, a follower's
	// consumer goes with its server while the connection to another one holds.
	heartbeat = 2 * time.Second
)

// read starts src and feeds it until it ends.
func (b *Bus) read(src source) error {
	var c *conn
	var consumer jetstream.Consumer
	err := b.link.do(src.Context(), b.open, nil, func(_ context.Context, on *conn) (err error) {
		c = on
		consumer, err = start(src, on)
		return err
	})
	if err != nil {
		src.End(err)
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.Err() != nil {
		src.End(bus.ErrClosed)
		return bus.ErrClosed
	}
	b.readers.Go(func() { b.feed(src, c, consumer) })
	return nil
}

func start(src source, c *conn) (consumer jetstream.Consumer, err error) {
	ctx, cancel := context.WithTimeout(src.Context(), apiWait)
	defer cancel()
	err = c.guarded(ctx, src.subjects(), func(ctx context.Context) (err error) {
		consumer, err = src.start(ctx, c)
		return err
	})
	return consumer, err
}

// feed goes from consumer to consumer until src ends.
func (b *Bus) feed(src source, c *conn, consumer jetstream.Consumer) {
	ctx := src.Context()
	for {
		err := consume(src, c, consumer)
		if errors.Is(err, errGap) {
			// The server has a limit of consumers, and would keep this one for a
			// while.
			src.release(c)
		}
		if errors.Is(err, bus.ErrDenied) {
			src.release(c)
			src.End(err)
			return
		}
		for wait := firstPause; ctx.Err() == nil; wait = longer(wait) {
			b.options.Log.Debug("bus reader starts anew", "error", err)
			if c, err = b.link.conn(ctx, b.open); err == nil {
				consumer, err = start(src, c)
			}
			if err == nil {
				break
			}
			if isFinal(err) {
				src.release(c)
				src.End(err)
				return
			}
			pause(ctx, wait)
		}
		if ctx.Err() != nil {
			src.release(c)
			src.End(nil)
			return
		}
	}
}

// consume hands messages to src until the consumer breaks, c is lost, or src
// ends. It returns what broke.
func consume(src source, c *conn, consumer jetstream.Consumer) error {
	broken := make(chan error, 1)
	report := func(err error) {
		select {
		case broken <- err:
		default:
		}
	}
	var mu sync.Mutex
	over := false
	take := func(m jetstream.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if over {
			src.refuse(m)
			return
		}
		if err := src.take(m); err != nil {
			over = true
			report(err)
		}
	}
	info := consumer.CachedInfo()
	uses := []string{jsapi.ConsumerNext(info.Stream, info.Name), jsapi.Acks(info.Stream, info.Name)}
	defer c.denials.guard(publishes, uses, func(_ string, err error) { report(err) })()
	messages, err := consumer.Consume(func(m jetstream.Msg) {
		failpoint.Deliver(failpoint.Receive, m, take)
	}, jetstream.PullHeartbeat(heartbeat), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { report(err) }))
	if err != nil {
		return err
	}
	drained := messages.Closed()
	select {
	case err = <-broken:
	case <-c.lost:
		err = c.nc.LastError()
	case <-src.Context().Done():
	}
	mu.Lock()
	over = true
	mu.Unlock()
	messages.Drain()
	select {
	case <-drained:
	case <-c.lost:
	case <-time.After(releaseWait):
	}
	return err
}

// errPosition says that a stream is not the one that was read before.
var errPosition = errors.New("the stream was lost and made anew")
