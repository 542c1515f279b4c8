package parity

import (
	"fmt"
	"testing"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/test/internal/history"
)

// TestReplayerIsReplacedAnywhere: a trace-replayer dies after any number of
// messages, before or after its answers to the starts, in mid-run and between
// runs, and then its successor does. All three experiments are played as if
// nothing had been.
func TestReplayerIsReplacedAnywhere(t *testing.T) {
	starts := threeStarts()
	said := replayerMessages(t, starts)
	for i := range 8 {
		first := said * i / 8
		second := (said - first) * (i % 4) / 4
		if i < 4 {
			first = i // among the answers
		}
		t.Run(fmt.Sprintf("after %d and %d", first, second), func(t *testing.T) {
			t.Parallel()
			mustAllEqualVirtual(t, cast{replayers: []func(bus.Bus) bus.Bus{dies(first), dies(second), lives}}, starts)
		})
	}
}

// TestReplayerThatWakesUpDoesNoHarm: it is stopped in the midst of a message
// until long after another took over, and then says what it had to say.
func TestReplayerThatWakesUpDoesNoHarm(t *testing.T) {
	starts := threeStarts()
	said := replayerMessages(t, starts)
	for i := range 8 {
		after := 1 + said*i/8
		if i < 4 {
			after = 1 + i
		}
		t.Run(fmt.Sprintf("after %d", after), func(t *testing.T) {
			t.Parallel()
			mustAllEqualVirtual(t, cast{replayers: []func(bus.Bus) bus.Bus{sleeps(after), lives}}, starts)
		})
	}
}

// TestPlannerAndReplayerDieTogether, again and again.
func TestPlannerAndReplayerDieTogether(t *testing.T) {
	starts := threeStarts()[:1]
	played := replayerMessages(t, starts)
	planned := plannerMessages(t, starts[0])
	for i := range 4 {
		share := func(of int) []func(bus.Bus) bus.Bus {
			return []func(bus.Bus) bus.Bus{dies(3 + of*i/4), dies(2 + of/16), lives}
		}
		t.Run(fmt.Sprint("at quarter ", i), func(t *testing.T) {
			t.Parallel()
			mustAllEqualVirtual(t, cast{replayers: share(played), planners: share(planned)}, starts)
		})
	}
}

// TestCloudIsReplacedAnywhere, with the trace-replayer whose process it lives in.
func TestCloudIsReplacedAnywhere(t *testing.T) {
	for _, s := range closedLoops {
		start := closedLoop("spotserve", s.model, s.rate, s.grace, s.more)
		said := replayerMessages(t, []event.StartExperiment{start})
		for i := range 2 {
			after := 3 + said*i/2
			t.Run(fmt.Sprintf("%s grace %g after %d", s.model, s.grace, after), func(t *testing.T) {
				t.Parallel()
				mustAllEqualVirtual(t, cast{
					replayers: []func(bus.Bus) bus.Bus{dies(after), sleeps(1 + said/4), lives},
				}, []event.StartExperiment{start})
			})
		}
	}
}

// TestWorkersAreReplaced half a minute after they die, with all that they stood
// for. A planner with patience waits for them.
func TestWorkersAreReplaced(t *testing.T) {
	start := scenes[2].start("spotserve") // at the pace of the clock
	said := 0
	for _, ev := range simulate(t, "e2e-1", start) {
		if subject, err := wire.Subject(ev); err == nil && bus.Match(wire.WorkerFacts("e2e-1"), subject) {
			said++
		}
	}
	for i := range 4 {
		after := 2 + said*i/4
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			t.Parallel()
			mustAllEqualVirtual(t, cast{
				workerBuses: []func(bus.Bus) bus.Bus{dies(after), dies(said), lives}, reorderWait: 24 * time.Hour,
			}, []event.StartExperiment{start})
		})
	}
}

func threeStarts() []event.StartExperiment {
	approaches := catalog.Approaches()
	return []event.StartExperiment{
		scenes[0].start(approaches[0]), scenes[1].start(approaches[1]), scenes[5].start(approaches[2%len(approaches)]),
	}
}

// replayerMessages counts what a trace-replayer publishes: a roll call and an
// answer a start, and what it plays.
func replayerMessages(t *testing.T, starts []event.StartExperiment) (n int) {
	t.Helper()
	for _, start := range starts {
		n += 2
		for _, ev := range simulate(t, "e2e-1", start) {
			if ev.Source == event.SourceReplayer || ev.Source == event.SourceCloud {
				n++
			}
		}
	}
	return n
}

func mustAllEqualVirtual(t *testing.T, c cast, starts []event.StartExperiment) {
	t.Helper()
	events, _ := c.play(t, starts...)
	live := make(map[string][]event.Event)
	var runs []string
	for _, ev := range events {
		if live[ev.Run] == nil {
			runs = append(runs, ev.Run)
		}
		live[ev.Run] = append(live[ev.Run], ev)
	}
	if len(runs) != len(starts) {
		t.Fatalf("runs %v, want %d", runs, len(starts))
	}
	for i, run := range runs {
		if late := finished(t, live[run]).LateFacts; late != 0 {
			t.Errorf("%s: %d facts came late", run, late)
		}
		if difference := history.Difference(live[run], simulate(t, run, starts[i])); difference != "" {
			t.Errorf("%s: %s", run, difference)
		}
	}
}
