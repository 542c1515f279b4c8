// Package bustest holds every implementation of bus.Bus to the promises of
// package bus.
package bustest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
)

// Options are the settings that the suite needs. A zero value asks for the
// implementation's default.
type Options struct {
	FirstSeq        uint64
	AckWait         time.Duration
	DuplicateWindow time.Duration
}

// New makes a bus with empty streams. The suite closes it.
type New func(t *testing.T, o Options) bus.Bus

// Run runs the suite.
func Run(t *testing.T, open New) {
	for _, group := range []map[string]func(*testing.T, New){publishing, following, consuming, closing} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) { test(t, open) })
		}
	}
}

// patience is how long the suite waits for what must happen.
const patience = time.Minute

// start opens a bus that is closed with the test.
func start(t *testing.T, open New, o Options) bus.Bus {
	t.Helper()
	b := open(t, o)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// publish stores n messages under subject, with payloads first, first+1, ...
func publish(t *testing.T, b bus.Bus, subject string, first, n int) {
	t.Helper()
	for i := range n {
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: subject, Data: payload(first + i)}); err != nil {
			t.Fatalf("publish %s %d: %v", subject, first+i, err)
		}
	}
	if err := b.Flush(t.Context()); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

func payload(i int) []byte { return fmt.Append(nil, i) }

func follow(t *testing.T, b bus.Bus, s bus.Stream, from bus.Position, filters ...string) bus.Subscription {
	t.Helper()
	sub, err := b.Follow(t.Context(), s, from, filters...)
	if err != nil {
		t.Fatalf("follow %s %q from %+v: %v", s, filters, from, err)
	}
	t.Cleanup(sub.Stop)
	return sub
}

func consume(t *testing.T, b bus.Bus, durable string, filters ...string) bus.Work {
	t.Helper()
	w, err := b.Consume(t.Context(), bus.Runs, durable, filters...)
	if err != nil {
		t.Fatalf("consume %s %q: %v", durable, filters, err)
	}
	t.Cleanup(w.Stop)
	return w
}

// next receives one value.
func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	v, ok := receive(t, c)
	if !ok {
		t.Fatal("the channel was closed; want a message")
	}
	return v
}

func receive[T any](t *testing.T, c <-chan T) (T, bool) {
	t.Helper()
	select {
	case v, ok := <-c:
		return v, ok
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// take receives n values.
func take[T any](t *testing.T, c <-chan T, n int) []T {
	t.Helper()
	vs := make([]T, n)
	for i := range vs {
		vs[i] = next(t, c)
	}
	return vs
}

// ended waits until c is closed, past what is still in it.
func ended[T any](t *testing.T, c <-chan T) {
	t.Helper()
	for {
		if _, ok := receive(t, c); !ok {
			return
		}
	}
}

// text is a message as the tests write it down: subject, payload.
func text(m bus.Message) string { return m.Subject + " " + string(m.Data) }

func texts(ms []bus.Message) []string {
	ts := make([]string, len(ms))
	for i, m := range ms {
		ts[i] = text(m)
	}
	return ts
}

// within bounds a call that must return.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
