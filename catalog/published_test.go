package catalog

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

func TestResolveWorkload(t *testing.T) {
	e2eSpec, _ := mustResolve(t, e2e("20B", "As", event.StartOptions{}))
	for _, approach := range Approaches() {
		spec, timeline := mustResolve(t, workload(approach, "A"))
		want := e2eSpec
		want.Kind, want.Approach, want.Trace = experiment.Workload, experiment.Approach(approach), "A"
		want.RequiredThroughput, want.Headroom, want.Batching = 0.6, 1.143, experiment.IdleOnly
		want.LargestFleet, want.End = 48, vtime.Seconds(1140)
		want.ArrivalRate = spec.ArrivalRate
		want.Nodes = nodeNames[:12]
		if !reflect.DeepEqual(spec, want) {
			t.Errorf("%s: got  %+v\nwant %+v", approach, spec, want)
		}
		if math.Abs(spec.ArrivalRate-0.5975) > 1e-4 {
			t.Errorf("%s: the mean rate is %v, want 0.5975", approach, spec.ArrivalRate)
		}
		wantChanges := []experiment.Change{
			{At: 0, Kind: experiment.Add, Instances: instances(cost.Spot, 0, 1, 2, 3, 4, 5, 6)},
			{At: vtime.Seconds(120), Kind: experiment.Add, Instances: instances(cost.OnDemand, 7, 8, 9)},
			{At: vtime.Seconds(300), Kind: experiment.Throughput, RequiredThroughput: 0.8},
			// The parent trace has ten spot nodes by now.
			{At: vtime.Seconds(360), Kind: experiment.Add, Instances: instances(cost.Spot, 10, 11)},
			{At: vtime.Seconds(600), Kind: experiment.Remove, Instances: instances(cost.OnDemand, 8, 9), RequiredThroughput: 0.6},
		}
		if !reflect.DeepEqual(timeline.Changes, wantChanges) {
			t.Errorf("%s: got changes  %v\nwant %v", approach, timeline.Changes, wantChanges)
		}
		checkMinutes(t, timeline.Arrivals, builtin().rates["maf"].RatesRPS)
	}
	b, _ := mustResolve(t, workload("rerouting", "B"))
	if b.Trace != "B" || b.LargestFleet != 48 || b.End != vtime.Seconds(1140) || len(b.Nodes) != 15 {
		t.Errorf("B: got trace %s, largest fleet %d, end %v, %d nodes", b.Trace, b.LargestFleet, b.End, len(b.Nodes))
	}
}

// checkMinutes requires as many arrivals in each minute as its rate says, save
// for the gaps over its borders: the artifact's gaps are nearly even.
func checkMinutes(t *testing.T, arrivals []experiment.Arrival, rates []float64) {
	t.Helper()
	counts := make([]int, len(rates))
	for _, a := range arrivals {
		counts[int(a.At.Seconds()/60)]++
	}
	for minute, rate := range rates {
		if got, want := float64(counts[minute]), 60*rate; math.Abs(got-want) > 3 {
			t.Errorf("%v requests arrive in minute %d, want about %v", got, minute, want)
		}
	}
}

func TestOtherArrivalsFollowTheRatesToo(t *testing.T) {
	for _, kind := range []string{"even", "poisson", "gamma"} {
		start := workload("spotserve", "A")
		start.Options.Arrivals = kind
		_, timeline := mustResolve(t, start)
		if kind == "even" {
			checkMinutes(t, timeline.Arrivals, builtin().rates["maf"].RatesRPS)
		}
		if len(timeline.Arrivals) == 0 {
			t.Errorf("%s: nothing arrives", kind)
		}
	}
}

// TestLevelZeroIsTheEndToEndRun: the published ablation compares with it, so
// nothing else may differ.
func TestLevelZeroIsTheEndToEndRun(t *testing.T) {
	options := event.StartOptions{Seed: 5, Arrivals: "poisson"}
	for name, trace := range map[string]string{"A": "As", "B": "Bs"} {
		want, wantTimeline := mustResolve(t, e2e("20B", trace, options))
		want.Kind = experiment.Ablation
		for level := range Levels() {
			spec, timeline := mustResolve(t, ablation(level, name, options))
			want.Level = level
			if !reflect.DeepEqual(spec, want) || !reflect.DeepEqual(timeline, wantTimeline) {
				t.Errorf("level %d on %s: got  %+v\nwant %+v", level, name, spec, want)
			}
		}
	}
}

func TestMoreGPUsWithoutTheMigrationPlanner(t *testing.T) {
	var got []int
	for level := range Levels() {
		spec, _ := mustResolve(t, ablation(level, "A", event.StartOptions{MinGPUsWithoutMigrationPlanner: true}))
		got = append(got, spec.Model.MinGPUs)
	}
	if want := []int{12, 12, 16, 16, 16}; !slices.Equal(got, want) {
		t.Errorf("by level the model needs %v GPUs, want %v", got, want)
	}
}

// TestLargestFleets are those that the artifact's scripts pass to rerouting: 10
// nodes end to end, 12 under the workload that fluctuates.
func TestLargestFleets(t *testing.T) {
	for _, trace := range Traces() {
		if spec, _ := mustResolve(t, e2e("20B", trace, event.StartOptions{})); spec.LargestFleet != 10*4 {
			t.Errorf("%s: largest fleet %d, want 40 GPUs", trace, spec.LargestFleet)
		}
	}
	for _, trace := range TracesOf(experiment.Workload) {
		if spec, _ := mustResolve(t, workload("rerouting", trace)); spec.LargestFleet != 12*4 {
			t.Errorf("%s: largest fleet %d, want 48 GPUs", trace, spec.LargestFleet)
		}
	}
	for _, nodes := range Fleets() {
		if spec, _ := mustResolve(t, onDemand(nodes)); spec.LargestFleet != nodes*4 {
			t.Errorf("%d nodes: largest fleet %d", nodes, spec.LargestFleet)
		}
	}
	// A node that leaves as another joins is not up beside it.
	swap := Availability{Changes: []FleetChange{
		{At: 0, Kind: experiment.Add, Nodes: []string{"a", "b"}},
		{At: 9, Kind: experiment.Add, Nodes: []string{"c"}}, {At: 9, Kind: experiment.Remove, Nodes: []string{"a"}},
	}}
	if got := swap.largest(); got != 2 {
		t.Errorf("largest fleet %d, want 2", got)
	}
}
