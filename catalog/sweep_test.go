package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

func TestSweep(t *testing.T) {
	runs := mustRead(t, smallFile+"seeds: [3, 5]\nsweep:\n  grace: [0, 30]\n  approach: [spotserve, rerouting, reparallelization]\n")
	var got []string
	for _, run := range runs {
		spec, _ := mustResolve(t, run.Start)
		if spec.Seed != run.Seed || !reflect.DeepEqual(spec.Sweep, run.Sweep) || spec.Kind != experiment.Custom || spec.Name != "mine" {
			t.Errorf("the run is seed %d, %v, its spec seed %d, %v", run.Seed, run.Sweep, spec.Seed, spec.Sweep)
		}
		if want := []experiment.SweepValue{{Key: "grace", Value: fmt.Sprint(spec.Grace.Seconds())}, {Key: "approach", Value: string(spec.Approach)}}; !reflect.DeepEqual(spec.Sweep, want) {
			t.Errorf("the point is %v, the spec's settings %v", spec.Sweep, want)
		}
		got = append(got, fmt.Sprintf("%v %s %d", spec.Grace.Seconds(), spec.Approach, spec.Seed))
	}
	want := []string{
		"0 spotserve 3", "0 spotserve 5", "0 rerouting 3", "0 rerouting 5", "0 reparallelization 3", "0 reparallelization 5",
		"30 spotserve 3", "30 spotserve 5", "30 rerouting 3", "30 rerouting 5", "30 reparallelization 3", "30 reparallelization 5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the runs are\n%q, want\n%q", got, want)
	}
}

// TestSweptKeys: each key changes what its name says, and nothing else.
func TestSweptKeys(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.csv"), []byte(requestsText(100)), 0o600); err != nil {
		t.Fatal(err)
	}
	fixed := strings.Replace(smallFile, "{name: As}", "{fixed: {instances: 4, end_s: 90000}}", 1)
	for _, tt := range []struct {
		file, sweep string
		value       func(experiment.Spec) any
		want        []any
	}{
		{smallFile, "rate: [0.5, 0.25]", func(s experiment.Spec) any { return s.ArrivalRate }, []any{0.5, 0.25}},
		{smallFile, "arrivals.rate_rps: [0.5, 0.25]", func(s experiment.Spec) any { return s.ArrivalRate }, []any{0.5, 0.25}},
		{strings.Replace(fixed, "rate_rps: 0.35", "file: a.csv", 1), "rate: [0.01, 0.1]", func(s experiment.Spec) any { return s.ArrivalRate }, []any{100. / 90000, 100. / 90000}},
		{smallFile, "slo: [1, 2]", func(s experiment.Spec) any { return s.SLOP99.Seconds() }, []any{1., 2.}},
		{smallFile, "headroom: [1, 2]", func(s experiment.Spec) any { return s.Headroom }, []any{1., 2.}},
		{smallFile, "objective: [latency, cost]", func(s experiment.Spec) any { return s.Objective }, []any{experiment.Objective(""), experiment.MinCost}},
		{smallFile, "batching: [pooled, continuous]", func(s experiment.Spec) any { return s.Batching }, []any{experiment.Pooled, experiment.Continuous}},
		{smallFile, "batch_limit: [1, 8]", func(s experiment.Spec) any { return s.BatchLimit }, []any{1, 8}},
		{smallFile, "level: [0, 4]", func(s experiment.Spec) any { return s.Level }, []any{0, 4}},
		{smallFile, "price: [1, 1.5]", func(s experiment.Spec) any { return s.Instance.SpotUSDPerHour }, []any{1., 1.5}},
		{smallFile, "instance.usable_gpu_memory_gb: [14, 15]", func(s experiment.Spec) any { return s.Instance.GPUMemoryBytes }, []any{int64(14e9), int64(15e9)}},
		{smallFile, "engine.engine_start_s: [1, 20]", func(s experiment.Spec) any { return s.Engine.EngineStart.Seconds() }, []any{1., 20.}},
		{smallFile, "model: [20B, 30B]", func(s experiment.Spec) any { return s.Model.Name }, []any{"20B", "30B"}},
		{smallFile, "instance: [g4dn.12xlarge, g5.12xlarge]", func(s experiment.Spec) any { return s.Profile.Name }, []any{"T4-20B", "A10G-20B-roofline"}},
		{smallFile, "trace: [As, Bs]", func(s experiment.Spec) any { return s.Trace }, []any{"As", "Bs"}},
		{smallFile, "trace.name: [As, Bs]", func(s experiment.Spec) any { return s.Trace }, []any{"As", "Bs"}},
		{smallFile, "trace: [{name: As, label: x}, {fixed: {instances: 3, end_s: 60}}]", func(s experiment.Spec) any { return s.Trace }, []any{"x", "fixed-3"}},
		{fixed, "instances: [3, 5]", func(s experiment.Spec) any { return len(s.Nodes) }, []any{3, 5}},
		{smallFile, "prompt_tokens: [100, {distribution: uniform, min: 1, max: 99}]", func(s experiment.Spec) any { return s.PromptTokens }, []any{100, 50}},
		{smallFile, "profile: [{estimate: roofline}, T4-20B]", func(s experiment.Spec) any { return s.Profile.Name }, []any{"T4-20B-roofline", "T4-20B"}},
		{smallFile, "provision: [{mode: replay}, {mode: closed-loop, max_instances: 4}]", func(s experiment.Spec) any { return s.Provision }, []any{experiment.Provision(""), experiment.ClosedLoop}},
	} {
		custom, err := ReadCustom(filepath.Join(folder, "x.yaml"), []byte(tt.file+"sweep: {"+tt.sweep+"}\n"))
		if err != nil {
			t.Errorf("%s: %v", tt.sweep, err)
			continue
		}
		var got []any
		for _, run := range custom.Runs() {
			spec, _ := mustResolve(t, run.Start)
			got = append(got, tt.value(spec))
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.sweep, got, tt.want)
		}
	}
}

// TestRunsNeedNoFolderAndNoSweep: the text of a run stands for that run alone,
// wherever it is read.
func TestRunsNeedNoFolderAndNoSweep(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"a.csv": requestsText(100), "t.csv": "0,add,a\n0,add,b\n0,add,c\n9000,remove,b\n", "p.json": strings.ReplaceAll(smallProfile, `"layer_num": 10`, `"layer_num": 44, "padded_layer_num": 48`)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := `
name: &n files # a comment stays
model: {base: 20B}
instance: g4dn.12xlarge
x: 1
`
	text = strings.Replace(text, "x: 1", `trace: {file: t.csv, end_s: 90000}
profile: {file: p.json}
arrivals: &a {file: a.csv}
seeds: 2
sweep: {rate: [0.1, 0.2], trace.file: [t.csv], description: []}`, 1)
	if _, err := ReadCustom(filepath.Join(folder, "x.yaml"), []byte(text)); err == nil || !strings.Contains(err.Error(), `key "description" cannot be swept`) {
		t.Errorf("a swept description gave %v", err)
	}
	custom, err := ReadCustom(filepath.Join(folder, "x.yaml"), []byte(strings.Replace(text, ", description: []", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	runs := custom.Runs()
	if len(runs) != 4 || custom.Name() != "files" {
		t.Fatalf("%d runs of %q, want 4 of files", len(runs), custom.Name())
	}
	for _, run := range runs {
		again, err := ReadCustom("/nowhere/y.yaml", []byte(run.Start.YAML))
		if err != nil {
			t.Fatalf("%v\n%s", err, run.Start.YAML)
		}
		want, wantTimeline := mustResolve(t, run.Start)
		if len(again.Runs()) != 1 || !reflect.DeepEqual(again.Runs()[0].Sweep, run.Sweep) || again.Runs()[0].Seed != run.Seed {
			t.Fatalf("read again, the run is %+v", again.Runs())
		}
		got, timeline := mustResolve(t, again.Runs()[0].Start)
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(timeline, wantTimeline) {
			t.Errorf("read again, the run resolves to\n%+v, want\n%+v", got, want)
		}
		if !strings.Contains(run.Start.YAML, "# a comment stays") || strings.Contains(run.Start.YAML, "&") {
			t.Errorf("the text of the run is\n%s", run.Start.YAML)
		}
	}
}

// TestResolveRefusesSeveralRuns: a start is one run.
func TestResolveRefusesSeveralRuns(t *testing.T) {
	for text, want := range map[string]string{
		"seeds: 2":                           `experiment "mine" stands for 2 runs`,
		"sweep: {grace: [0, 30, 60]}":        `experiment "mine" stands for 3 runs`,
		"sweep: {grace: [0, 30]}\nseeds: 50": `experiment "mine" stands for 100 runs`,
	} {
		_, _, err := Resolve(event.StartExperiment{Experiment: experiment.Custom, YAML: smallFile + text})
		if _, ok := errors.AsType[*RefusedError](err); !ok || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got error %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{"seeds: [4]", "seeds: 1", "sweep: {grace: [7]}"} {
		if _, _, err := Resolve(event.StartExperiment{Experiment: experiment.Custom, YAML: smallFile + text}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestLargeSweepsAreBounded in runs and in their text.
func TestLargeSweepsAreBounded(t *testing.T) {
	axis := func(n int) string {
		var values []string
		for i := range n {
			values = append(values, fmt.Sprint(i))
		}
		return "[" + strings.Join(values, ", ") + "]"
	}
	for _, tt := range []struct{ text, want string }{
		{"sweep: {grace: " + axis(101) + ", rate_window_s: " + axis(100) + "}", "FILE:6: the sweep has more than 10000 points"},
		{"sweep: {grace: " + axis(11) + "}\nseeds: 1000", "FILE:6: sweep and seeds are 11000 runs, allowed are 10000"},
		{"seeds: 9999\ndescription: " + strings.Repeat("long ", 10_000), "FILE: 9999 runs of a file of this length are more than 256 MiB"},
	} {
		if _, err := ReadCustom("FILE", []byte(smallFile+tt.text)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got error %v, want %s...", err, tt.want)
		}
	}
	if runs := mustRead(t, smallFile+"sweep: {grace: "+axis(50)+", rate_window_s: "+axis(20)+"}"); len(runs) != 1000 {
		t.Errorf("%d runs, want 1000", len(runs))
	}
}

// TestEverySeedIsChecked: a generated trace can be too small under one seed.
func TestEverySeedIsChecked(t *testing.T) {
	text := strings.Replace(smallFile, "{name: As}", "{generate: {kind: poisson, instances: 4, up_at_start: 2, mean_up_s: 600, mean_down_s: 600, end_s: 900}}", 1)
	enough := 0
	for seed := range 20 {
		if _, err := ReadCustom("FILE", fmt.Appendf(nil, "%sseed: %d\n", text, seed+1)); err == nil {
			enough++
		}
	}
	if enough == 0 || enough == 20 {
		t.Fatalf("%d of 20 seeds give instances enough, the test wants some", enough)
	}
	if _, err := ReadCustom("FILE", []byte(text+"seeds: 20\n")); err == nil || !strings.Contains(err.Error(), "the fleet never has more than") {
		t.Errorf("got error %v", err)
	}
}
