package invariant

import (
	"testing"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
)

// TestIDSetAgreesWithItsNaiveTwin, also at the borders of words and pages and
// for IDs that do not count up from 0.
func TestIDSetAgreesWithItsNaiveTwin(t *testing.T) {
	r := draw.Stream(1, "ids")
	set, naive := make(idSet), make(map[event.RequestID]bool)
	for range 20_000 {
		id := event.RequestID(r.IntN(3 * pageBits))
		if r.IntN(10) == 0 {
			id = event.RequestID(r.Uint64())
		}
		if r.IntN(2) == 0 {
			set.add(id)
			naive[id] = true
		}
		if set.has(id) != naive[id] {
			t.Fatalf("request %d: in the set %t, want %t", id, set.has(id), naive[id])
		}
	}
}

// TestCheckerForgetsWhatHasEnded: of a million requests it keeps a bit each.
func TestCheckerForgetsWhatHasEnded(t *testing.T) {
	c := NewChecker()
	for id := range event.RequestID(1_000_000) {
		c.Take(event.Event{Body: event.RequestArrived{Request: id}})
		if id >= 10 {
			c.Take(event.Event{Body: event.RequestRefused{Request: id - 10}})
		}
	}
	if c.Err() != nil || len(c.open) != 10 || len(c.ended) != 1_000_000/pageBits+1 {
		t.Errorf("%d requests open, %d pages, %v", len(c.open), len(c.ended), c.Err())
	}
}
