package bustest

import (
	"errors"
	"testing"

	"github.com/spotserve/spotserve/platform/bus"
)

var closing = map[string]func(*testing.T, New){
	"CloseEndsSubscriptions":   closeEndsSubscriptions,
	"ClosedBusRefuses":         closedBusRefuses,
	"CloseWithReadersThatWait": closeWithReadersThatWait,
}

func closeEndsSubscriptions(t *testing.T, open New) {
	b := start(t, open, Options{})
	sub := follow(t, b, bus.Runs, bus.Position{})
	w := consume(t, b, "collector")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	ended(t, sub.C())
	ended(t, w.C())
	if err := sub.Err(); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Err of the subscription: %v; want ErrClosed", err)
	}
	if err := w.Err(); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Err of the work: %v; want ErrClosed", err)
	}
}

// The readers have full channels and take nothing out.
func closeWithReadersThatWait(t *testing.T, open New) {
	b := start(t, open, Options{})
	sub := follow(t, b, bus.Runs, bus.Position{})
	w := consume(t, b, "collector")
	publish(t, b, "spot.run.r.x", 0, 2000)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	ended(t, sub.C())
	ended(t, w.C())
}

func closedBusRefuses(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 0, 1)
	d := next(t, consume(t, b, "collector").C())
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	m := bus.Outgoing{Subject: "spot.run.r.x"}
	calls := map[string]func() error{
		"Publish":     func() error { return b.Publish(t.Context(), m) },
		"PublishWait": func() error { _, err := b.PublishWait(t.Context(), m); return err },
		"Flush":       func() error { return b.Flush(t.Context()) },
		"LastSeq":     func() error { _, err := b.LastSeq(t.Context(), bus.Runs); return err },
		"Follow":      func() error { _, err := b.Follow(t.Context(), bus.Runs, bus.Position{}); return err },
		"Consume":     func() error { _, err := b.Consume(t.Context(), bus.Runs, "d"); return err },
		"PurgeBefore": func() error { return b.PurgeBefore(t.Context(), bus.Runs, 1) },
		"Waiting":     func() error { _, err := b.Waiting(t.Context(), bus.Runs, "d"); return err },
		"Purge":       func() error { return b.Purge(t.Context(), bus.Runs, "spot.run.>") },
		"Ack":         d.Ack,
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("%s: %v; want ErrClosed", name, err)
		}
	}
}
