package catalog

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

func e2e(model, trace string, options event.StartOptions) event.StartExperiment {
	return event.StartExperiment{Experiment: experiment.EndToEnd, Approach: "spotserve", Model: model, Trace: trace, Options: options}
}

func onDemand(nodes int) event.StartExperiment {
	return event.StartExperiment{Experiment: experiment.OnDemand, Nodes: nodes}
}

func workload(approach, trace string) event.StartExperiment {
	return event.StartExperiment{Experiment: experiment.Workload, Approach: approach, Trace: trace}
}

func ablation(level int, trace string, options event.StartOptions) event.StartExperiment {
	return event.StartExperiment{Experiment: experiment.Ablation, Level: level, Trace: trace, Options: options}
}

func mustResolve(t *testing.T, start event.StartExperiment) (experiment.Spec, experiment.Timeline) {
	t.Helper()
	spec, timeline, err := Resolve(start)
	if err != nil {
		t.Fatal(err)
	}
	return spec, timeline
}

func TestResolveEndToEnd(t *testing.T) {
	spec, timeline := mustResolve(t, e2e("20B", "As", event.StartOptions{Name: "mine", Drain: true}))

	if spec.Profile.Name != "T4-20B" || spec.Model.Name != "20B" {
		t.Errorf("got profile %q of model %q", spec.Profile.Name, spec.Model.Name)
	}
	wantNodes := []string{"node-0", "node-1", "node-2", "node-3", "node-4", "node-5", "node-6", "node-7", "node-8", "node-9", "node-10"}
	if !slices.Equal(spec.Nodes, wantNodes) {
		t.Errorf("nodes are %v, want %v", spec.Nodes, wantNodes)
	}
	// Checked above and in tests of their own.
	spec.Profile, spec.Model, spec.Nodes = cost.Profile{}, cost.Model{}, nil
	required, rate := 0.4, 0.35 // divided as floats, not as constants
	want := experiment.Spec{
		Kind: experiment.EndToEnd, Name: "mine", Approach: experiment.SpotServe, Trace: "As",
		Arrivals: "artifact", Quirks: experiment.QuirksNone, Seed: 1, TimeScale: 60, Drain: true,
		Instance: cost.InstanceType{
			Name: "g4dn.12xlarge", GPU: "T4", GPUs: 4, GPUMemoryBytes: 15e9,
			InterNodeBytesPerSecond: 6.25e9, IntraNodeBytesPerSecond: 6.25e9,
			SpotUSDPerHour: 1.9046, OnDemandUSDPerHour: 3.912,
		},
		Engine: cost.EngineCosts{
			ExecutionScale: 1.02, JitterSigma: 0.02,
			EngineStart: 7 * time.Second, EngineStop: 50 * time.Millisecond, DaemonRestart: 12 * time.Second,
			Planning: 300 * time.Millisecond, MigrationSetup: 500 * time.Millisecond, DiskBytesPerSecond: 5e8,
		},
		Delays:      cost.Delays{Send: 10 * time.Millisecond, Poll: 10 * time.Millisecond, Response: 20 * time.Millisecond},
		Grace:       30 * time.Second,
		ArrivalRate: rate, RequiredThroughput: required,
		BatchLimit: 4, Batching: experiment.Pooled, PoolDepth: 1,
		PromptTokens: 512, OutputTokens: 128, CommitInterval: 32,
		LargestFleet: 40, MigrationBuffer: 1 << 30, Limits: experiment.DefaultLimits(), Headroom: required / rate,
		End: vtime.Seconds(1320),
	}
	if !reflect.DeepEqual(spec, want) {
		t.Errorf("got  %+v\nwant %+v", spec, want)
	}

	wantChanges := []experiment.Change{
		{At: 0, Kind: experiment.Add, Instances: instances(cost.Spot, 0, 1, 2, 3, 4, 5, 6)},
		{At: vtime.Seconds(240), Kind: experiment.Add, Instances: instances(cost.Spot, 7)},
		{At: vtime.Seconds(360), Kind: experiment.Add, Instances: instances(cost.Spot, 8, 9)},
		{At: vtime.Seconds(600), Kind: experiment.Remove, Instances: instances(cost.Spot, 8)},
		{At: vtime.Seconds(900), Kind: experiment.Add, Instances: instances(cost.Spot, 10)},
		{At: vtime.Seconds(1200), Kind: experiment.Remove, Instances: instances(cost.Spot, 3, 10)},
	}
	if !reflect.DeepEqual(timeline.Changes, wantChanges) {
		t.Errorf("got changes  %v\nwant %v", timeline.Changes, wantChanges)
	}
	if timeline.End != vtime.Seconds(1320) {
		t.Errorf("the timeline ends at %v", timeline.End)
	}
	// 0.35 requests/s for 1320 s, almost evenly spaced.
	if n := len(timeline.Arrivals); n < 455 || n > 469 {
		t.Errorf("%d requests arrive, want about 462", n)
	}
	for _, a := range timeline.Arrivals {
		if a.PromptTokens != 512 || a.OutputTokens != 128 || a.At >= timeline.End {
			t.Fatalf("bad arrival %+v", a)
		}
	}
}

func instances(market cost.Market, numbers ...int) []experiment.Instance {
	var out []experiment.Instance
	for _, n := range numbers {
		out = append(out, experiment.Instance{Node: nodeNames[n], Market: market, GPUs: 4})
	}
	return out
}

var nodeNames = []string{"node-0", "node-1", "node-2", "node-3", "node-4", "node-5", "node-6", "node-7", "node-8", "node-9", "node-10", "node-11", "node-12", "node-13", "node-14"}

func TestResolveModels(t *testing.T) {
	tests := []struct {
		model          string
		rate, required float64
	}{
		{"6.7B", 1.5, 2},
		{"20B", 0.35, 0.4},
		{"30B", 0.2, 0.2},
	}
	for _, tt := range tests {
		for _, trace := range Traces() {
			spec, _ := mustResolve(t, e2e(tt.model, trace, event.StartOptions{}))
			if spec.Model.Name != tt.model || spec.Trace != trace || spec.ArrivalRate != tt.rate || spec.RequiredThroughput != tt.required {
				t.Errorf("%s on %s: got model %s, trace %s, rate %v, required throughput %v", tt.model, trace, spec.Model.Name, spec.Trace, spec.ArrivalRate, spec.RequiredThroughput)
			}
		}
	}
}

func TestResolveOnDemandFleets(t *testing.T) {
	for _, nodes := range Fleets() {
		spec, timeline := mustResolve(t, onDemand(nodes))
		want := []experiment.Change{{At: 0, Kind: experiment.Add, Instances: instances(cost.OnDemand, []int{0, 1, 2, 3, 4, 5, 6, 7}[:nodes]...)}}
		if !reflect.DeepEqual(timeline.Changes, want) {
			t.Errorf("%d nodes: got changes %v", nodes, timeline.Changes)
		}
		if len(spec.Nodes) != nodes || spec.Model.Name != "20B" || spec.Approach != experiment.SpotServe || spec.End != vtime.Seconds(1020) {
			t.Errorf("%d nodes: got %d of them, model %s, approach %s, end %v", nodes, len(spec.Nodes), spec.Model.Name, spec.Approach, spec.End)
		}
	}
	named := onDemand(4)
	named.Approach, named.Model = "spotserve", "20B"
	if spec, _ := mustResolve(t, named); spec.Model.Name != "20B" {
		t.Errorf("naming the only model changed it to %s", spec.Model.Name)
	}
}

func TestResolveOptions(t *testing.T) {
	base := event.StartOptions{
		Seed: 7, TimeScale: 240, Quirks: "artifact", Arrivals: "poisson", Batching: "idle-only", PoolDepth: 2, RateWindowS: 30,
	}
	spec, first := mustResolve(t, e2e("20B", "As", base))
	if spec.Seed != 7 || spec.TimeScale != 240 || spec.Quirks != experiment.QuirksArtifact || spec.Arrivals != "poisson" {
		t.Errorf("got seed %d, time scale %v, quirks %s, arrivals %s", spec.Seed, spec.TimeScale, spec.Quirks, spec.Arrivals)
	}
	if spec.Batching != experiment.IdleOnly || spec.PoolDepth != 2 || spec.RateWindow != 30*time.Second {
		t.Errorf("got batching %s, pool depth %d, rate window %s", spec.Batching, spec.PoolDepth, spec.RateWindow)
	}
	if _, again := mustResolve(t, e2e("20B", "As", base)); !reflect.DeepEqual(first, again) {
		t.Error("the same start gave two timelines")
	}
	base.Seed = 8
	if _, other := mustResolve(t, e2e("20B", "As", base)); reflect.DeepEqual(first.Arrivals, other.Arrivals) {
		t.Error("another seed gave the same arrivals")
	}
}

func TestResolveRefuses(t *testing.T) {
	valid := e2e("20B", "As", event.StartOptions{})
	with := func(change func(*event.StartExperiment)) event.StartExperiment {
		start := valid
		change(&start)
		return start
	}
	tests := []struct {
		name  string
		start event.StartExperiment
		want  string // the whole message
	}{
		{"trace", with(func(s *event.StartExperiment) { s.Trace = "As0" }), `unknown trace "As0": allowed are As, Bs, As+o, Bs+o; did you mean As?`},
		{"case of a trace", with(func(s *event.StartExperiment) { s.Trace = "as+O" }), `unknown trace "as+O": allowed are As, Bs, As+o, Bs+o; did you mean As+o?`},
		{"trace of another experiment", with(func(s *event.StartExperiment) { s.Trace = "A" }), `unknown trace "A": allowed are As, Bs, As+o, Bs+o; did you mean As?`},
		{"no trace", with(func(s *event.StartExperiment) { s.Trace = "" }), `unknown trace "": allowed are As, Bs, As+o, Bs+o`},
		{"model", with(func(s *event.StartExperiment) { s.Model = "7B" }), `unknown model "7B": allowed are 6.7B, 20B, 30B; did you mean 6.7B?`},
		{"approach", with(func(s *event.StartExperiment) { s.Approach = "SpotServe" }), `unknown approach "SpotServe": allowed are spotserve, rerouting, reparallelization; did you mean spotserve?`},
		{"no approach", with(func(s *event.StartExperiment) { s.Approach = "" }), `unknown approach "": allowed are spotserve, rerouting, reparallelization`},
		{"kind", with(func(s *event.StartExperiment) { s.Experiment = "E2E" }), `unknown experiment "E2E": allowed are ablation, e2e, ondemand, workload, custom; did you mean e2e?`},
		{"no kind", with(func(s *event.StartExperiment) { s.Experiment = "" }), `unknown experiment "": allowed are ablation, e2e, ondemand, workload, custom`},
		{"custom", with(func(s *event.StartExperiment) { s.Experiment = "custom" }), `approach "spotserve" is no setting of a start of experiment custom: its file says it`},
		{"custom without a file", event.StartExperiment{Experiment: experiment.Custom}, `yaml "" is empty, want the text of an experiment file`},
		{"nodes of a trace", with(func(s *event.StartExperiment) { s.Nodes = 4 }), `nodes "4" is no setting of experiment e2e`},
		{"level", with(func(s *event.StartExperiment) { s.Level = 2 }), `level "2" is no setting of experiment e2e`},
		{"GPUs of an ablation", with(func(s *event.StartExperiment) { s.Options.MinGPUsWithoutMigrationPlanner = true }), `min GPUs without migration planner "true" is no setting of experiment e2e`},
		{"yaml", with(func(s *event.StartExperiment) { s.YAML = "x" }), `yaml "..." is no setting of experiment e2e`},
		{"fleet", onDemand(5), `unknown fleet size "5": allowed are 3, 4, 6, 8; did you mean 4?`},
		{"large fleet", onDemand(100), `unknown fleet size "100": allowed are 3, 4, 6, 8; did you mean 8?`},
		{"negative fleet", onDemand(math.MinInt), `unknown fleet size "-9223372036854775808": allowed are 3, 4, 6, 8; did you mean 3?`},
		{"model of a fleet", event.StartExperiment{Experiment: experiment.OnDemand, Nodes: 4, Model: "30B"}, `unknown model "30B": allowed is 20B; did you mean 20B?`},
		{"trace of a fleet", event.StartExperiment{Experiment: experiment.OnDemand, Nodes: 4, Trace: "As"}, `trace "As" is no setting of experiment ondemand`},
		{"approach of a fleet", event.StartExperiment{Experiment: experiment.OnDemand, Nodes: 4, Approach: "rerouting"}, `unknown approach "rerouting": allowed is spotserve`},
		{"approach of a workload", workload("Rerouting", "A"), `unknown approach "Rerouting": allowed are spotserve, rerouting, reparallelization; did you mean rerouting?`},
		{"no approach of a workload", workload("", "A"), `unknown approach "": allowed are spotserve, rerouting, reparallelization`},
		{"trace of a workload", workload("rerouting", "As"), `unknown trace "As": allowed are A, B; did you mean A?`},
		{"model of a workload", event.StartExperiment{Experiment: experiment.Workload, Approach: "rerouting", Trace: "A", Model: "30B"}, `unknown model "30B": allowed is 20B; did you mean 20B?`},
		{"nodes of a workload", event.StartExperiment{Experiment: experiment.Workload, Approach: "rerouting", Trace: "A", Nodes: 3}, `nodes "3" is no setting of experiment workload`},
		{"level of a workload", event.StartExperiment{Experiment: experiment.Workload, Approach: "rerouting", Trace: "A", Level: 1}, `level "1" is no setting of experiment workload`},
		{"level above the last", ablation(5, "A", event.StartOptions{}), `unknown ablation level "5": allowed are 0, 1, 2, 3, 4; did you mean 4?`},
		{"negative level", ablation(-1, "A", event.StartOptions{}), `unknown ablation level "-1": allowed are 0, 1, 2, 3, 4; did you mean 0?`},
		{"trace of an ablation", ablation(1, "Bs", event.StartOptions{}), `unknown trace "Bs": allowed are A, B; did you mean B?`},
		{"approach of an ablation", event.StartExperiment{Experiment: experiment.Ablation, Trace: "A", Approach: "rerouting"}, `unknown approach "rerouting": allowed is spotserve`},
		{"batching", e2e("20B", "As", event.StartOptions{Batching: "idle_only"}), `unknown batching "idle_only": allowed are pooled, idle-only, continuous; did you mean idle-only?`},
		{"pool depth", e2e("20B", "As", event.StartOptions{PoolDepth: -1}), `pool depth "-1" is not a number of batches of 1 to 1024`},
		{"deep pool", e2e("20B", "As", event.StartOptions{PoolDepth: 1025}), `pool depth "1025" is not a number of batches of 1 to 1024`},
		{"negative rate window", e2e("20B", "As", event.StartOptions{RateWindowS: -1}), `rate window "-1" is not a number of seconds of 0 (keep to the script) to 3600`},
		{"rate window not a number", e2e("20B", "As", event.StartOptions{RateWindowS: math.NaN()}), `rate window "NaN" is not a number of seconds of 0 (keep to the script) to 3600`},
		{"long rate window", e2e("20B", "As", event.StartOptions{RateWindowS: math.Inf(1)}), `rate window "+Inf" is not a number of seconds of 0 (keep to the script) to 3600`},
		{"negative time scale", e2e("20B", "As", event.StartOptions{TimeScale: -1}), `time scale "-1" is not a positive, finite number of experiment seconds a second`},
		{"time scale not a number", e2e("20B", "As", event.StartOptions{TimeScale: math.NaN()}), `time scale "NaN" is not a positive, finite number of experiment seconds a second`},
		{"infinite time scale", e2e("20B", "As", event.StartOptions{TimeScale: math.Inf(1)}), `time scale "+Inf" is not a positive, finite number of experiment seconds a second`},
		{"quirks", e2e("20B", "As", event.StartOptions{Quirks: "nome"}), `unknown quirks setting "nome": allowed are none, artifact; did you mean none?`},
		{"arrivals", e2e("20B", "As", event.StartOptions{Arrivals: "Poison"}), `unknown arrivals kind "Poison": allowed are artifact, gamma, poisson, even, file; did you mean poisson?`},
		{"arrivals file and kind", e2e("20B", "As", event.StartOptions{Arrivals: "gamma", ArrivalsFile: "x"}), `arrivals kind "gamma" does not go with an arrivals file: allowed is file`},
		{"arrivals kind file without one", e2e("20B", "As", event.StartOptions{Arrivals: "file"}), `arrivals kind "file" needs the path of an arrivals file`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Resolve(tt.start)
			if _, ok := errors.AsType[*RefusedError](err); !ok {
				t.Fatalf("got error %v, want a RefusedError", err)
			}
			if err.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
			if _, err := Config(tt.start); err == nil || err.Error() != tt.want {
				t.Errorf("Config fails differently: %v", err)
			}
		})
	}
}

func TestMarketsOfMixedTraces(t *testing.T) {
	// Node time worked out by hand from the rule on withMarkets.
	tests := []struct {
		trace    string
		onDemand []string
	}{
		{"As+o", []string{"node-7", "node-8", "node-9", "node-12"}},
		{"Bs+o", []string{"node-10", "node-11", "node-12"}},
	}
	for _, tt := range tests {
		_, timeline := mustResolve(t, e2e("20B", tt.trace, event.StartOptions{}))
		var got []string
		markets := make(map[string]cost.Market)
		for _, c := range timeline.Changes {
			for _, i := range c.Instances {
				if c.Kind == experiment.Add {
					markets[i.Node] = i.Market
					if i.Market == cost.OnDemand {
						got = append(got, i.Node)
					}
				} else if markets[i.Node] != i.Market {
					t.Errorf("%s: %s joins as %s and leaves as %s", tt.trace, i.Node, markets[i.Node], i.Market)
				}
			}
		}
		if !slices.Equal(got, tt.onDemand) {
			t.Errorf("%s: on-demand are %v, want %v", tt.trace, got, tt.onDemand)
		}
	}
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestResolveFiles(t *testing.T) {
	trace := writeFile(t, "trace.txt", `[0, "add", {"nodes": ["b-10", "b-9"]}]`+"\n"+`[5000, "other", {"nodes": [], "required_tpt": 0.8}]`+"\n"+`[10000, "DONE", {"nodes": []}]`)
	arrivals := writeFile(t, "arrivals.txt", "0,1.5,100,0\n1,9.999,200,7\n2,10,300,9\n")
	profile := writeFile(t, "profile.json", smallProfile)
	spec, timeline := mustResolve(t, e2e("20B", "As", event.StartOptions{AvailabilityFile: trace, ArrivalsFile: arrivals, ProfileFile: profile}))

	wantTimeline := experiment.Timeline{
		Changes: []experiment.Change{
			{At: 0, Kind: experiment.Add, Instances: []experiment.Instance{{Node: "b-10", Market: cost.Spot, GPUs: 4}, {Node: "b-9", Market: cost.Spot, GPUs: 4}}},
			{At: vtime.Seconds(5), Kind: experiment.Throughput, RequiredThroughput: 0.8},
		},
		Arrivals: []experiment.Arrival{
			{At: vtime.Seconds(1.5), PromptTokens: 100, OutputTokens: 128},
			{At: vtime.Seconds(9.999), PromptTokens: 200, OutputTokens: 128},
		},
		End: vtime.Seconds(10),
	}
	if !reflect.DeepEqual(timeline, wantTimeline) {
		t.Errorf("got timeline  %+v\nwant %+v", timeline, wantTimeline)
	}
	if want := []string{"b-9", "b-10"}; !slices.Equal(spec.Nodes, want) {
		t.Errorf("nodes are %v, want %v", spec.Nodes, want)
	}
	if spec.Trace != trace || spec.Arrivals != "file" || spec.End != vtime.Seconds(10) {
		t.Errorf("got trace %q, arrivals %q, end %v", spec.Trace, spec.Arrivals, spec.End)
	}
	// The profile's dimensions replace the model's; hidden is not stated.
	if m := spec.Model; m.Layers != 10 || m.PaddedLayers != 10 || m.Hidden != 6144 || m.KVBytesPerToken != 2*10*6144*4 {
		t.Errorf("got model %+v", m)
	}
	if p := spec.Profile; p.Name != "small" || p.GPU != "T4" || p.MaxTensor != 2 {
		t.Errorf("got profile %+v", p)
	}

	rows := writeFile(t, "trace.csv", "0,add,n1\n2000,add,n2\n4000,remove,n1\n")
	spec, timeline = mustResolve(t, e2e("20B", "As+o", event.StartOptions{AvailabilityFile: rows}))
	if spec.End != vtime.Seconds(4) || len(timeline.Changes) != 3 {
		t.Errorf("CSV: end %v, %d changes", spec.End, len(timeline.Changes))
	}
}

func TestResolveRefusesFiles(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.txt")
	tests := []struct {
		name    string
		options event.StartOptions
		want    string
	}{
		{"no availability file", event.StartOptions{AvailabilityFile: missing}, "availability file: open " + missing},
		{"no arrivals file", event.StartOptions{ArrivalsFile: missing}, "arrivals file: open " + missing},
		{"no profile file", event.StartOptions{ProfileFile: missing}, "profile file: open " + missing},
		{"broken availability file", event.StartOptions{AvailabilityFile: writeFile(t, "trace.txt", "x")}, "trace.txt:1: the line is not"},
		{"broken CSV", event.StartOptions{AvailabilityFile: writeFile(t, "trace.CSV", "x")}, "trace.CSV:1: the row has 1 columns"},
		{"broken arrivals file", event.StartOptions{ArrivalsFile: writeFile(t, "a.txt", "0,1,512,0\nx")}, "a.txt:2: the line has 1 columns"},
		{"late arrivals file", event.StartOptions{ArrivalsFile: writeFile(t, "a.txt", "0,1320,512,0")}, "a.txt: no request arrives before the trace's end at 1320.000s"},
		{"broken profile", event.StartOptions{ProfileFile: writeFile(t, "p.json", "{")}, "p.json:1: "},
		{"small profile", event.StartOptions{ProfileFile: writeFile(t, "p.json", strings.NewReplacer(`, "bsz-4": {"init": 3, "incr": 3}`, "").Replace(smallProfile))}, "the largest batch is 2, the experiment's batch limit is 4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Resolve(e2e("20B", "As", tt.options))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}
