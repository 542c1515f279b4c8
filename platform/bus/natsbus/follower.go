package natsbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/internal/feed"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
)

// follower is a source without acknowledgements. The server forgets its
// consumers; the follower knows where it is, and starts a new one there when
// the deliveries of the old one do not follow upon each other.
type follower struct {
	*feed.Feed[bus.Message]
	stream  bus.Stream
	filters []string
	fromNew bool
	next    uint64    // first sequence to hand on
	last    uint64    // last sequence that was handed on
	short   time.Time // since when the stream ends before that; zero if it does not

	consumer  string // its name on the server
	delivered uint64 // how many messages it delivered
}

var errGap = errors.New("a message was lost on its way")

// forgetAfter is when the server drops the consumer of a follower that is gone
// without saying so.
const forgetAfter = time.Minute

func (f *follower) subjects() []string {
	f.consumer = nuid.Next() // drawn, so that nobody else knows it
	s := string(f.stream)
	return []string{jsapi.StreamInfo(s), jsapi.ConsumerCreate(s, f.consumer), jsapi.ConsumerCreateFor(s, f.consumer, ">")}
}

func (f *follower) start(ctx context.Context, c *conn) (jetstream.Consumer, error) {
	end, replicas, err := c.lastSeq(ctx, f.stream)
	if err != nil {
		return nil, err
	}
	if err := f.check(end, replicas, time.Now()); err != nil {
		return nil, err
	}
	if f.fromNew {
		f.fromNew, f.next = false, end+1
	}
	config := jetstream.ConsumerConfig{
		Name:              f.consumer,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       max(f.next, 1),
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: forgetAfter,
		MemoryStorage:     true,
		Replicas:          1,
	}
	setFilters(&config, f.filters)
	consumer, err := c.js.CreateConsumer(ctx, string(f.stream), config)
	if err != nil {
		return nil, err
	}
	f.delivered = 0
	return consumer, nil
}

// shortFor is how long the server that leads a stream in a cluster may not have
// all of it: it was elected just now, or does not know yet that another one was.
const shortFor = 30 * time.Second

var errShort = errors.New("the stream does not have all that was read from it, yet")

// check compares what was read with where the stream ends.
func (f *follower) check(end uint64, replicas int, now time.Time) error {
	if f.last <= end {
		f.short = time.Time{}
		return nil
	}
	if f.short.IsZero() {
		f.short = now
	}
	why := errPosition
	if replicas > 1 && now.Sub(f.short) < shortFor {
		why = errShort
	}
	return fmt.Errorf("bus: follow %s: %w: it ends at %d, and %d was read from it", f.stream, why, end, f.last)
}

func (f *follower) take(m jetstream.Msg) error {
	at, err := m.Metadata()
	if err != nil {
		return err
	}
	if at.Sequence.Consumer != f.delivered+1 {
		return errGap
	}
	f.delivered++
	if at.Sequence.Stream < f.next {
		return nil
	}
	if !f.Send(message(m, at)) {
		return f.Context().Err()
	}
	f.last, f.next = at.Sequence.Stream, at.Sequence.Stream+1
	return nil
}

// refuse drops m: the next consumer delivers it.
func (f *follower) refuse(jetstream.Msg) {}

func (f *follower) release(c *conn) {
	if c == nil || c.nc.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseWait)
	defer cancel()
	// Without it the server forgets the consumer a little later.
	_ = c.js.DeleteConsumer(ctx, string(f.stream), f.consumer)
}

func message(m jetstream.Msg, at *jetstream.MsgMetadata) bus.Message {
	return bus.Message{
		Subject: m.Subject(), Data: m.Data(), Seq: at.Sequence.Stream, Published: at.Timestamp, TraceContext: traceOf(m.Headers()),
	}
}

func setFilters(config *jetstream.ConsumerConfig, filters []string) {
	if len(filters) == 1 {
		config.FilterSubject = filters[0]
		return
	}
	config.FilterSubjects = filters
}
