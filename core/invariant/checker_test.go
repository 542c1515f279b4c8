package invariant_test

import (
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/invariant"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

var epoch = event.Epoch{Term: 1, N: 3}

func assigned(committed int) event.AssignRequests {
	return event.AssignRequests{Epoch: epoch, Requests: []event.AssignedRequest{{Request: 1, Committed: committed}}}
}

func exited(committed int) event.PipelineExited {
	return event.PipelineExited{Epoch: epoch, Interrupted: []event.Progress{{Request: 1, Committed: committed}}}
}

func placed(e event.Epoch, node string, gpu, position int) event.ApplyMigration {
	return event.ApplyMigration{Epoch: e, Placements: []topology.Placement{{
		Device: topology.Device{Node: node, GPU: gpu}, Position: topology.DevicePosition{Tensor: position},
	}}}
}

func completed(arrived, started, finished float64) event.RequestCompleted {
	return event.RequestCompleted{Record: event.RequestRecord{
		Request: 1, Arrived: vtime.Seconds(arrived), Started: vtime.Seconds(started), Finished: vtime.Seconds(finished),
	}}
}

// moved is a plan whose context is complete at ready, with a step that has a
// deadline.
func moved(ready, deadline float64) event.ApplyMigration {
	return event.ApplyMigration{
		Epoch: epoch,
		Steps: []migrate.Step{{After: vtime.Duration(ready), Deadline: vtime.Seconds(deadline)}},
	}
}

// bounded opens a run with a migration buffer of 1 GiB.
func bounded(a experiment.Approach) event.RunStarted {
	return event.RunStarted{Spec: experiment.Spec{Approach: a, MigrationBuffer: 1 << 30}}
}

// joined is the joining of nodes.
func joined(nodes ...string) event.InstanceAcquired {
	var out event.InstanceAcquired
	for _, n := range nodes {
		out.Instances = append(out.Instances, experiment.Instance{Node: n})
	}
	return out
}

// planned is a plan with one pipeline on nodes.
func planned(nodes ...string) event.ConfigChosen {
	return event.ConfigChosen{Epoch: event.Epoch{Term: 1, N: 4}, Pipelines: []event.PipelinePlace{{Nodes: nodes}}}
}

// script is a run of two nodes with one pipeline and one request, one event a
// second.
func script(bodies ...event.Body) []event.Event {
	bodies = append([]event.Body{
		event.RequestArrived{Request: 1},
		event.ConfigChosen{Epoch: epoch, Pipelines: []event.PipelinePlace{{Nodes: []string{"a", "b"}}}},
	}, bodies...)
	out := make([]event.Event, len(bodies))
	for i, b := range bodies {
		out[i] = event.Event{Source: "test", Seq: uint64(i + 1), Time: vtime.Seconds(float64(i + 1)), Body: b}
	}
	return out
}

// check plays events to a checker that knows nodes a and b.
func check(events []event.Event) error {
	c := invariant.NewChecker()
	c.Take(event.Event{Source: "test", Body: joined("a", "b")})
	for _, ev := range events {
		c.Take(ev)
	}
	return c.Err()
}

func TestChecker(t *testing.T) {
	unfinished := event.RequestUnfinished{Record: event.RequestRecord{Request: 1, Finished: vtime.Never}}
	next := event.Epoch{Term: 1, N: 4}
	kept := event.ConfigChosen{Epoch: next, Pipelines: []event.PipelinePlace{{Nodes: []string{"a", "b"}}}}
	for _, tt := range []struct {
		name   string
		events []event.Event
		want   string // of the broken promise; "" if all hold
	}{
		{"completed", script(completed(1, 2, 3), event.RunFinished{Accepted: 1, Completed: 1}), ""},
		{"unfinished", script(unfinished, event.RunFinished{Accepted: 1, UnfinishedAtEnd: 1}), ""},
		{"refused", script(event.RequestRefused{Request: 1}, event.RunFinished{}), ""},
		{"ends twice", script(completed(1, 2, 3), unfinished), "promise 1 broken at 4.000s by test/4 (request_unfinished): request 1 ends a second time"},
		{"never arrived", script(event.RequestRefused{Request: 2}), "request 2 never arrived"},
		{"never ends", script(event.RunFinished{}), "1 requests arrived, 0 ended"},
		{"goes on after its end", script(completed(1, 2, 3), assigned(0)), "promise 1 broken at 4.000s by test/4 (assign_requests): request 1 goes on after its end"},
		{"is reported after its end", script(completed(1, 2, 3), exited(5)), ""},
		{"lost", script(unfinished, event.RunFinished{Lost: 1}), "1 requests lost"},
		{"duplicated", script(unfinished, event.RunFinished{Duplicated: 2}), "2 completions duplicated"},
		{"does not add up", script(unfinished, event.RunFinished{Accepted: 2, Completed: 1}), "accepted 2 is not completed 1 + unfinished 0"},
		{"starts before it arrives", script(completed(2, 1, 3)), "request 1 arrived 2.000s, started 1.000s, finished 3.000s"},
		{"finishes before it starts", script(completed(1, 3, 2)), "finished 2.000s"},

		{"one device a position", script(placed(epoch, "a", 0, 0), placed(epoch, "b", 0, 0)), "promise 2 broken at 4.000s by test/4 (apply_migration): position {0 0 0} belongs to a/0 and b/0"},
		{"one position a device", script(placed(epoch, "a", 0, 0), placed(epoch, "a", 0, 1)), "device a/0 is at {0 0 0} and {0 0 1}"},
		{"a new plan begins anew", script(placed(epoch, "a", 0, 0), placed(next, "b", 0, 0)), ""},
		{"an old plan", script(placed(next, "a", 0, 0), placed(epoch, "b", 0, 1)), "epoch 1.3 after 1.4"},

		{"progress", script(assigned(0), exited(5), assigned(5)), ""},
		{"the planner falls back", script(assigned(5), assigned(4)), "promise 3 broken at 4.000s by test/4 (assign_requests): request 1 falls back from 5 to 4 committed tokens"},
		{"the planner forgets a report", script(exited(5), assigned(4)), "falls back from 5 to 4"},
		{"a pipeline falls back", script(assigned(5), exited(4)), "falls back from 5 to 4"},
		{"a resumed batch falls back", script(assigned(5), event.ApplyMigration{
			Epoch: next, Pipelines: []event.PipelineStart{{Resume: []event.AssignedRequest{{Request: 1, Committed: 4}}}},
		}), "falls back from 5 to 4"},
		{"progress of nobody", script(event.PipelineExited{Interrupted: []event.Progress{{Request: 9}}}), "promise 3 broken at 3.000s by test/3 (pipeline_exited): request 9 never arrived"},
		{"reported before the pipeline lost a node", script(exited(5), event.InstanceLost{Nodes: []string{"b"}}, assigned(4)), "falls back from 5 to 4"},
		{"reported by a pipeline that had lost a node", script(event.InstanceLost{Nodes: []string{"b"}}, exited(5), assigned(4)), ""},
		{"which another node does not excuse", script(event.InstanceLost{Nodes: []string{"c"}}, exited(5), assigned(4)), "falls back from 5 to 4"},
		{"the loss ends a pipeline that the next plan keeps", script(kept, event.InstanceLost{Nodes: []string{"b"}}, exited(5), assigned(4)), ""},
		{"but not one that it replaced", script(exited(5), kept, event.InstanceLost{Nodes: []string{"b"}}, assigned(4)), "falls back from 5 to 4"},

		{"in time", script(moved(30, 30)), ""},
		{"past a deadline", script(moved(30.001, 30)), "promise 4 broken"},
		{"within the buffer", script(bounded(experiment.SpotServe), event.MigrationPlanned{PeakBufferBytes: 1 << 30}), ""},
		{"beyond the buffer", script(bounded(experiment.SpotServe), event.MigrationPlanned{PeakBufferBytes: 1<<30 + 1}), "promise 5 broken"},
		{"no buffer to keep", script(bounded(experiment.Reparallelization), event.MigrationPlanned{PeakBufferBytes: 1 << 40}), ""},

		{"works on a node that has joined", script(joined("c"), planned("a", "c")), ""},
		{"works on a node that nobody knows", script(planned("a", "c")), "promise 8 broken at 3.000s by test/3 (config_chosen): pipeline 0 of plan 1.4 works on c, which has not joined"},
		{"works on a node that is gone", script(event.InstanceLost{Nodes: []string{"b"}}, planned("b")), "works on b, which went at 3.000s"},
		{"works on a node that came back", script(event.InstanceLost{Nodes: []string{"b"}}, joined("b"), planned("b")), ""},
		{"gives a working node back", script(event.RequestFleet{Release: []string{"b"}}), "promise 8 broken at 3.000s by test/3 (request_fleet): b is given back, and works"},
		{"gives a node back that works no more", script(planned("a"), event.RequestFleet{Release: []string{"b"}}), ""},
		{"works on a node that was given back", script(planned("a"), event.RequestFleet{Release: []string{"b"}}, planned("b")), "works on b, which was given back"},
		{"works on a name given again", script(planned("a"), event.RequestFleet{Release: []string{"b"}}, event.InstanceLost{Nodes: []string{"b"}, Released: true}, joined("b"), planned("b")), ""},
	} {
		switch err := check(tt.events); {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestCheckerKeepsTheFirstBrokenPromise(t *testing.T) {
	err := check(script(event.RequestRefused{Request: 2}, assigned(5), assigned(4)))
	if err == nil || !strings.Contains(err.Error(), "promise 1") {
		t.Errorf("%v, want the first", err)
	}
}

// TestAReportInFlight: a pipeline reports at one second what the planner takes
// a moment later; by then the pipeline has lost a node, and is fenced off.
func TestAReportInFlight(t *testing.T) {
	events := script(exited(5), event.InstanceLost{Nodes: []string{"a"}}, assigned(0))
	events[2].Time = vtime.Seconds(4.02) // the exit, after the loss at 4 s
	if err := check(events); err != nil {
		t.Error(err)
	}
}
