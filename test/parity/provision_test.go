package parity

import (
	"fmt"
	"testing"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// closedLoop asks for its fleet: the spot capacity is that of A_S.
func closedLoop(approach, model string, rate, grace float64, more string) event.StartExperiment {
	return event.StartExperiment{Experiment: experiment.Custom, YAML: fmt.Sprintf(`
name: closed-loop
approach: %s
model: %s
instance: g4dn.12xlarge
engine: fastertransformer-t4
profile: T4-%s
grace_s: %g
trace: {name: As}
arrivals: {kind: artifact, rate_rps: %g}
provision: {mode: closed-loop, max_instances: 10, candidate_pool: 2, on_demand: true, spot_start_s: 40, on_demand_start_s: 120}
%s`, approach, model, model, grace, rate, more)}
}

var closedLoops = []struct {
	model       string
	rate, grace float64
	more        string
}{
	{"20B", 0.35, 30, ""},
	{"20B", 0.35, 0, "objective: cost\ntime_scale: 600"},
	{"6.7B", 4, 30, "objective: slo\nslo_p99_s: 20\nrate_window_s: 30\ndrain: true"},
}

// TestLiveClosedLoopEqualsVirtualRun: the cloud is one more actor, in the
// trace-replayer's process.
func TestLiveClosedLoopEqualsVirtualRun(t *testing.T) {
	for _, approach := range catalog.Approaches() {
		for _, s := range closedLoops {
			t.Run(fmt.Sprintf("%s %s grace %g %q", approach, s.model, s.grace, s.more), func(t *testing.T) {
				t.Parallel()
				start := closedLoop(approach, s.model, s.rate, s.grace, s.more)
				mustEqualVirtual(t, cast{}, start)
				mustAskForItsFleet(t, simulate(t, "closed-loop", start))
			})
		}
	}
}

// TestSlowBusChangesNothingInAClosedLoop, with a worker a node.
func TestSlowBusChangesNothingInAClosedLoop(t *testing.T) {
	start := closedLoop("spotserve", "20B", 0.35, 30, "")
	mustEqualVirtual(t, cast{
		workers: oneEach(t, start), over: slowly(1, 250*time.Millisecond), reorderWait: time.Minute,
	}, start)
}

// mustAskForItsFleet: a run that was handed its fleet would prove nothing.
func mustAskForItsFleet(t *testing.T, events []event.Event) {
	t.Helper()
	var asked, joined, released int
	for _, ev := range events {
		switch b := ev.Body.(type) {
		case event.RequestFleet:
			asked++
		case event.InstanceAcquired:
			joined += len(b.Instances)
			if ev.Source != event.SourceCloud {
				t.Fatalf("%s hands out instances", ev.Source)
			}
		case event.InstanceLost:
			if b.Released {
				released += len(b.Nodes)
			}
		}
	}
	if asked < 2 || joined < 10 || released == 0 {
		t.Errorf("asked %d times, %d instances joined, %d were given back", asked, joined, released)
	}
}
