package planner_test

import (
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/vtime"
)

// outside hands over what the cloud of node-0 says.
func (d *driver) outside(second float64, b event.Body) {
	d.seq++
	now := vtime.Seconds(second)
	for _, e := range d.planner.Step(now, event.Event{Run: "run", Source: event.SourceNotice("node-0"), Seq: d.seq, Time: now, Body: b}) {
		if e.Publishes() {
			d.events = append(d.events, e.Event)
		} else {
			d.timers[e.Timer.Timer] = e.Timer.At
		}
	}
}

var (
	goes  = event.PreemptionNoticed{Nodes: []string{"node-0"}, Deadline: vtime.Seconds(60)}
	stays = event.PreemptionCancelled{Nodes: []string{"node-0"}}
)

// TestOnlyAnOutsideNoticeIsWatched: the replayer says itself when a node is lost,
// however late.
func TestOnlyAnOutsideNoticeIsWatched(t *testing.T) {
	d := serving(t, nil)
	d.at(30, goes)
	if at, set := d.timers["gone/node-0"]; set {
		t.Errorf("a trace's notice is watched until %s", at)
	}
	d = serving(t, nil)
	d.outside(30, goes)
	if at := d.timers["gone/node-0"]; at != vtime.Seconds(62) {
		t.Errorf("the node is waited for until %s, want 62 s", at)
	}
	d.outside(31, goes) // no news
	earlier := goes
	earlier.Deadline = vtime.Seconds(50)
	d.outside(32, earlier)
	if at := d.timers["gone/node-0"]; at != vtime.Seconds(52) {
		t.Errorf("with an earlier deadline the node is waited for until %s, want 52 s", at)
	}
	d.outside(33, stays)
	if at := d.timers["gone/node-0"]; at != vtime.Never {
		t.Errorf("after it was cancelled the node is waited for until %s", at)
	}
}

// TestASilentLoss: the planner says that the node is lost, and does what it does
// when somebody else says so; once.
func TestASilentLoss(t *testing.T) {
	d := serving(t, nil)
	d.outside(30, goes)
	d.events = nil
	d.at(62, event.TimerFired{Timer: "gone/node-0"})
	if lost := last[event.InstanceLost](d); !slices.Equal(lost.Nodes, []string{"node-0"}) {
		t.Errorf("lost are %v", lost.Nodes)
	}
	// Paid until its deadline, as in any other case.
	if paid := last[event.NodeTimeAccounted](d); paid.Node != "node-0" || paid.To != vtime.Seconds(60) {
		t.Errorf("%+v, want node-0 until 60 s", paid)
	}
	d.events = nil
	d.outside(62, event.InstanceLost{Nodes: []string{"node-0"}}) // its word has come after all
	d.at(63, event.TimerFired{Timer: "gone/node-0"}, event.TimerFired{Timer: "gone/nobody"})
	if got := d.kinds(); got != "" {
		t.Errorf("it says %s, want nothing more", got)
	}
}

// TestALossThatWasSaidIsNotSaidAgain, nor one of a node that has come back.
func TestALossThatWasSaidIsNotSaidAgain(t *testing.T) {
	d := serving(t, nil)
	d.outside(30, goes)
	d.outside(60, event.InstanceLost{Nodes: []string{"node-0"}})
	d.at(61, event.InstanceAcquired{Instances: fixture.Nodes(0)})
	d.events = nil
	d.at(62, event.TimerFired{Timer: "gone/node-0"})
	if got := d.kinds(); got != "" {
		t.Errorf("it says %s, want nothing", got)
	}
}

// TestACancelledNotice in each phase of a reconfiguration.
func TestACancelledNotice(t *testing.T) {
	exit := event.PipelineExited{Epoch: epoch1, StartedAt: vtime.Never}
	planned := "config_chosen migration_planned apply_migration"
	for _, tt := range []struct {
		name string
		play func(d *driver)
		want string // what the cancellation, and what comes after, brings about
	}{
		{"of a node that nobody has noticed", func(d *driver) {
			d.outside(30, stays)
		}, ""},
		{"of a node that there is not", func(d *driver) {
			d.outside(30, event.PreemptionCancelled{Nodes: []string{"nobody"}})
		}, ""},
		{"while the pipeline runs", func(d *driver) {
			d.outside(30, goes)
			d.events = nil
			d.outside(40, stays)
			d.at(70, event.TimerFired{Timer: "plan"}) // nothing is to be planned
		}, "arrange_interruption"},
		{"when the pipeline has exited: it comes back, on the node", func(d *driver) {
			d.outside(30, goes)
			d.at(40, exit)
			d.events = nil
			d.outside(40.1, stays)
			d.at(41, event.TimerFired{Timer: "plan"})
		}, planned},
		{"when the pipeline exits before it hears of it", func(d *driver) {
			d.outside(30, goes)
			d.outside(40, stays)
			d.events = nil
			d.at(40.02, exit)
			d.at(41, event.TimerFired{Timer: "plan"})
		}, planned},
		{"after the plan, when nothing is left: the node is taken anew", func(d *driver) {
			d.outside(30, goes)
			d.at(40, exit)
			d.at(41, event.TimerFired{Timer: "plan"})
			d.events = nil
			d.outside(50, stays)
			d.at(51, event.TimerFired{Timer: "plan"})
		}, planned},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := serving(t, nil)
			tt.play(d)
			if got := d.kinds(); got != tt.want {
				t.Errorf("it says %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCallOff tells the pipeline that it goes on, whatever the time.
func TestCallOff(t *testing.T) {
	d := serving(t, nil)
	d.outside(30, goes)
	d.outside(40, stays)
	if off := last[event.ArrangeInterruption](d); !off.Acquisition || off.At != vtime.Never || off.Epoch != epoch1 {
		t.Errorf("%+v calls nothing off", off)
	}
}

// TestARebalanceMovesNothing by itself; the next plan leaves the node out.
func TestARebalanceMovesNothing(t *testing.T) {
	d := newDriver(t, fixture.Small())
	d.at(0, event.InstanceAcquired{Instances: fixture.Nodes(0)}, event.TimerFired{Timer: "plan"})
	d.at(10, event.StageStarted{Epoch: epoch1})
	d.events = nil
	d.outside(20, event.RebalanceRecommended{Nodes: []string{"node-0", "nobody"}})
	if got := d.kinds(); got != "" {
		t.Errorf("it says %s, want nothing", got)
	}
}

// TestAnAtRiskNodeIsTheLastChoice of every approach that plans anew.
func TestAnAtRiskNodeIsTheLastChoice(t *testing.T) {
	for _, approach := range []experiment.Approach{experiment.SpotServe, experiment.Reparallelization, experiment.Rerouting} {
		spec := fixture.OPT6B7()
		spec.Approach = approach
		spec.RequiredThroughput = 0.1
		d := newDriver(t, spec)
		d.at(0, event.InstanceAcquired{Instances: fixture.Nodes(0, 1, 2)})
		d.outside(0, event.RebalanceRecommended{Nodes: []string{"node-0"}})
		d.at(0, event.TimerFired{Timer: "plan"})
		chosen := last[event.ConfigChosen](d)
		spare := chosen.GPUs - chosen.Config.Devices()
		used := slices.ContainsFunc(chosen.Pipelines, func(p event.PipelinePlace) bool { return slices.Contains(p.Nodes, "node-0") })
		if spare >= 4 && used {
			t.Errorf("%s: %s with %d GPUs to spare uses the node at risk: %+v", approach, chosen.Config, spare, chosen.Pipelines)
		}
		if spare < 4 && approach == experiment.SpotServe {
			t.Errorf("%s chooses %s of %d GPUs: this tries nothing", approach, chosen.Config, chosen.GPUs)
		}
	}
}
