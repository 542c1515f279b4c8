package planner_test

import (
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestView: what a planner shows of a request's life, and of its fleet.
func TestView(t *testing.T) {
	if m := planner.New(1); m.Counts() != (planner.Counts{}) || m.Load() != (planner.Load{}) || m.Fleet() != (planner.Fleet{}) || m.Cause() != "" {
		t.Error("a planner without a run shows something")
	}
	d := newDriver(t, fixture.Small())
	d.at(0, arrived(0), event.InstanceAcquired{Instances: fixture.Nodes(0)})
	d.at(0, event.AcquisitionNoticed{Instances: fixture.Nodes(1), ReadyAt: vtime.Seconds(500)})
	steps := []struct {
		what    string
		at      float64
		body    event.Body
		load    planner.Load
		counts  planner.Counts
		fleet   planner.Fleet
		running int
	}{
		{"planned", 0, event.TimerFired{Timer: "plan"}, planner.Load{Queued: 1, Pipelines: 1, Starting: true},
			planner.Counts{Arrived: 1}, planner.Fleet{Ready: 1, Booting: 1}, 0},
		{"up", 10, event.StageStarted{Epoch: epoch1}, planner.Load{InFlight: 1, Pipelines: 1},
			planner.Counts{Arrived: 1}, planner.Fleet{Ready: 1, Booting: 1}, 0},
		{"refused", 11, event.RequestArrived{Request: 1}, planner.Load{InFlight: 1, Pipelines: 1},
			planner.Counts{Arrived: 2, Refused: 1}, planner.Fleet{Ready: 1, Booting: 1}, 0},
		{"begun", 12, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{0}, At: vtime.Seconds(12)},
			planner.Load{InFlight: 1, Pipelines: 1}, planner.Counts{Arrived: 2, Refused: 1}, planner.Fleet{Ready: 1, Booting: 1}, 1},
		{"late and of another plan", 11, event.BatchStarted{Batch: 1}, planner.Load{InFlight: 1, Pipelines: 1},
			planner.Counts{Arrived: 2, Refused: 1, LateFacts: 1}, planner.Fleet{Ready: 1, Booting: 1}, 1},
		{"answered", 14, event.BatchCompleted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{0}, EndedAt: vtime.Seconds(14)},
			planner.Load{Pipelines: 1}, planner.Counts{Arrived: 2, Refused: 1, LateFacts: 1, Completed: 1, Served: 640}, planner.Fleet{Ready: 1, Booting: 1}, 0},
		{"answered again", 15, event.BatchCompleted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{0}, EndedAt: vtime.Seconds(14)},
			planner.Load{Pipelines: 1}, planner.Counts{Arrived: 2, Refused: 1, LateFacts: 1, Completed: 1, Served: 640, Duplicated: 1}, planner.Fleet{Ready: 1, Booting: 1}, 0},
		{"silent", 16, event.WorkerSilent{Nodes: []string{"node-0"}},
			planner.Load{}, planner.Counts{Arrived: 2, Refused: 1, LateFacts: 1, Completed: 1, Served: 640, Duplicated: 1}, planner.Fleet{Ready: 1, Booting: 1, Silent: 1}, 0},
		{"noticed", 17, event.PreemptionNoticed{Nodes: []string{"node-0"}, Deadline: vtime.Seconds(40)},
			planner.Load{}, planner.Counts{Arrived: 2, Refused: 1, LateFacts: 1, Completed: 1, Served: 640, Duplicated: 1}, planner.Fleet{Leaving: 1, Booting: 1, Silent: 1}, 0},
		{"over", 18, event.RunEnded{Reason: event.Stopped},
			planner.Load{}, planner.Counts{Arrived: 2, Refused: 1, LateFacts: 1, Completed: 1, Served: 640, Duplicated: 1}, planner.Fleet{}, 0},
	}
	for _, s := range steps {
		d.at(s.at, s.body)
		p := d.planner
		if p.Load() != s.load || p.Counts() != s.counts || p.Fleet() != s.fleet || p.Running(epoch1, 0) != s.running {
			t.Errorf("%s: %+v %+v %+v, %d running; want %+v %+v %+v, %d",
				s.what, p.Load(), p.Counts(), p.Fleet(), p.Running(epoch1, 0), s.load, s.counts, s.fleet, s.running)
		}
	}
	finished := last[event.RunFinished](d)
	if c := d.planner.Counts(); c.Completed != finished.Completed || c.LateFacts != finished.LateFacts || c.Duplicated != finished.Duplicated {
		t.Errorf("the run ends with %+v, counted are %+v", finished, c)
	}
}

// TestMissedDeadlines: a pipeline that still runs on a node when it leaves at its
// deadline has missed it. Who goes earlier, or without a notice, leaves no deadline
// to keep.
func TestMissedDeadlines(t *testing.T) {
	lost := event.InstanceLost{Nodes: []string{"node-0"}}
	for name, c := range map[string]struct {
		play func(*driver)
		want int
	}{
		"at the deadline":        {func(d *driver) { d.at(30, goes); d.at(60, lost) }, 1},
		"before it":              {func(d *driver) { d.at(30, goes); d.at(59, lost) }, 0},
		"without a notice":       {func(d *driver) { d.at(60, lost) }, 0},
		"after it was cancelled": {func(d *driver) { d.at(30, goes); d.at(31, stays); d.at(60, lost) }, 0},
		"with nothing on it": {func(d *driver) {
			d.at(30, goes)
			d.at(40, event.PipelineExited{Epoch: epoch1, At: vtime.Seconds(40)})
			d.at(60, lost)
		}, 0},
		"another node": {func(d *driver) { d.at(30, goes); d.at(60, event.InstanceLost{Nodes: []string{"node-9"}}) }, 0},
	} {
		d := serving(t, nil)
		c.play(d)
		if got := d.planner.Counts().Missed; got != c.want {
			t.Errorf("lost %s: %d missed, want %d", name, got, c.want)
		}
	}
}

// TestMissedSources: a pipeline that starts waits for context from a node that
// leaves earlier than it said at first.
func TestMissedSources(t *testing.T) {
	for name, c := range map[string]struct {
		after float64 // seconds from the plan to the deadline and the loss
		want  int
	}{"while it loads": {0, 1}, "when it has all": {400, 0}} {
		d := serving(t, nil)
		d.at(30, event.InstanceAcquired{Instances: fixture.Nodes(1)},
			event.PreemptionNoticed{Nodes: []string{"node-0"}, Deadline: vtime.Seconds(900)})
		d.at(40, event.PipelineExited{Epoch: epoch1, At: vtime.Seconds(40)})
		plan := d.timers["plan"].Seconds()
		d.at(plan, event.TimerFired{Timer: "plan"})
		for _, p := range last[event.ConfigChosen](d).Pipelines {
			if slices.Contains(p.Nodes, "node-0") {
				t.Fatalf("%s: planned on the node that leaves", name)
			}
		}
		if moves := last[event.MigrationPlanned](d); moves.ModelBytes == 0 {
			t.Fatalf("%s: nothing moves", name)
		}
		at := plan + c.after
		d.at(at, event.PreemptionNoticed{Nodes: []string{"node-0"}, Deadline: vtime.Seconds(at)})
		d.at(at, event.InstanceLost{Nodes: []string{"node-0"}})
		if got := d.planner.Counts().Missed; got != c.want {
			t.Errorf("%s: %d missed, want %d", name, got, c.want)
		}
	}
}

// TestCauses of plans.
func TestCauses(t *testing.T) {
	d := serving(t, nil)
	if got := d.planner.Cause(); got != planner.Start {
		t.Errorf("the first plan is because of %q", got)
	}
	d.at(30, event.InstanceAcquired{Instances: fixture.Nodes(1)}, event.PipelineExited{Epoch: epoch1, At: vtime.Seconds(30)})
	d.at(d.timers["plan"].Seconds(), event.TimerFired{Timer: "plan"})
	second := last[event.ConfigChosen](d)
	if got := d.planner.Cause(); got != planner.Improvement {
		t.Errorf("a plan for one node more is because of %q", got)
	}
	up := func(e event.ConfigChosen, at float64) {
		for _, p := range e.Pipelines {
			for _, n := range p.Nodes {
				d.seq++
				d.planner.Step(vtime.Seconds(at), event.Event{Run: "run", Source: n, Seq: d.seq, Time: vtime.Seconds(at),
					Body: event.StageStarted{Epoch: e.Epoch, Pipeline: p.Pipeline}})
			}
		}
	}
	up(second, 200)
	d.at(210, event.PreemptionNoticed{Nodes: []string{"node-0"}, Deadline: vtime.Seconds(300)})
	for _, p := range second.Pipelines {
		d.from(p.Leader, 211, event.PipelineExited{Epoch: second.Epoch, Pipeline: p.Pipeline, At: vtime.Seconds(211)})
	}
	d.at(d.timers["plan"].Seconds(), event.TimerFired{Timer: "plan"})
	third := last[event.ConfigChosen](d)
	if got := d.planner.Cause(); got != planner.Preemption {
		t.Errorf("a plan for one node less is because of %q", got)
	}
	up(third, 400)
	d.at(410, event.WorkerSilent{Nodes: []string{"node-1"}}, event.WorkerJoined{})
	d.planner.Step(vtime.Seconds(411), event.Event{Run: "run", Source: "node-1", Seq: 1 << 33, Time: vtime.Seconds(411), Body: event.WorkerJoined{}})
	d.at(max(411, d.timers["plan"].Seconds()), event.TimerFired{Timer: "plan"})
	if got := last[event.ConfigChosen](d); d.planner.Cause() != planner.Failure || got.Epoch == third.Epoch {
		t.Errorf("plan %s after a silent worker is because of %q", got.Epoch, d.planner.Cause())
	}
}
