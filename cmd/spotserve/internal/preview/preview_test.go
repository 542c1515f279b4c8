package preview

import (
	"math"
	"testing"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
)

func resolve(t *testing.T, start event.StartExperiment) (experiment.Spec, experiment.Timeline) {
	t.Helper()
	spec, timeline, err := catalog.Resolve(start)
	if err != nil {
		t.Fatal(err)
	}
	return spec, timeline
}

// TestOf: what is previewed is what the run begins with.
func TestOf(t *testing.T) {
	for _, start := range []event.StartExperiment{
		{Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20B", Trace: "As"},
		{Experiment: experiment.EndToEnd, Approach: "rerouting", Model: "30B", Trace: "Bs+o"},
		{Experiment: experiment.OnDemand, Nodes: 3},
		{Experiment: experiment.Workload, Approach: "reparallelization", Trace: "A"},
	} {
		spec, timeline := resolve(t, start)
		got, err := Of(spec, timeline)
		if err != nil {
			t.Fatal(err)
		}
		var want event.ConfigChosen
		if err := sim.Run("whole", spec, timeline, func(ev event.Event) error {
			if chosen, ok := ev.Body.(event.ConfigChosen); ok && want.Config.IsZero() {
				want = chosen
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got.Config != want.Config.String() || got.ThroughputRPS != want.Chosen.Throughput || got.LatencyS != want.Chosen.Latency.Seconds() ||
			got.BatchLimit != want.BatchLimit || got.Why != want.Why || got.ConfigAtS != want.ChangeAt.Seconds() {
			t.Errorf("%+v: previewed is\n%+v\nthe run begins with\n%+v", start, got, want)
		}
		if got.Requests != len(timeline.Arrivals) || got.EndS != timeline.End.Seconds() || got.Sustained() != (want.Chosen.Throughput >= spec.RequiredThroughput) {
			t.Errorf("%+v: previewed is\n%+v", start, got)
		}
	}
}

func TestNodes(t *testing.T) {
	_, timeline := resolve(t, event.StartExperiment{Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20B", Trace: "As"})
	if first, fewest, most := nodes(timeline); first != 7 || fewest > 7 || most < 7 || fewest < 1 {
		t.Errorf("trace As begins with %d nodes and has %d to %d", first, fewest, most)
	}
	at := func(n int) []experiment.Instance { return make([]experiment.Instance, n) }
	for _, tt := range []struct {
		name                string
		changes             []experiment.Change
		first, fewest, most int
	}{
		{"nothing", nil, 0, 0, 0},
		{"later", []experiment.Change{{At: 5, Kind: experiment.Add, Instances: at(3)}}, 0, 0, 3},
		{"at one instant", []experiment.Change{
			{Kind: experiment.Add, Instances: at(2)}, {Kind: experiment.Add, Instances: at(2)},
			{At: 9, Kind: experiment.Remove, Instances: at(4)}, {At: 9, Kind: experiment.Add, Instances: at(3)}, {At: 9, Kind: experiment.Throughput},
		}, 4, 3, 4},
	} {
		if first, fewest, most := nodes(experiment.Timeline{Changes: tt.changes}); first != tt.first || fewest != tt.fewest || most != tt.most {
			t.Errorf("%s: begins with %d and has %d to %d, want %d, %d to %d", tt.name, first, fewest, most, tt.first, tt.fewest, tt.most)
		}
	}
}

func TestNothingFits(t *testing.T) {
	spec, timeline := resolve(t, event.StartExperiment{Experiment: experiment.OnDemand, Nodes: 3})
	spec.Model.MinGPUs = 64
	p, err := Of(spec, timeline)
	if err != nil || p.Config != "" || p.Sustained() {
		t.Errorf("%v, %+v", err, p)
	}
}

func TestRange(t *testing.T) {
	all := []Preview{{Requests: 1_000_000, RateRPS: 1. / 3}, {Requests: 12, RateRPS: 2}}
	if got := RangeOf(all, func(p Preview) int { return p.Requests }).String(); got != "12 to 1000000" {
		t.Errorf("got %s", got)
	}
	if got := RangeOf(all, func(p Preview) float64 { return p.RateRPS }).String(); got != "0.3333 to 2" {
		t.Errorf("got %s", got)
	}
	if got := RangeOf(all, func(p Preview) float64 { return 14400 * p.RateRPS }).String(); got != "4800 to 28800" {
		t.Errorf("got %s", got)
	}
	if got := RangeOf(all[:1], func(p Preview) float64 { return math.Round(p.RateRPS) }).String(); got != "0" {
		t.Errorf("got %s", got)
	}
}
