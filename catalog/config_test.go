package catalog

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// publishedStarts are all published cells.
func publishedStarts() []event.StartExperiment {
	var starts []event.StartExperiment
	for _, approach := range Approaches() {
		for _, model := range Models() {
			for _, trace := range Traces() {
				starts = append(starts, event.StartExperiment{Experiment: experiment.EndToEnd, Approach: approach, Model: model, Trace: trace})
			}
		}
		for _, trace := range TracesOf(experiment.Workload) {
			starts = append(starts, workload(approach, trace))
		}
	}
	for _, nodes := range Fleets() {
		starts = append(starts, onDemand(nodes))
	}
	for level := range Levels() {
		for _, trace := range TracesOf(experiment.Ablation) {
			starts = append(starts, ablation(level, trace, event.StartOptions{}))
		}
	}
	return starts
}

// TestConfigIsAnExperimentFile: what Config prints of every published
// experiment reads back as an experiment of its own with the same spec and the
// same timeline.
func TestConfigIsAnExperimentFile(t *testing.T) {
	starts := publishedStarts()
	if len(starts) != 56 {
		t.Fatalf("there are %d published cells, want 56", len(starts))
	}
	options := []event.StartOptions{
		{},
		{Seed: 7, TimeScale: 240, Quirks: "artifact", Arrivals: "even", Batching: "idle-only", PoolDepth: 2, RateWindowS: 30, Name: "my run", Drain: true},
		{Arrivals: "gamma"},
		{Arrivals: "poisson", Seed: 1 << 63},
	}
	for i, start := range starts {
		start.Options = options[i%len(options)]
		start.Options.MinGPUsWithoutMigrationPlanner = start.Experiment == experiment.Ablation
		checkRoundTrip(t, start)
	}
}

func checkRoundTrip(t *testing.T, start event.StartExperiment) {
	t.Helper()
	text, err := Config(start)
	if err != nil {
		t.Fatal(err)
	}
	custom, err := ReadCustom("printed.yaml", text)
	if err != nil {
		t.Fatalf("the printed file does not read back: %v\n%s", err, text)
	}
	runs := custom.Runs()
	if len(runs) != 1 || len(runs[0].Sweep) != 0 {
		t.Fatalf("the printed file stands for %d runs", len(runs))
	}
	want, wantTimeline := mustResolve(t, start)
	got, timeline := mustResolve(t, runs[0].Start)
	if got.Kind != experiment.Custom || got.Name != custom.Name() {
		t.Errorf("kind %q, name %q, want custom and %q", got.Kind, got.Name, custom.Name())
	}
	got.Kind, got.Name = want.Kind, want.Name
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v: got  %+v\nwant %+v\n%s", start, got, want, text)
	}
	if !reflect.DeepEqual(timeline, wantTimeline) {
		t.Errorf("%+v: the timelines differ", start)
	}
	for _, said := range []string{"# An experiment file", "approach: " + string(want.Approach), "source: ", "grace_s: 30 # notice"} {
		if !strings.Contains(string(text), said) {
			t.Errorf("%+v: the printed file has no %q:\n%s", start, said, text)
		}
	}
}
