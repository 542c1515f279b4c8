package natsbus

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/internal/feed"
	"github.com/spotserve/spotserve/platform/failpoint"
)

// delivery is a message as a consumer delivers it.
type delivery struct {
	jetstream.Msg
	consumer, stream uint64
}

func (d delivery) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Consumer: d.consumer, Stream: d.stream}}, nil
}
func (d delivery) Subject() string { return "spot.run.r.x" }
func (d delivery) Data() []byte    { return nil }

// Headers implements jetstream.Msg.
func (d delivery) Headers() nats.Header { return nil }

// A stream may have gaps, where messages were purged or do not match. The
// deliveries of a consumer may not: a gap there is a message lost on its way.
func TestFollowerSeesGaps(t *testing.T) {
	f := &follower{Feed: feed.New[bus.Message](t.Context(), context.Background()), next: 5}
	defer f.End(nil)
	for _, d := range []delivery{{consumer: 1, stream: 4}, {consumer: 2, stream: 5}, {consumer: 3, stream: 9}} {
		if err := f.take(d); err != nil {
			t.Fatalf("delivery %d of message %d: %v", d.consumer, d.stream, err)
		}
	}
	if err := f.take(delivery{consumer: 5, stream: 12}); !errors.Is(err, errGap) {
		t.Fatalf("delivery 5 after 3: %v; want errGap", err)
	}
	for _, want := range []uint64{5, 9} {
		if m := <-f.C(); m.Seq != want {
			t.Errorf("message %d; want %d", m.Seq, want)
		}
	}
	if len(f.C()) > 0 || f.next != 10 {
		t.Errorf("%d more messages, next is %d; want none and 10", len(f.C()), f.next)
	}
}

// TestAStreamThatIsTooShort: a server on its own has lost what was read from it;
// in a cluster the next leader may have it.
func TestAStreamThatIsTooShort(t *testing.T) {
	began := time.Now()
	f := &follower{last: 7}
	for i, tt := range []struct {
		after    time.Duration
		end      uint64
		replicas int
		want     error
	}{
		{0, 7, 3, nil},
		{0, 6, 1, errPosition},
		{0, 9, 1, nil},
		{time.Minute, 6, 3, errShort},
		{time.Minute + shortFor - 1, 6, 3, errShort},
		{time.Minute + shortFor, 6, 3, errPosition},
		{2 * time.Minute, 7, 3, nil},
		{3 * time.Minute, 0, 3, errShort},
	} {
		err := f.check(tt.end, tt.replicas, began.Add(tt.after))
		if !errors.Is(err, tt.want) || isFinal(err) != errors.Is(tt.want, errPosition) {
			t.Errorf("step %d: %v, want %v", i, err, tt.want)
		}
	}
}

// TestFollowerLeavesNoConsumers: each time that it starts anew, because the
// deliveries of a consumer did not follow upon each other, that one goes.
func TestFollowerLeavesNoConsumers(t *testing.T) {
	if err := failpoint.Arm(failpoint.Receive + "=duplicate:0.3,seed=1"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = failpoint.Arm("") }() // nothing cannot be wrong
	b := connectAlone(t)
	sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 50
	for range n {
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.r.x"}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(n) {
		if m := <-sub.C(); m.Seq != i+1 {
			t.Fatalf("message %d, want %d", m.Seq, i+1)
		}
	}
	stream, err := b.link.current.js.Stream(t.Context(), string(bus.Runs))
	if err != nil {
		t.Fatal(err)
	}
	// The next one may be there already when the last message was read.
	if n := stream.CachedInfo().State.Consumers; n > 2 {
		t.Errorf("the server has %d consumers, want that of the one follower", n)
	}
}
