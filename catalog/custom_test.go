package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

const smallFile = `name: mine
model: 20B
instance: g4dn.12xlarge
trace: {name: As}
arrivals: {rate_rps: 0.35}
`

// mustRead returns the runs of a file.
func mustRead(t *testing.T, text string) []CustomRun {
	t.Helper()
	custom, err := ReadCustom(filepath.Join(t.TempDir(), "mine.yaml"), []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return custom.Runs()
}

// mustBe resolves the one run of a file.
func mustBe(t *testing.T, text string) (experiment.Spec, experiment.Timeline) {
	t.Helper()
	runs := mustRead(t, text)
	if len(runs) != 1 {
		t.Fatalf("%d runs, want 1, of\n%s", len(runs), text)
	}
	return mustResolve(t, runs[0].Start)
}

func TestSmallestCustomFile(t *testing.T) {
	spec, timeline := mustBe(t, smallFile)
	rate, headroom := 0.35, 1.14 // multiplied as floats, not as constants
	if spec.Kind != experiment.Custom || spec.Name != "mine" || spec.Approach != experiment.SpotServe || spec.Trace != "As" ||
		spec.Arrivals != "poisson" || spec.Quirks != experiment.QuirksNone || spec.Seed != 1 || spec.TimeScale != 60 || spec.Drain ||
		spec.Grace != 30*time.Second || spec.ArrivalRate != 0.35 || spec.RequiredThroughput != rate*headroom || spec.BatchLimit != 4 ||
		spec.Batching != experiment.Pooled || spec.PoolDepth != 1 || spec.PromptTokens != 512 || spec.OutputTokens != 128 ||
		spec.LongestPrompt != 0 || spec.LongestOutput != 0 || spec.CommitInterval != 32 || spec.LargestFleet != 40 ||
		spec.MigrationBuffer != 1<<30 || spec.RateWindow != 0 || spec.Headroom != 1.14 || spec.Objective != "" || spec.SLOP99 != 0 ||
		spec.Provision != "" || spec.Sweep != nil || spec.End != vtime.Seconds(1320) || len(spec.Nodes) != 11 ||
		spec.Model.MinGPUs != 12 || spec.Profile.Name != "T4-20B" || spec.Instance.Name != "g4dn.12xlarge" || spec.Engine.EngineStart != 7*time.Second {
		t.Errorf("got %+v", spec)
	}
	if len(timeline.Arrivals) < 400 || timeline.Arrivals[0].PromptTokens != 512 || timeline.Arrivals[0].OutputTokens != 128 {
		t.Errorf("got %d arrivals, the first %+v", len(timeline.Arrivals), timeline.Arrivals[0])
	}
}

func TestCustomSettings(t *testing.T) {
	spec, _ := mustBe(t, `
name: all-settings
description: every plain setting at another value
approach: spotserve
level: 2
seed: 18446744073709551615
time_scale: 0.5
quirks: artifact
drain: true
grace_s: 0
objective: slo
slo_p99_s: 12.5
required_throughput_rps: 3
headroom: 2
rate_window_s: 60
batching: continuous
batch_limit: 64
pool_depth: 3
commit_interval_tokens: 8
migration_buffer_gib: 0.5
provision: {mode: closed-loop, max_instances: 6, candidate_pool: 1, on_demand: true, spot_start_s: 30, on_demand_start_s: 90}
model: 20B
instance: g4dn.12xlarge
trace: {label: capacity, fixed: {instances: 5, end_s: 600}}
arrivals: {kind: gamma, cv: 2, rate_rps: 1, prompt_tokens: 100, output_tokens: 20}
`)
	want := experiment.Provisioning{MaxInstances: 6, CandidatePool: 1, OnDemand: true, SpotStart: 30 * time.Second, OnDemandStart: 90 * time.Second}
	if spec.Level != 2 || spec.Seed != 1<<64-1 || spec.TimeScale != 0.5 || spec.Quirks != experiment.QuirksArtifact || !spec.Drain || spec.Grace != 0 ||
		spec.Objective != experiment.MeetSLO || spec.SLOP99 != 12500*time.Millisecond || spec.RequiredThroughput != 3 || spec.Headroom != 2 ||
		spec.RateWindow != time.Minute || spec.Batching != experiment.Continuous || spec.BatchLimit != 64 || spec.PoolDepth != 3 ||
		spec.CommitInterval != 8 || spec.MigrationBuffer != 1<<29 || spec.Provision != experiment.ClosedLoop || spec.Provisioning != want ||
		spec.Trace != "capacity" || spec.Arrivals != "gamma" || spec.PromptTokens != 100 || spec.OutputTokens != 20 {
		t.Errorf("got %+v", spec)
	}
	if spec.LargestFleet != 24 {
		t.Errorf("at most %d GPUs, want those of 6 instances", spec.LargestFleet)
	}
	nodes := []string{"node-0", "node-1", "node-2", "node-3", "node-4", "od-0", "od-1", "od-2", "od-3", "od-4", "od-5"}
	if !slices.Equal(spec.Nodes, nodes) {
		t.Errorf("nodes are %v, want %v", spec.Nodes, nodes)
	}
}

func TestRequiredThroughputFollowsFromTheRate(t *testing.T) {
	rate, headroom := 0.5, 1.14                    // multiplied as floats, not as constants
	for text, want := range map[string][2]float64{ // required, headroom
		"arrivals: {rate_rps: 0.5}":                                          {rate * headroom, headroom},
		"headroom: 1.5\narrivals: {rate_rps: 0.5}":                           {0.75, 1.5},
		"required_throughput_rps: 1\narrivals: {rate_rps: 0.5}":              {1, 2},
		"headroom: 3\nrequired_throughput_rps: 1\narrivals: {rate_rps: 0.5}": {1, 3},
		"headroom: 2\narrivals: {rates_rps: [0.25, 0.75]}\n":                 {1.0 * 2 * (0.25*60 + 0.75*60) / 120, 2},
	} {
		file := "name: x\nmodel: 20B\ninstance: g4dn.12xlarge\ntrace: {fixed: {instances: 4, end_s: 120}}\n" + text
		if spec, _ := mustBe(t, file); spec.RequiredThroughput != want[0] || spec.Headroom != want[1] {
			t.Errorf("%s: required throughput %v, headroom %v, want %v", text, spec.RequiredThroughput, spec.Headroom, want)
		}
	}
}

// TestCustomParts: parts by name, by mapping, and by mapping over a base.
func TestCustomParts(t *testing.T) {
	spec, _ := mustBe(t, `
name: parts
model: {base: llama-2-7b, weights_gb: 7}
instance: {base: g5.12xlarge, name: cheap, spot_usd_per_hour: 1}
engine: {base: fastertransformer-t4, engine_start_s: 1}
trace: {fixed: {instances: 2, market: spot, end_s: 600}}
arrivals: {rate_rps: 1}
`)
	if spec.Model.Name != "llama-2-7b" || spec.Model.WeightBytes != 7e9 || spec.Model.Layers != 32 || spec.Model.MinGPUs != 0 {
		t.Errorf("got model %+v", spec.Model)
	}
	if spec.Instance.Name != "cheap" || spec.Instance.SpotUSDPerHour != 1 || spec.Instance.GPU != "A10G" || spec.Instance.GPUs != 4 {
		t.Errorf("got instance %+v", spec.Instance)
	}
	if spec.Engine.EngineStart != time.Second || spec.Engine.DaemonRestart != 12*time.Second {
		t.Errorf("got engine %+v", spec.Engine)
	}
	if spec.Profile.Name != "A10G-llama-2-7b-roofline" || spec.Profile.MaxTensor != 8 || spec.Profile.PromptTokens != 512 {
		t.Errorf("got profile %+v", spec.Profile)
	}

	spec, _ = mustBe(t, `
name: mapping
model: {layers: 24, hidden: 2048, heads: 16, kv_heads: 4, ffn: 8192, gated_ffn: true, vocabulary: 32000, bytes_per_element: 2}
instance: {gpu: A100-80, gpus: 8, usable_gpu_memory_gb: 76, inter_node_gbit_per_s: 400, intra_node_gbit_per_s: 4800, spot_usd_per_hour: 10, on_demand_usd_per_hour: 30}
engine: {disk_gb_per_s: 2, engine_start_s: 5}
profile: {estimate: roofline, compute_efficiency: 0.5, decode_context_tokens: 700, max_tensor: 4}
trace: {fixed: {instances: 1, end_s: 60}}
arrivals: {rate_rps: 5}
`)
	heads, layer := 128, 2*2048*128*16+2*2048*128*4+3*2048*8192
	if want := 2 * int64(24*layer+2*32000*2048); spec.Model.WeightBytes != want {
		t.Errorf("the weights are %d bytes, want %d", spec.Model.WeightBytes, want)
	}
	if want := int64(2 * 24 * 4 * heads * 2); spec.Model.KVBytesPerToken != want {
		t.Errorf("a token's KV cache is %d bytes, want %d", spec.Model.KVBytesPerToken, want)
	}
	if spec.Profile.MaxTensor != 4 || spec.Model.Name != "custom" || spec.Instance.Name != "custom" || spec.Engine.DiskBytesPerSecond != 2e9 || spec.Engine.ExecutionScale != 1.02 {
		t.Errorf("got profile %s up to %d, model %s, instance %s", spec.Profile.Name, spec.Profile.MaxTensor, spec.Model.Name, spec.Instance.Name)
	}
	slower, _ := mustBe(t, strings.Replace(smallFile, "model: 20B", "model: 20B\nprofile: {estimate: roofline, compute_efficiency: 0.3}", 1))
	faster, _ := mustBe(t, strings.Replace(smallFile, "model: 20B", "model: 20B\nprofile: {estimate: roofline}", 1))
	if a, b := slower.Profile.Tensors[0].Rows[0].Prefill, faster.Profile.Tensors[0].Rows[0].Prefill; !(a > 1.5*b) {
		t.Errorf("with half the efficiency a prefill takes %v ms instead of %v", a, b)
	}
}

// TestPublishedMinimaHoldWhereTheyWerePublished: 20B needs 12 GPUs of type T4.
func TestPublishedMinimaHoldWhereTheyWerePublished(t *testing.T) {
	spec, _ := mustBe(t, strings.Replace(smallFile, "instance: g4dn.12xlarge", "instance: p4d.24xlarge", 1))
	if spec.Model.MinGPUs != 0 {
		t.Errorf("on A100 GPUs, 20B needs %d", spec.Model.MinGPUs)
	}
}

func TestCustomTraces(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("t.csv", "0,add,a\n0,add,b\n0,add,c\n9000,remove,b\n")
	write("start.csv", "0,add,a\n0,add,b\n0,add,c\n")
	write("t.txt", `[0, "add", {"nodes": ["x1", "x2", "x3"]}]`+"\n"+`[60000, "DONE", {"nodes": []}]`)
	for _, tt := range []struct {
		trace  string
		label  string
		nodes  int
		end    float64
		market cost.Market
		change int
	}{
		{"{name: g4dn-12h}", "g4dn-12h", 79, 43200, cost.Spot, -1},
		{"{name: g4dn-12h, end_s: 1500, label: morning}", "morning", 24, 1500, cost.Spot, 6},
		{"{name: As, end_s: 2000}", "As", 11, 2000, cost.Spot, 6},
		{"{file: t.csv}", filepath.Join(folder, "t.csv"), 3, 9, cost.Spot, 2},
		{"{file: t.csv, market: on-demand, end_s: 60}", filepath.Join(folder, "t.csv"), 3, 60, cost.OnDemand, 2},
		{"{file: start.csv, end_s: 60}", filepath.Join(folder, "start.csv"), 3, 60, cost.Spot, 1},
		{"{file: t.txt}", filepath.Join(folder, "t.txt"), 3, 60, cost.Spot, 1},
		{"{fixed: {instances: 3, end_s: 50.5}}", "fixed-3", 3, 50.5, cost.OnDemand, 1},
		{"{fixed: {instances: 3, market: spot, end_s: 50}}", "fixed-3", 3, 50, cost.Spot, 1},
		{"{end_s: 70, changes: [{at_s: 0, add_spot: [a, b], add_on_demand: [c]}, {at_s: 20, required_throughput_rps: 0.3}, {at_s: 30, remove: [a]}]}", "changes", 3, 70, cost.Spot, 3},
		{"{generate: {kind: poisson, instances: 12, mean_up_s: 600, mean_down_s: 60, end_s: 3600}}", "poisson-12", 12, 3600, cost.Spot, -1},
		{"{generate: {kind: bursty, instances: 12, zones: 3, mean_between_bursts_s: 600, share: 0.5, mean_down_s: 60, end_s: 3600, market: on-demand}}", "bursty-12", 12, 3600, cost.OnDemand, -1},
	} {
		text := strings.Replace(smallFile, "{name: As}", tt.trace, 1)
		custom, err := ReadCustom(filepath.Join(folder, "x.yaml"), []byte(text))
		if err != nil {
			t.Errorf("%s: %v", tt.trace, err)
			continue
		}
		spec, timeline := mustResolve(t, custom.Runs()[0].Start)
		if spec.Trace != tt.label || len(spec.Nodes) != tt.nodes || spec.End != vtime.Seconds(tt.end) || timeline.End != spec.End {
			t.Errorf("%s: got trace %q, %d nodes, end %v", tt.trace, spec.Trace, len(spec.Nodes), spec.End)
		}
		if got := timeline.Changes[0].Instances[0]; got.Market != tt.market || got.GPUs != 4 {
			t.Errorf("%s: got %+v first", tt.trace, got)
		}
		if len(timeline.Changes) != tt.change && tt.change >= 0 || len(timeline.Changes) < 1 {
			t.Errorf("%s: got %d changes, want %d", tt.trace, len(timeline.Changes), tt.change)
		}
	}
}

// TestGeneratedTracesFollowTheirSeed: the run's seed, unless the trace has one
// of its own.
func TestGeneratedTracesFollowTheirSeed(t *testing.T) {
	text := func(seed, own string) string {
		return strings.Replace(smallFile, "{name: As}", "{generate: {kind: poisson, instances: 12, mean_up_s: 600, mean_down_s: 60, end_s: 3600"+own+"}}", 1) + "seed: " + seed + "\n"
	}
	changes := func(text string) string {
		_, timeline := mustBe(t, text)
		return fmt.Sprint(timeline.Changes)
	}
	if changes(text("1", "")) == changes(text("2", "")) {
		t.Error("two seeds make one trace")
	}
	if changes(text("1", ", seed: 5")) != changes(text("2", ", seed: 5")) || changes(text("1", ", seed: 5")) != changes(text("5", "")) {
		t.Error("the trace's own seed does not decide")
	}
	runs := mustRead(t, text("1", ""))
	runs[0].Start.Options.Seed = 2
	_, timeline := mustResolve(t, runs[0].Start)
	if fmt.Sprint(timeline.Changes) != changes(text("2", "")) {
		t.Error("a start's seed does not decide")
	}
}

func TestCustomArrivals(t *testing.T) {
	folder := t.TempDir()
	var csv strings.Builder
	csv.WriteString(requestsHeader + "\n")
	for i := range 100 {
		fmt.Fprintf(&csv, "2023-11-16 18:15:%02d.%d00,%d,%d\n", i/2, i%2*5, 100+i, 1+i%10)
	}
	if err := os.WriteFile(filepath.Join(folder, "a.csv"), []byte(csv.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "a.txt"), []byte("0,1,100,0\n1,3,300,0\n2,99999,100,0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		arrivals                                     string
		n                                            int
		first, last                                  float64
		prompt, output, longestPrompt, longestOutput int
	}{
		{"{file: a.csv}", 100, 0, 49.5, 150, 6, 199, 10}, // the means are 149.5 and 5.5
		{"{kind: file, file: a.csv, rescale: {limit: 10}}", 10, 0, 4.5, 105, 6, 109, 10},
		{"{file: a.csv, rescale: {offset_s: 10}}", 80, 0, 39.5, 160, 6, 199, 10},
		{"{file: a.csv, rescale: {offset_s: 10.25, limit: 2}}", 2, 0.25, 0.75, 122, 3, 0, 0},
		{"{file: a.csv, rescale: {time: 2}}", 100, 0, 99, 150, 6, 199, 10},
		{"{file: a.csv, rescale: {time: 40}}", 66, 0, 1300, 133, 5, 165, 10},
		{"{file: a.csv, rescale: {rate_rps: 0.1}}", 100, 0, 1000, 150, 6, 199, 10},
		{"{file: a.txt}", 2, 1, 3, 200, 128, 300, 0},
		{"{file: a.txt, output_tokens: {distribution: uniform, min: 10, max: 30}}", 2, 1, 3, 200, 20, 300, 30},
	} {
		text := strings.Replace(smallFile, "{rate_rps: 0.35}", tt.arrivals, 1)
		custom, err := ReadCustom(filepath.Join(folder, "x.yaml"), []byte(text))
		if err != nil {
			t.Errorf("%s: %v", tt.arrivals, err)
			continue
		}
		spec, timeline := mustResolve(t, custom.Runs()[0].Start)
		list := timeline.Arrivals
		if len(list) != tt.n || list[0].At != vtime.Seconds(tt.first) || list[len(list)-1].At != vtime.Seconds(tt.last) {
			t.Errorf("%s: got %d requests from %v to %v", tt.arrivals, len(list), list[0].At, list[len(list)-1].At)
		}
		if spec.PromptTokens != tt.prompt || spec.OutputTokens != tt.output || spec.LongestPrompt != tt.longestPrompt || spec.LongestOutput != tt.longestOutput {
			t.Errorf("%s: got prompts of %d up to %d, answers of %d up to %d", tt.arrivals, spec.PromptTokens, spec.LongestPrompt, spec.OutputTokens, spec.LongestOutput)
		}
		if spec.Arrivals != "file" || spec.ArrivalRate != float64(tt.n)/1320 {
			t.Errorf("%s: got arrivals %q at %v", tt.arrivals, spec.Arrivals, spec.ArrivalRate)
		}
	}
}

func TestCustomLengths(t *testing.T) {
	text := strings.Replace(smallFile, "rate_rps: 0.35", `rate_rps: 3
  prompt_tokens: {distribution: lognormal, mean: 200, sigma: 1, min: 10, max: 1000}
  output_tokens: {distribution: weighted, values: [{tokens: 10, weight: 1}, {tokens: 100, weight: 2}]}`, 1)
	text = strings.Replace(text, "{rate", "\n  rate", 1)
	text = strings.TrimSuffix(text, "}\n") + "\n"
	spec, timeline := mustBe(t, text)
	if spec.LongestPrompt != 1000 || spec.LongestOutput != 100 || spec.OutputTokens != 70 || spec.PromptTokens < 180 || spec.PromptTokens > 200 {
		t.Errorf("got prompts of %d up to %d, answers of %d up to %d", spec.PromptTokens, spec.LongestPrompt, spec.OutputTokens, spec.LongestOutput)
	}
	lengths := make(map[int]int)
	for _, a := range timeline.Arrivals {
		lengths[a.OutputTokens]++
		if a.PromptTokens < 10 || a.PromptTokens > 1000 {
			t.Fatalf("a prompt has %d tokens", a.PromptTokens)
		}
	}
	if len(lengths) != 2 || lengths[10] == 0 || lengths[100] < lengths[10] {
		t.Errorf("answers are as long as %v", lengths)
	}
	// Another rate gives the n-th request the same length.
	_, faster := mustBe(t, strings.Replace(text, "rate_rps: 3", "rate_rps: 4", 1))
	for i, a := range timeline.Arrivals {
		if b := faster.Arrivals[i]; a.PromptTokens != b.PromptTokens || a.OutputTokens != b.OutputTokens {
			t.Fatalf("request %d has other lengths at another rate", i)
		}
	}
}

// TestCustomOptions: a start's options go over the file.
func TestCustomOptions(t *testing.T) {
	start := mustRead(t, smallFile)[0].Start
	start.Options = event.StartOptions{Seed: 9, TimeScale: 120, Name: "other name!", Drain: true, Quirks: "artifact"}
	spec, _ := mustResolve(t, start)
	if spec.Seed != 9 || spec.TimeScale != 120 || spec.Name != "other name!" || !spec.Drain || spec.Quirks != experiment.QuirksArtifact {
		t.Errorf("got seed %d, time scale %v, name %q, drain %v, quirks %s", spec.Seed, spec.TimeScale, spec.Name, spec.Drain, spec.Quirks)
	}
	for _, o := range []event.StartOptions{
		{Arrivals: "poisson"}, {Batching: "pooled"}, {PoolDepth: 1}, {RateWindowS: 1}, {MinGPUsWithoutMigrationPlanner: true},
		{AvailabilityFile: "x"}, {ArrivalsFile: "x"}, {ProfileFile: "x"},
	} {
		start.Options = o
		_, _, err := Resolve(start)
		if _, ok := errors.AsType[*RefusedError](err); !ok || !strings.Contains(err.Error(), "its file says it") {
			t.Errorf("%+v: got error %v", o, err)
		}
	}
}

// dayFile is a day with a million requests.
const dayFile = `
name: day
model: 6.7B
instance: g4dn.12xlarge
trace: {generate: {kind: poisson, instances: 200, mean_up_s: 14400, mean_down_s: 1200, end_s: 86400}}
arrivals: {rate_rps: 11.574, prompt_tokens: {distribution: lognormal, mean: 500, sigma: 1, max: 2000}, output_tokens: {distribution: uniform, min: 1, max: 200}}
`

func BenchmarkResolveDay(b *testing.B) {
	custom, err := ReadCustom("day.yaml", []byte(dayFile))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, timeline, err := Resolve(custom.Runs()[0].Start); err != nil || len(timeline.Arrivals) < 990_000 {
			b.Fatal(len(timeline.Arrivals), err)
		}
	}
}

func BenchmarkReadCustomSweep(b *testing.B) {
	text := smallFile + "sweep:\n  rate: [" + strings.Repeat("0.1, ", 99) + "0.1]\n  grace: [" + strings.Repeat("30, ", 99) + "30]\n"
	for b.Loop() {
		if custom, err := ReadCustom("x.yaml", []byte(text)); err != nil || len(custom.Runs()) != 10_000 {
			b.Fatal(err)
		}
	}
}
