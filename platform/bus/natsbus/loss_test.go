package natsbus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/linktest"
)

const patience = time.Minute

// receive takes the next value of c.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatal("the channel was closed")
		}
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	panic("unreachable")
}

// through publishes n messages, one after the other, while disturb is called
// every so often, and wants the stream and a follower to have each of them once
// and in order. It returns the number of disturbances.
func through(t *testing.T, b *natsbus.Bus, n int, disturb func()) int {
	t.Helper()
	sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, "spot.run.r.*")
	if err != nil {
		t.Fatal(err)
	}
	published := make(chan error, 1)
	go func() {
		for i := range n {
			if err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.r.x", Data: fmt.Append(nil, i)}); err != nil {
				published <- fmt.Errorf("publish %d: %w", i, err)
				return
			}
		}
		published <- b.Flush(t.Context())
	}()
	disturbances := 0
	for i := range n {
		if i%(n/4) == n/8 {
			disturb()
			disturbances++
		}
		m := receive(t, sub.C())
		if string(m.Data) != fmt.Sprint(i) || m.Seq != uint64(i+1) {
			t.Fatalf("message %d is %s with sequence %d", i, m.Data, m.Seq)
		}
	}
	if err := receive(t, published); err != nil {
		t.Fatal(err)
	}
	if last, err := b.LastSeq(t.Context(), bus.Runs); last != uint64(n) || err != nil {
		t.Errorf("the stream ends at %d, %v; want %d", last, err, n)
	}
	return disturbances
}

func TestThroughRestartsInProcess(t *testing.T) {
	h := newHost(t, "")
	b := connect(t, natsbus.Options{InProcess: h})
	if n := through(t, b, 20_000, func() { h.stop(t); h.start(t) }); n != 4 {
		t.Errorf("%d restarts; want 4", n)
	}
}

func TestThroughRestartsOverTCP(t *testing.T) {
	h := newHost(t, "127.0.0.1:0")
	url := h.server.Load().URL()
	h.options.Listen = strings.TrimPrefix(url, "nats://")
	b := connect(t, natsbus.Options{URL: url})
	through(t, b, 20_000, func() { h.stop(t); h.start(t) })
}

// Messages and answers are lost on their way, while the server goes on.
func TestThroughCutConnections(t *testing.T) {
	h := newHost(t, "127.0.0.1:0")
	p := linktest.New(t, h.server.Load().URL())
	b := connect(t, natsbus.Options{URL: p.URL()})
	through(t, b, 40_000, func() { p.Cut(); p.Heal() })
}

// A follower that has nothing to read when the connection goes hears of what
// comes later, and a worker goes on.
func TestIdleReadersSurviveRestart(t *testing.T) {
	h := newHost(t, "")
	b := connect(t, natsbus.Options{InProcess: h, AckWait: time.Second})
	sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{New: true})
	if err != nil {
		t.Fatal(err)
	}
	work, err := b.Consume(t.Context(), bus.Runs, "collector")
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(2) {
		h.stop(t)
		h.start(t)
		if _, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.r.x"}); err != nil {
			t.Fatal(err)
		}
		if m := receive(t, sub.C()); m.Seq != i+1 {
			t.Errorf("the follower gets %d; want %d", m.Seq, i+1)
		}
		d := receive(t, work.C())
		for d.Seq <= i { // an acknowledgement may be lost with the server
			d = receive(t, work.C())
		}
		if d.Seq != i+1 {
			t.Errorf("the worker gets %d; want %d", d.Seq, i+1)
		}
		if err := d.Ack(); err != nil {
			t.Error(err)
		}
	}
}

// A process that crashes says nothing: its deliveries come again after the ack
// wait, to the process that takes its place.
func TestCrashedWorker(t *testing.T) {
	h := newHost(t, "127.0.0.1:0")
	url := h.server.Load().URL()
	p := linktest.New(t, url)
	doomed := connect(t, natsbus.Options{URL: p.URL(), AckWait: time.Second})
	work, err := doomed.Consume(t.Context(), bus.Runs, "collector")
	if err != nil {
		t.Fatal(err)
	}
	next := connect(t, natsbus.Options{URL: url, AckWait: time.Second})
	for range 3 {
		if _, err := next.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.r.x"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := receive(t, work.C()).Ack(); err != nil {
		t.Fatal(err)
	}
	if err := doomed.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	receive(t, work.C())
	p.Cut()
	again, err := next.Consume(t.Context(), bus.Runs, "collector")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for !seen[2] || !seen[3] {
		d := receive(t, again.C())
		seen[d.Seq] = true
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
	}
}

// Without a connection, messages wait, and fail when they have waited for too
// long: once, with the subject. Then the bus is as good as new.
func TestPublishWaitIsBounded(t *testing.T) {
	h := newHost(t, "127.0.0.1:0")
	p := linktest.New(t, h.server.Load().URL())
	b := connect(t, natsbus.Options{URL: p.URL(), PublishWait: 500 * time.Millisecond, MaxInFlight: 2})
	p.Cut()
	for i := range 2 {
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: fmt.Sprintf("spot.run.r.%d", i)}); err != nil {
			t.Fatalf("publish %d without a connection: %v; want it to wait", i, err)
		}
	}
	err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.r.2"}) // waits for room
	if err == nil {
		err = b.Flush(t.Context())
	}
	if !errors.Is(err, bus.ErrAway) || !strings.Contains(err.Error(), "spot.run.r.0") || !strings.Contains(err.Error(), p.URL()) {
		t.Errorf("error %v; want that the bus is away, spot.run.r.0 and %s", err, p.URL())
	}
	if _, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.r.3"}); err == nil || !strings.Contains(err.Error(), "spot.run.r.3") {
		t.Errorf("PublishWait: %v; want an error that names its subject", err)
	}
	p.Heal()
	for end := time.Now().Add(patience); ; {
		_, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.r.4"})
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after the connection came back: %v", err)
		}
	}
}

func TestContextBoundsCallsWithoutConnection(t *testing.T) {
	h := newHost(t, "127.0.0.1:0")
	p := linktest.New(t, h.server.Load().URL())
	b := connect(t, natsbus.Options{URL: p.URL(), MaxInFlight: 1})
	p.Cut()
	m := bus.Outgoing{Subject: "spot.run.r.x"}
	if err := b.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context) error{
		"Publish":     func(ctx context.Context) error { return b.Publish(ctx, m) },
		"PublishWait": func(ctx context.Context) error { _, err := b.PublishWait(ctx, m); return err },
		"Flush":       b.Flush,
		"LastSeq":     func(ctx context.Context) error { _, err := b.LastSeq(ctx, bus.Runs); return err },
		"Follow":      func(ctx context.Context) error { _, err := b.Follow(ctx, bus.Runs, bus.Position{}); return err },
		"Consume":     func(ctx context.Context) error { _, err := b.Consume(ctx, bus.Runs, "d"); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v; want the context's error", name, err)
		}
		cancel()
	}
	p.Heal() // so that Close can flush
}
