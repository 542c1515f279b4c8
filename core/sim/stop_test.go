package sim_test

import (
	"errors"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestStop stops runs at the first event that a rule picks. However early or
// late that is, the run closes its books.
func TestStop(t *testing.T) {
	timeline := fixture.WithArrivals(fixture.TraceAs(), 1)
	spec := fixture.At(fixture.GPT20B(), timeline)
	spec.Drain = true
	for _, tt := range []struct {
		name string
		when func(event.Event) bool
		ends int // of the input
	}{
		{"at the start", func(ev event.Event) bool { return ev.Source == event.SourceReplayer }, 1},
		{"on the way", func(ev event.Event) bool { return ev.Time >= vtime.Seconds(500) }, 1},
		{"in a batch", func(ev event.Event) bool { return ev.Body.Kind() == "tokens_committed" }, 1},
		{"while it drains", func(ev event.Event) bool { return ev.Time >= timeline.End.Add(10e9) }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stopped, last vtime.Time
			var end event.RunFinished
			asked, ends := false, 0
			err := sim.Run("stop", spec, timeline, func(ev event.Event) error {
				last = ev.Time
				end, _ = ev.Body.(event.RunFinished)
				if _, ended := ev.Body.(event.RunEnded); ended {
					ends++
				}
				if !asked && tt.when(ev) {
					asked, stopped = true, ev.Time
				}
				if asked { // to ask again changes nothing
					return sim.ErrStop
				}
				return nil
			})
			if err != nil || !asked {
				t.Fatalf("stopped: %t, error %v", asked, err)
			}
			if end.Reason != event.Stopped || end.Accepted != end.Completed+end.UnfinishedAtEnd {
				t.Errorf("the run ends with %+v", end)
			}
			if ends != tt.ends {
				t.Errorf("the input ends %d times, want %d", ends, tt.ends)
			}
			// The arrival after, which the watermark has announced, and a hop to it.
			if late := last.Sub(stopped).Seconds(); late > 10 {
				t.Errorf("stopped at %s, the run goes on until %s", stopped, last)
			}
		})
	}
}

// TestLogFails: what the log returns ends the run, and nothing is logged after it.
func TestLogFails(t *testing.T) {
	timeline := fixture.WithArrivals(fixture.TraceAs(), 1)
	full := errors.New("the disk is full")
	n := 0
	err := sim.Run("fails", fixture.At(fixture.GPT20B(), timeline), timeline, func(event.Event) error {
		if n++; n >= 100 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || n != 100 {
		t.Errorf("after %d events: %v", n, err)
	}
}
