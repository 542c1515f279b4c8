package planner_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/core/vtime"
)

var epoch1 = event.Epoch{Term: 7, N: 1}

// driver hands events to a planner and keeps what it publishes. Timers are fired
// by hand: the conversations with workers are transcripts in core/sim.
type driver struct {
	t       *testing.T
	planner *planner.MetaContextManager
	seq     uint64
	events  []event.Event
	timers  map[string]vtime.Time
}

func newDriver(t *testing.T, spec experiment.Spec) *driver {
	d := &driver{t: t, planner: planner.New(7), timers: make(map[string]vtime.Time)}
	d.at(0, event.RunStarted{Spec: spec})
	return d
}

// serving returns a planner of the small model on one node of four GPUs, whose
// pipeline is up. It is 10 s now.
func serving(t *testing.T, change func(*experiment.Spec)) *driver {
	spec := fixture.Small()
	if change != nil {
		change(&spec)
	}
	d := newDriver(t, spec)
	d.at(0, event.InstanceAcquired{Instances: fixture.Nodes(0)}, event.TimerFired{Timer: "plan"})
	d.at(10, event.StageStarted{Epoch: epoch1})
	d.events = nil
	return d
}

func (d *driver) at(second float64, bodies ...event.Body) { d.from("node-0", second, bodies...) }

// from is at, by another source.
func (d *driver) from(source string, second float64, bodies ...event.Body) {
	for _, b := range bodies {
		d.seq++
		now := vtime.Seconds(second)
		for _, e := range d.planner.Step(now, event.Event{Run: "run", Source: source, Seq: d.seq, Time: now, Body: b}) {
			if e.Publishes() {
				d.events = append(d.events, e.Event)
			} else {
				d.timers[e.Timer.Timer] = e.Timer.At
			}
		}
	}
}

// kinds lists what was published since the last call.
func (d *driver) kinds() string {
	var out []string
	for _, ev := range d.events {
		out = append(out, string(ev.Body.Kind()))
	}
	d.events = nil
	return strings.Join(out, " ")
}

// last returns the last published body of type B.
func last[B event.Body](d *driver) B {
	d.t.Helper()
	for _, ev := range slices.Backward(d.events) {
		if b, ok := ev.Body.(B); ok {
			return b
		}
	}
	var none B
	d.t.Fatalf("no %s was published", none.Kind())
	return none
}

func arrived(id event.RequestID) event.RequestArrived {
	return event.RequestArrived{Request: id, PromptTokens: 512, OutputTokens: 128}
}

func TestTheFirstPlanWaitsForItsInstant(t *testing.T) {
	d := newDriver(t, fixture.Small())
	d.at(3, event.InstanceAcquired{Instances: fixture.Nodes(0)})
	// The timer lets every node that joins at the same instant in.
	if got := d.timers["plan"]; got != vtime.Seconds(3) {
		t.Fatalf("the plan is due at %s, want at once", got)
	}
	d.at(3, event.InstanceAcquired{Instances: fixture.Nodes(1)}, event.TimerFired{Timer: "plan"})
	chosen := last[event.ConfigChosen](d)
	if chosen.GPUs != 8 || chosen.Epoch != epoch1 || chosen.ChangeAt != vtime.Seconds(3) {
		t.Errorf("%+v, want the first plan of term 7, for both nodes", chosen)
	}
	for _, ev := range d.events {
		if apply, ok := ev.Body.(event.ApplyMigration); ok && (ev.Time != vtime.Seconds(3.01) || apply.Begin != vtime.Seconds(3)) {
			t.Errorf("the command arrives at %s, want one send delay later", ev.Time)
		}
	}
}

func TestRefusesRequestsThatCannotBeServed(t *testing.T) {
	d := serving(t, nil)
	d.at(11,
		event.RequestArrived{Request: 0, PromptTokens: 0, OutputTokens: 1},
		event.RequestArrived{Request: 1, PromptTokens: 1, OutputTokens: -1},
		event.RequestArrived{Request: 2, PromptTokens: 1, OutputTokens: 1},
	)
	want := "prompt tokens 1 and output tokens -1 must be positive"
	if got := last[event.RequestRefused](d); got.Request != 1 || got.Reason != want {
		t.Errorf("%+v, want %q", got, want)
	}
	d.at(12, event.RunEnded{Reason: event.Stopped})
	if got := last[event.RunFinished](d); got.Refused != 2 || got.Accepted != 1 || got.UnfinishedAtEnd != 1 {
		t.Errorf("%+v, want two refused and one unfinished", got)
	}
}

func TestARequestArrivesOnce(t *testing.T) {
	d := serving(t, nil)
	d.at(11, arrived(0), arrived(0))
	if got := d.kinds(); got != "assign_requests" {
		t.Errorf("published %s, want one assignment", got)
	}
}

func TestFacts(t *testing.T) {
	batch := event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{0}, At: vtime.Seconds(12)}
	done := event.BatchCompleted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{0}, StartedAt: vtime.Seconds(12), EndedAt: vtime.Seconds(14)}
	d := serving(t, nil)
	d.at(11, arrived(0))
	d.at(12, batch)
	d.at(14.02, done, done) // delivered twice
	if got := d.kinds(); got != "assign_requests request_completed" {
		t.Errorf("published %s, want one answer", got)
	}
	d.at(20, event.RunEnded{Reason: event.EndOfTrace})
	finished := last[event.RunFinished](d)
	if finished.Completed != 1 || finished.Duplicated != 1 || finished.TokensServed != 640 || finished.Lost != 0 {
		t.Errorf("%+v, want one answer of 640 tokens and its duplicate", finished)
	}
}

func TestFactsOfOtherPlansAreFenced(t *testing.T) {
	d := serving(t, nil)
	d.at(11, arrived(0))
	d.kinds()
	for _, e := range []event.Epoch{{Term: 7, N: 2}, {Term: 6, N: 1}, {}} {
		d.at(12,
			event.StageStarted{Epoch: e}, event.BatchStarted{Epoch: e, Batch: 1, Requests: []event.RequestID{0}},
			event.TokensCommitted{Epoch: e, Batch: 1, Tokens: 5},
			event.BatchCompleted{Epoch: e, Batch: 1, Requests: []event.RequestID{0}}, event.PipelineExited{Epoch: e},
		)
	}
	if got := d.kinds(); got != "" {
		t.Errorf("published %s", got)
	}
}

func TestLateFactsAreCountedAndTaken(t *testing.T) {
	d := serving(t, nil)
	d.at(9, arrived(0)) // it is 10 s already
	if got := d.events[0]; got.Body.Kind() != "assign_requests" || got.Time != vtime.Seconds(10.01) {
		t.Errorf("%+v, want the assignment now", got)
	}
	d.at(9, event.TimerFired{Timer: "nonsense"}) // its own timers are never late
	d.at(12, event.RunEnded{Reason: event.EndOfTrace})
	if got := last[event.RunFinished](d).LateFacts; got != 1 {
		t.Errorf("%d late facts, want 1", got)
	}
}

func TestARunBeginsOnceAndEndsOnce(t *testing.T) {
	d := &driver{t: t, planner: planner.New(1), timers: make(map[string]vtime.Time)}
	d.at(1, arrived(0), event.InstanceAcquired{Instances: fixture.Nodes(0)}, event.RunEnded{})
	if got := d.kinds(); got != "" {
		t.Errorf("before the run: %s", got)
	}
	d = serving(t, nil)
	d.at(11, event.RunStarted{Spec: fixture.GPT20B()}, arrived(0))
	if got := d.kinds(); got != "assign_requests" {
		t.Errorf("a second start: %s", got)
	}
	d.at(12, event.RunEnded{Reason: event.Stopped})
	if !d.planner.Finished() {
		t.Fatal("the run goes on after its end")
	}
	if got := d.kinds(); got != "request_unfinished node_time_accounted drain run_finished" {
		t.Errorf("at the end: %s", got)
	}
	d.at(13, event.RunEnded{Reason: event.Stopped}, arrived(9), event.InstanceLost{Nodes: []string{"node-0"}}, event.TimerFired{Timer: "plan"})
	if got := d.kinds(); got != "" {
		t.Errorf("after the end: %s", got)
	}
}

func TestASpecThatCannotBeReadEndsTheRun(t *testing.T) {
	spec := fixture.Small()
	spec.Profile.Tensors = nil
	d := newDriver(t, spec)
	if got := d.kinds(); got != "run_finished" || !d.planner.Finished() {
		t.Errorf("published %q", got)
	}
}

func TestEndings(t *testing.T) {
	draining := func(s *experiment.Spec) { s.Drain = true }
	batch := event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{0}, At: vtime.Seconds(11)}
	done := event.BatchCompleted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{0}, EndedAt: vtime.Seconds(30)}
	for _, tt := range []struct {
		name   string
		change func(*experiment.Spec)
		play   func(*driver)
		reason event.EndReason // "" while the run goes on
	}{
		{"the trace", nil, func(d *driver) { d.at(20, event.RunEnded{Reason: event.EndOfTrace}) }, event.EndOfTrace},
		{"draining, one open", draining, func(d *driver) { d.at(20, event.RunEnded{Reason: event.EndOfTrace}) }, ""},
		{"drained", draining, func(d *driver) {
			d.at(20, event.RunEnded{Reason: event.EndOfTrace})
			d.at(30.02, done)
		}, event.EndOfTrace},
		{"nothing to drain", draining, func(d *driver) {
			d.at(15, done)
			d.at(20, event.RunEnded{Reason: event.EndOfTrace})
		}, event.EndOfTrace},
		{"stopped, though it would drain", draining, func(d *driver) { d.at(20, event.RunEnded{Reason: event.Stopped}) }, event.Stopped},
		{"draining, and the last node goes", draining, func(d *driver) {
			d.at(20, event.RunEnded{Reason: event.EndOfTrace})
			d.at(21, event.InstanceLost{Nodes: []string{"node-0"}})
			d.at(22, event.TimerFired{Timer: "plan"})
		}, event.EndOfTrace},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := serving(t, tt.change)
			d.at(11, arrived(0), batch)
			tt.play(d)
			if got, want := d.planner.Finished(), tt.reason != ""; got != want {
				t.Fatalf("finished: %t, want %t", got, want)
			}
			if tt.reason == "" {
				return
			}
			got := last[event.RunFinished](d)
			if got.Reason != tt.reason || got.Accepted != got.Completed+got.UnfinishedAtEnd || got.Accepted != 1 {
				t.Errorf("%+v, want the end by %s with one request", got, tt.reason)
			}
		})
	}
}

func TestNodesArePaidByMarketAndTime(t *testing.T) {
	d := newDriver(t, fixture.Small())
	onDemand := fixture.Nodes(1)
	onDemand[0].Market = "on-demand"
	d.at(0, event.InstanceAcquired{Instances: fixture.Nodes(0)})
	d.at(1800, event.InstanceAcquired{Instances: onDemand})
	d.at(3600, event.InstanceLost{Nodes: []string{"node-0"}})
	if got, want := last[event.NodeTimeAccounted](d), (event.NodeTimeAccounted{
		Node: "node-0", Market: "spot", To: vtime.Seconds(3600), USD: 1.9046,
	}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	d.at(5400, event.RunEnded{Reason: event.EndOfTrace})
	if got, want := last[event.RunFinished](d).CostUSD, 1.9046+3.912; got != want {
		t.Errorf("the run cost %v USD, want %v: an hour of each", got, want)
	}
}

// TestIdleSparesComeAndGoUnnoticed: the same configuration on the same devices
// needs no plan.
func TestIdleSparesComeAndGoUnnoticed(t *testing.T) {
	spec := fixture.GPT20B()
	d := newDriver(t, spec)
	d.at(0, event.InstanceAcquired{Instances: fixture.Nodes(0, 1, 2, 3, 4, 5, 6)}, event.TimerFired{Timer: "plan"})
	for p := range 2 {
		for n := range 7 {
			d.seq++
			d.planner.Step(vtime.Seconds(7), event.Event{
				Run: "run", Source: fmt.Sprintf("node-%d", n), Seq: d.seq, Body: event.StageStarted{Epoch: epoch1, Pipeline: p},
			})
		}
	}
	d.kinds()
	// 2x3x4 works on six of seven nodes.
	d.at(10, event.PreemptionNoticed{Nodes: []string{"node-6"}, Deadline: vtime.Seconds(40)})
	d.at(40, event.InstanceLost{Nodes: []string{"node-6"}})
	d.at(50, event.AcquisitionNoticed{Instances: fixture.Nodes(7), ReadyAt: vtime.Seconds(80)})
	d.at(80, event.InstanceAcquired{Instances: fixture.Nodes(7)})
	if got := d.kinds(); got != "node_time_accounted" {
		t.Errorf("published %s, want the spare's bill alone", got)
	}
}

// BenchmarkDecision is what one notice costs: controller, mapping and the
// migration's estimate for the fleet without a node.
func BenchmarkDecision(b *testing.B) {
	for _, nodes := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			m := planner.New(1)
			step := func(source string, body event.Body) []effect.Effect {
				return m.Step(0, event.Event{Run: "run", Source: source, Body: body})
			}
			numbers := make([]int, nodes)
			for i := range numbers {
				numbers[i] = i
			}
			step("", event.RunStarted{Spec: fixture.GPT20B()})
			step("", event.InstanceAcquired{Instances: fixture.Nodes(numbers...)})
			for _, e := range slices.Clone(step("", event.TimerFired{Timer: "plan"})) {
				chosen, ok := e.Event.Body.(event.ConfigChosen)
				for _, place := range chosen.Pipelines {
					for _, node := range place.Nodes {
						step(node, event.StageStarted{Epoch: chosen.Epoch, Pipeline: place.Pipeline})
					}
				}
				if ok && chosen.Config.IsZero() {
					b.Fatal("nothing is deployed")
				}
			}
			// Taken again and again, the notice is weighed each time.
			for b.Loop() {
				step("", event.PreemptionNoticed{Nodes: []string{"node-1"}, Deadline: vtime.Seconds(30)})
			}
		})
	}
}
