package event_test

import (
	"cmp"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// classes holds all payloads that a core takes, in the declared order of the
// same instant: completion, response, fleet, arrival, dispatch, timer.
var classes = [][]event.Body{
	{event.TimerFired{Timer: "batch/0", Completion: true}},
	{
		event.ContextMigrated{}, event.StageStarted{}, event.BatchStarted{}, event.TokensCommitted{},
		event.BatchCompleted{}, event.PipelineExited{}, event.RequestsJoined{}, event.RequestsLeft{}, event.WatermarkAdvanced{},
	},
	{
		event.RunStarted{}, event.AcquisitionNoticed{}, event.InstanceAcquired{}, event.PreemptionNoticed{},
		event.InstanceLost{}, event.ThroughputRequired{}, event.RunEnded{}, event.WorkerSilent{}, event.WorkerJoined{},
		event.PreemptionCancelled{}, event.RebalanceRecommended{},
		event.SpotCapacityOffered{}, event.SpotCapacityWithdrawn{}, event.InstanceLaunched{},
	},
	{event.RequestArrived{}},
	{
		event.ApplyMigration{}, event.AssignRequests{}, event.ArrangeInterruption{}, event.StopPipeline{}, event.Drain{},
		event.RequestFleet{},
	},
	{event.TimerFired{Timer: "plan"}},
}

func TestSameInstantFollowsTheDeclaredClasses(t *testing.T) {
	for i, earlier := range classes {
		for _, later := range classes[i+1:] {
			for _, a := range earlier {
				for _, b := range later {
					// Source and sequence speak for the wrong order.
					x := event.Event{Time: 5, Source: "z", Seq: 9, Body: a}
					y := event.Event{Time: 5, Source: "a", Seq: 1, Body: b}
					if event.Compare(x, y) != -1 || event.Compare(y, x) != 1 {
						t.Errorf("%s does not come before %s", a.Kind(), b.Kind())
					}
					// An earlier instant goes before every class.
					if y.Time = 4; event.Compare(y, x) != -1 {
						t.Errorf("%s does not come first when it is earlier", b.Kind())
					}
				}
			}
		}
	}
}

func TestSameClassFollowsSourceThenSequence(t *testing.T) {
	at := func(source string, seq uint64) event.Event {
		return event.Event{Time: 5, Source: source, Seq: seq, Body: event.BatchStarted{}}
	}
	inOrder := []event.Event{at("node-1", 2), at("node-1", 10), at("node-2", 1)}
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got, want := event.Compare(a, b), cmp.Compare(i, j); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", a.ID(), b.ID(), got, want)
			}
		}
	}
}

// TestCompareIsTotal: whatever order events are delivered in, they sort the same.
func TestCompareIsTotal(t *testing.T) {
	r := draw.Stream(1, "events")
	var events []event.Event
	for seq := range uint64(200) {
		class := classes[r.IntN(len(classes))]
		events = append(events, event.Event{
			Time: vtime.Time(r.IntN(5)), Source: []string{"a", "b", "c"}[r.IntN(3)], Seq: seq, Body: class[r.IntN(len(class))],
		})
	}
	want := slices.SortedFunc(slices.Values(events), event.Compare)
	for range 20 {
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		if got := slices.SortedFunc(slices.Values(events), event.Compare); !slices.Equal(ids(got), ids(want)) {
			t.Fatal("another order of delivery sorts otherwise")
		}
	}
}

func ids(events []event.Event) []event.ID {
	out := make([]event.ID, len(events))
	for i, e := range events {
		out[i] = e.ID()
	}
	return out
}

func TestIDPrints(t *testing.T) {
	if got := (event.ID{Source: "node-3", Seq: 17}).String(); got != "node-3/17" {
		t.Errorf("%q, want node-3/17", got)
	}
}

func TestEpochOrdersByTermFirst(t *testing.T) {
	inOrder := []event.Epoch{{Term: 1, N: 1}, {Term: 1, N: 9}, {Term: 2, N: 1}, {Term: 2, N: 2}}
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got, want := a.Less(b), i < j; got != want {
				t.Errorf("%s before %s: %t, want %t", a, b, got, want)
			}
		}
	}
	if got := inOrder[1].String(); got != "1.9" {
		t.Errorf("prints %q, want 1.9", got)
	}
}

// TestKindsAreUnique: a kind is the last part of a subject, so two payloads must
// not share one.
func TestKindsAreUnique(t *testing.T) {
	bodies := slices.Concat(slices.Concat(classes[:5]...), []event.Body{
		event.TimerFired{},
		event.StartExperiment{}, event.StopExperiment{}, event.ExperimentAccepted{}, event.ExperimentRefused{},
		event.RollCalled{}, event.ServicePresent{}, event.RunRecorded{},
		event.PlannerElected{}, event.SourcesGivenUp{}, event.ConfigChosen{}, event.MigrationPlanned{}, event.RequestCompleted{}, event.RequestUnfinished{},
		event.RequestRefused{}, event.NodeTimeAccounted{}, event.RunFinished{},
	})
	seen := make(map[event.Kind]event.Body)
	for _, b := range bodies[1:] {
		if other, taken := seen[b.Kind()]; taken || b.Kind() == "" {
			t.Errorf("%T and %T are both %q", b, other, b.Kind())
		}
		seen[b.Kind()] = b
	}
}
