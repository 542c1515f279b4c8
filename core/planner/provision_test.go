package planner_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/vtime"
)

// closedLoop is 6.7B at the least cost, a pipeline of 0.75 requests/s a node: the
// requirement of 2 requests/s takes three.
func closedLoop(most, pool int) experiment.Spec {
	spec := fixture.OPT6B7()
	spec.Objective, spec.Provision = experiment.MinCost, experiment.ClosedLoop
	spec.Provisioning = experiment.Provisioning{
		MaxInstances: most, CandidatePool: pool, OnDemand: true, SpotStart: 10 * time.Second, OnDemandStart: 15 * time.Second,
	}
	return spec
}

// asked lists what the planner has asked the cloud for since the last call: when
// the cloud hears it, how many instances, and what is given back.
func (d *driver) asked() string {
	var out []string
	for _, ev := range d.events {
		if b, ok := ev.Body.(event.RequestFleet); ok {
			if ev.To != event.SourceCloud || !b.OnDemand {
				d.t.Errorf("to %q: %+v", ev.To, b)
			}
			out = append(out, strings.TrimSpace(fmt.Sprintf("%.2f: %d %s", ev.Time.Seconds(), b.Instances, strings.Join(b.Release, " "))))
		}
	}
	d.events = nil
	return strings.Join(out, ", ")
}

func onDemand(names ...string) []experiment.Instance {
	var out []experiment.Instance
	for _, n := range names {
		out = append(out, experiment.Instance{Node: n, Market: cost.OnDemand, GPUs: fixture.GPUsPerNode})
	}
	return out
}

func TestAsksForWhatTheLoadTakes(t *testing.T) {
	required := func(rps, from float64) event.ThroughputRequired {
		return event.ThroughputRequired{RequestsPerSecond: rps, From: vtime.Seconds(from)}
	}
	shrink := event.TimerFired{Timer: "shrink"}
	for _, tt := range []struct {
		name       string
		most, pool int
		play       func(d *driver)
		want       string
	}{
		{"at the start: the need and the pool", 8, 2, func(*driver) {}, "0.01: 5"},
		{"no more than the most", 4, 2, func(*driver) {}, "0.01: 4"},
		{"without a pool", 8, 0, func(*driver) {}, "0.01: 3"},
		{"nothing, when no number of instances can serve", 0, 2, func(d *driver) {
			d.at(10, required(3, 40))
		}, ""},
		{"once: what is asked for and on its way counts", 8, 2, func(d *driver) {
			d.at(1, event.InstanceLaunched{Instances: fixture.Nodes(0), ReadyAt: vtime.Seconds(11)})
			d.at(1, event.AcquisitionNoticed{Instances: fixture.Nodes(0), ReadyAt: vtime.Seconds(11)})
			d.at(11, event.InstanceAcquired{Instances: fixture.Nodes(0)})
			d.at(12, event.PreemptionNoticed{Nodes: []string{"node-0"}, Deadline: vtime.Seconds(42)})
			d.at(42, event.InstanceLost{Nodes: []string{"node-0"}})
		}, "0.01: 5"},
		{"more as soon as more will be required", 8, 2, func(d *driver) {
			d.at(10, required(3, 40))
		}, "0.01: 5, 10.01: 6"},
		{"fewer only when fewer have done for a while", 8, 2, func(d *driver) {
			d.at(10, required(1, 10))
			d.at(24.9, shrink)
			d.at(25, shrink)
		}, "0.01: 5, 25.01: 4"},
		{"a dip changes nothing", 8, 2, func(d *driver) {
			d.at(10, required(1, 10))
			d.at(20, required(2, 20))
			d.at(25, shrink)
			d.at(40, shrink)
		}, "0.01: 5"},
		{"nothing after the end", 8, 2, func(d *driver) {
			d.at(10, event.RunEnded{Reason: event.Stopped}, required(3, 40))
		}, "0.01: 5"},
	} {
		d := newDriver(t, closedLoop(tt.most, tt.pool))
		tt.play(d)
		if got := d.asked(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestGivesBack what is there too much: of the two that are wanted one works and
// one stands by.
func TestGivesBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(d *driver)
		want string
	}{
		{"nothing while as many are here as are wanted", func(*driver) {}, ""},
		{"on-demand instances when spot instances are there", func(d *driver) {
			d.at(20, event.InstanceAcquired{Instances: fixture.Nodes(1, 2)})
		}, "20.01: 2 od-0 node-2"},
		{"not yet when they are only launched", func(d *driver) {
			d.at(20, event.InstanceLaunched{Instances: fixture.Nodes(1), ReadyAt: vtime.Seconds(60)})
			d.at(21, event.AcquisitionNoticed{Instances: onDemand("od-7"), ReadyAt: vtime.Seconds(30)})
		}, ""},
		{"first what has not come", func(d *driver) {
			d.at(20, event.InstanceLaunched{Instances: onDemand("od-1", "od-2"), ReadyAt: vtime.Seconds(90)})
			d.at(21, event.InstanceAcquired{Instances: fixture.Nodes(1)})
		}, "21.01: 2 od-2 od-1 od-0"},
		{"not what is announced, until it is here", func(d *driver) {
			d.at(20, event.AcquisitionNoticed{Instances: onDemand("od-1"), ReadyAt: vtime.Seconds(50)})
			d.at(21, event.InstanceAcquired{Instances: fixture.Nodes(1)})
			d.at(50, event.InstanceAcquired{Instances: onDemand("od-1")})
		}, "21.01: 2 od-0, 50.01: 2 od-1"},
		{"once", func(d *driver) {
			d.at(20, event.InstanceAcquired{Instances: fixture.Nodes(1)})
			d.at(21, event.PreemptionNoticed{Nodes: []string{"nobody"}, Deadline: vtime.Seconds(51)})
			d.at(22, event.InstanceLost{Nodes: []string{"od-0"}, Released: true})
		}, "20.01: 2 od-0"},
		{"not for one that will go", func(d *driver) {
			d.at(20, event.InstanceLaunched{Instances: fixture.Nodes(1), ReadyAt: vtime.Seconds(30)})
			d.at(21, event.PreemptionNoticed{Nodes: []string{"node-1"}, Deadline: vtime.Seconds(51)})
			d.at(30, event.InstanceAcquired{Instances: fixture.Nodes(1)})
		}, ""},
	} {
		spec := closedLoop(8, 1)
		spec.RequiredThroughput = 0.5
		d := newDriver(t, spec)
		d.at(1, event.InstanceAcquired{Instances: slices.Concat(fixture.Nodes(0), onDemand("od-0"))}, event.TimerFired{Timer: "plan"})
		d.at(8, event.StageStarted{Epoch: epoch1})
		if got := d.asked(); got != "0.01: 2" {
			t.Fatalf("asked for %s", got)
		}
		tt.play(d)
		if got := d.asked(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestSpotInstancesWorkFirst: an on-demand instance stands by where spot instances
// suffice, whatever their names.
func TestSpotInstancesWorkFirst(t *testing.T) {
	spec := closedLoop(8, 1)
	spec.RequiredThroughput = 1
	d := newDriver(t, spec)
	d.at(1, event.InstanceAcquired{Instances: onDemand("a", "b")}, event.InstanceAcquired{Instances: fixture.Nodes(3, 4)},
		event.TimerFired{Timer: "plan"})
	for _, p := range last[event.ConfigChosen](d).Pipelines {
		if !strings.HasPrefix(p.Leader, "node-") {
			t.Errorf("pipeline %d works on %v", p.Pipeline, p.Nodes)
		}
	}
}
