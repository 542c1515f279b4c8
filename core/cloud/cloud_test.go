package cloud_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/cloud"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// setting is a cloud under test: how long things take, and its capacity.
type setting struct {
	grace, spot, onDemand float64 // seconds; on-demand 0: none allowed
	most                  int
	changes               []experiment.Change
	end                   float64 // 0: 1000 s
}

func add(at float64, nodes ...string) experiment.Change { return change(at, experiment.Add, nodes) }

func remove(at float64, nodes ...string) experiment.Change {
	return change(at, experiment.Remove, nodes)
}

func change(at float64, kind experiment.ChangeKind, nodes []string) experiment.Change {
	c := experiment.Change{At: vtime.Seconds(at), Kind: kind}
	for _, n := range nodes {
		c.Instances = append(c.Instances, experiment.Instance{Node: n, Market: cost.OnDemand, GPUs: 1})
	}
	return c
}

// ask is a request that the cloud takes at a second.
type ask struct {
	at   float64
	want event.RequestFleet
}

func want(at float64, n int, release ...string) ask {
	return ask{at, event.RequestFleet{Instances: n, OnDemand: true, Release: release}}
}

// play drives a cloud through requests and writes what it says, one fact a line:
// when it is taken, and what it is.
func play(s setting, asks ...ask) string {
	spec := experiment.Spec{
		Grace: vtime.Duration(s.grace), Instance: cost.InstanceType{GPUs: 4}, Provision: experiment.ClosedLoop,
		Delays: cost.Delays{Send: 10 * time.Millisecond, Response: 20 * time.Millisecond},
		Provisioning: experiment.Provisioning{
			MaxInstances: s.most, OnDemand: s.onDemand > 0, SpotStart: vtime.Duration(s.spot), OnDemandStart: vtime.Duration(s.onDemand),
		},
	}
	if s.end == 0 {
		s.end = 1000
	}
	core := cloud.New(experiment.Timeline{Changes: s.changes, End: vtime.Seconds(s.end)})
	a := agenda.New(event.SourceCloud)
	a.Push(event.Event{Run: "r", Source: event.SourceReplayer, Seq: 1, Body: event.RunStarted{Spec: spec}})
	for i, q := range asks {
		a.Push(event.Event{
			Run: "r", Source: event.SourcePlanner, Seq: uint64(i + 1), To: event.SourceCloud, Time: vtime.Seconds(q.at), Body: q.want,
		})
	}
	var out strings.Builder
	for {
		ev, ok := a.Next()
		if !ok {
			return out.String()
		}
		a.Pop()
		for _, e := range core.Step(ev.Time, ev) {
			if !e.Publishes() {
				a.Set("r", e.Timer)
			} else if line := describe(e.Event.Body); line != "" {
				fmt.Fprintf(&out, "%.2f %s\n", e.Event.Time.Seconds(), line)
			}
		}
	}
}

func describe(b event.Body) string {
	names := func(instances []experiment.Instance) string {
		var out []string
		for _, i := range instances {
			out = append(out, i.Node)
		}
		return strings.Join(out, " ")
	}
	switch b := b.(type) {
	case event.SpotCapacityOffered:
		return "offered " + strings.Join(b.Nodes, " ")
	case event.SpotCapacityWithdrawn:
		return fmt.Sprintf("withdrawn %s at %.2f", strings.Join(b.Nodes, " "), b.Deadline.Seconds())
	case event.InstanceLaunched:
		return fmt.Sprintf("launched %s until %.2f", names(b.Instances), b.ReadyAt.Seconds())
	case event.AcquisitionNoticed:
		return fmt.Sprintf("will join %s at %.2f", names(b.Instances), b.ReadyAt.Seconds())
	case event.InstanceAcquired:
		return "joined " + names(b.Instances)
	case event.PreemptionNoticed:
		return fmt.Sprintf("will go %s at %.2f", strings.Join(b.Nodes, " "), b.Deadline.Seconds())
	case event.InstanceLost:
		if b.Released {
			return "released " + strings.Join(b.Nodes, " ")
		}
		return "lost " + strings.Join(b.Nodes, " ")
	}
	return ""
}

func TestCloud(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    setting
		asks []ask
		want string
	}{
		{
			"the first spot instances are there at once, on-demand ones start, later ones do both with notice",
			setting{grace: 30, spot: 40, onDemand: 120, most: 9, changes: []experiment.Change{add(0, "a", "b"), add(200, "c")}},
			[]ask{want(0.01, 3)},
			`
0.02 offered a b
0.03 launched a b until 0.03
0.03 launched od-0 until 120.01
0.03 joined a b
90.01 will join od-0 at 120.01
120.01 joined od-0
200.02 offered c
200.02 launched c until 240.00
210.00 will join c at 240.00
240.00 joined c`,
		},
		{
			"a start within the grace period is announced at once",
			setting{grace: 30, spot: 10, most: 9, changes: []experiment.Change{add(5, "a")}},
			[]ask{want(1, 0), want(2, 1), want(4, 2)},
			`
5.02 offered a
5.02 launched a until 15.00
5.02 will join a at 15.00
15.00 joined a`,
		},
		{
			"without grace nothing is announced",
			setting{spot: 10, most: 9, changes: []experiment.Change{add(0, "a"), add(20, "b"), remove(50, "a", "b", "z")}},
			[]ask{want(0.01, 2)},
			`
0.02 offered a
0.03 launched a until 0.03
0.03 joined a
20.02 offered b
20.02 launched b until 30.00
30.00 joined b
50.02 withdrawn a b at 50.00
50.02 lost a b`,
		},
		{
			"a loss with notice is heard in time; spare capacity goes in silence; a launch is cancelled",
			setting{grace: 30, spot: 40, most: 9, changes: []experiment.Change{
				add(0, "a", "b"), add(50, "c"), add(60, "d"), remove(110, "a", "c", "d"),
			}},
			[]ask{want(0.01, 2), want(55, 3)},
			`
0.02 offered a b
0.03 launched a b until 0.03
0.03 joined a b
50.02 offered c
55.02 launched c until 95.00
60.02 offered d
65.00 will join c at 95.00
80.02 withdrawn a c d at 110.00
80.02 will go a at 110.00
80.02 lost c
110.00 lost a`,
		},
		{
			"what is given back is free again, and asked for again it starts anew",
			setting{grace: 30, spot: 40, most: 9, changes: []experiment.Change{add(0, "a", "b")}},
			[]ask{want(0.01, 2), want(10, 1, "b", "nobody"), want(20, 1, "b"), want(30, 2)},
			`
0.02 offered a b
0.03 launched a b until 0.03
0.03 joined a b
10.02 released b
30.02 launched b until 70.00
40.00 will join b at 70.00
70.00 joined b`,
		},
		{
			"a doomed instance is replaced, by what joins when it is gone: the most is kept",
			setting{grace: 30, spot: 40, onDemand: 20, most: 1, changes: []experiment.Change{add(0, "a", "b"), remove(100, "a")}},
			[]ask{want(0.01, 1)},
			`
0.02 offered a b
0.03 launched a until 0.03
0.03 joined a
70.02 withdrawn a at 100.00
70.02 will go a at 100.00
70.02 launched b until 110.00
80.00 will join b at 110.00
100.00 lost a
110.00 joined b`,
		},
		{
			"on-demand instances leave room for the spot instances that replace them",
			setting{grace: 0, spot: 10, onDemand: 5, most: 2, changes: []experiment.Change{add(20, "a", "b", "c")}},
			[]ask{want(0.01, 2), want(40, 2, "od-1"), want(50, 2, "od-0"), want(60, 2)},
			`
0.03 launched od-0 od-1 until 5.01
5.01 joined od-0 od-1
20.02 offered a b c
20.02 launched a b until 30.00
30.00 joined a b
40.02 released od-1
50.02 released od-0`,
		},
		{
			"nothing changes from the end on",
			setting{grace: 30, spot: 10, most: 9, changes: []experiment.Change{add(0, "a"), add(100, "b"), remove(120, "a")}, end: 100},
			[]ask{want(0.01, 3)},
			`
0.02 offered a
0.03 launched a until 0.03
0.03 joined a`,
		},
		{
			"capacity that is about to go is none",
			setting{grace: 30, spot: 10, most: 9, changes: []experiment.Change{add(50, "a"), remove(60, "a"), add(70, "a")}},
			[]ask{want(0.01, 1)},
			`
70.02 offered a
70.02 launched a until 80.00
70.02 will join a at 80.00
80.00 joined a`,
		},
	} {
		// On-demand instances are asked for where the setting allows them.
		for i := range tt.asks {
			tt.asks[i].want.OnDemand = tt.s.onDemand > 0
		}
		if got := play(tt.s, tt.asks...); got != strings.TrimPrefix(tt.want, "\n")+"\n" {
			t.Errorf("%s:\n%s\nwant%s", tt.name, got, tt.want)
		}
	}
}

// TestHandsOutTheExperimentsInstances, whatever the trace says of them.
func TestHandsOutTheExperimentsInstances(t *testing.T) {
	core := cloud.New(experiment.Timeline{Changes: []experiment.Change{add(0, "a")}, End: vtime.Seconds(10)})
	spec := experiment.Spec{
		Instance:     cost.InstanceType{GPUs: 8},
		Provisioning: experiment.Provisioning{MaxInstances: 2, OnDemand: true},
	}
	core.Step(0, event.Event{Run: "r", Source: event.SourceReplayer, Seq: 1, Body: event.RunStarted{Spec: spec}})
	var got []experiment.Instance
	for _, e := range core.Step(0, event.Event{
		Run: "r", Source: event.SourcePlanner, Seq: 1, To: event.SourceCloud, Body: event.RequestFleet{Instances: 2, OnDemand: true},
	}) {
		if b, ok := e.Event.Body.(event.InstanceAcquired); ok {
			got = append(got, b.Instances...)
		}
	}
	want := []experiment.Instance{{Node: "a", Market: cost.Spot, GPUs: 8}, {Node: "od-0", Market: cost.OnDemand, GPUs: 8}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestTakesNothingBeforeTheRun begins.
func TestTakesNothingBeforeTheRun(t *testing.T) {
	core := cloud.New(experiment.Timeline{})
	if got := core.Step(0, event.Event{Body: event.RequestFleet{Instances: 3, OnDemand: true}}); len(got) != 0 {
		t.Errorf("says %+v", got)
	}
}
