package natsbus

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/internal/feed"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
)

// worker is a source with acknowledgements, on a consumer that the server keeps
// under its durable name.
type worker struct {
	*feed.Feed[bus.Delivery]
	stream  bus.Stream
	durable string
	filters []string
	ackWait time.Duration
	busOpen context.Context

	mu      sync.Mutex
	unacked map[uint64]jetstream.Msg // last delivery by sequence
}

// maxPending is how many messages of one durable consumer may wait for their
// acknowledgement before it gets no new ones.
const maxPending = 10_000

func (w *worker) subjects() []string {
	s := string(w.stream)
	return []string{jsapi.ConsumerCreate(s, w.durable), jsapi.ConsumerCreateFor(s, w.durable, ">")}
}

func (w *worker) start(ctx context.Context, c *conn) (jetstream.Consumer, error) {
	config := jetstream.ConsumerConfig{
		Durable:       w.durable,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       w.ackWait,
		MaxAckPending: maxPending,
	}
	setFilters(&config, w.filters)
	return c.js.CreateOrUpdateConsumer(ctx, string(w.stream), config)
}

func (w *worker) take(m jetstream.Msg) error {
	at, err := m.Metadata()
	if err != nil {
		return err
	}
	seq := at.Sequence.Stream
	w.mu.Lock()
	w.unacked[seq] = m
	w.mu.Unlock()
	if !w.Send(bus.Delivery{Message: message(m, at), Ack: func() error { return w.ack(m, seq) }}) {
		return w.Context().Err()
	}
	return nil
}

func (w *worker) ack(m jetstream.Msg, seq uint64) error {
	if w.busOpen.Err() != nil {
		return bus.ErrClosed
	}
	w.mu.Lock()
	delete(w.unacked, seq)
	w.mu.Unlock()
	err := m.Ack()
	if errors.Is(err, jetstream.ErrMsgAlreadyAckd) || errors.Is(err, nats.ErrConnectionClosed) {
		// After the loss of the connection the message comes again, as after
		// an acknowledgement that is lost on its way.
		return nil
	}
	return err
}

// refuse gives m back at once, so that it need not wait for its ack wait.
func (w *worker) refuse(m jetstream.Msg) { _ = m.Nak() }

// release gives back what the reader did not acknowledge.
func (w *worker) release(*conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seq := range slices.Sorted(maps.Keys(w.unacked)) {
		w.refuse(w.unacked[seq])
	}
	clear(w.unacked)
}
