package catalog

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
)

func TestNames(t *testing.T) {
	tests := []struct {
		what      string
		got, want []string
	}{
		{"models", Models(), []string{"6.7B", "20B", "30B"}},
		{"profiles", Profiles(), []string{"T4-6.7B", "T4-20B", "T4-30B", "V100-6.7B", "V100-20B", "V100-345M"}},
		{"GPUs", GPUs(), []string{"A10G", "A100-40", "A100-80", "H100-80", "L4", "T4", "V100", "V100-32"}},
		{"instances", Instances(), []string{
			"Standard_ND96asr_v4", "a2-highgpu-8g", "g4dn.12xlarge", "g5.12xlarge", "g5.48xlarge", "g6.12xlarge", "g6.48xlarge",
			"p3.8xlarge", "p3dn.24xlarge", "p4d.24xlarge", "p4de.24xlarge", "p5.48xlarge",
		}},
		{"traces", Traces(), []string{"As", "Bs", "As+o", "Bs+o"}},
		{"traces of workload", TracesOf(experiment.Workload), []string{"A", "B"}},
		{"traces of ablation", TracesOf(experiment.Ablation), []string{"A", "B"}},
		{"traces of nothing", TracesOf("nothing"), nil},
		{"approaches", Approaches(), []string{"spotserve", "rerouting", "reparallelization"}},
		{"experiments", Experiments(), []string{"ablation", "e2e", "ondemand", "workload"}},
		{"batchings", Batchings(), []string{"pooled", "idle-only", "continuous"}},
		{"arrival kinds", ArrivalKinds(), []string{"artifact", "gamma", "poisson", "even", "file"}},
		{"quirks", QuirkSettings(), []string{"none", "artifact"}},
	}
	for _, tt := range tests {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.what, tt.got, tt.want)
		}
	}
	if !slices.Contains(Instances(), "g4dn.12xlarge") {
		t.Errorf("instances: got %q", Instances())
	}
	if got, want := Fleets(), []int{3, 4, 6, 8}; !slices.Equal(got, want) {
		t.Errorf("fleets: got %v, want %v", got, want)
	}
}

func TestLevels(t *testing.T) {
	levels := Levels()
	if len(levels) != 5 || !strings.Contains(levels[withoutMigrationPlanner], "migration planner") {
		t.Errorf("got %q, want 5 levels, %d the first without the migration planner", levels, withoutMigrationPlanner)
	}
}

func TestListedNamesBelongToTheCaller(t *testing.T) {
	Traces()[0], Levels()[0] = "changed", "changed"
	if got := Traces()[0]; got != "As" {
		t.Errorf("a caller renamed trace As to %q for everyone", got)
	}
	if Levels()[0] == "changed" {
		t.Error("a caller renamed level 0 for everyone")
	}
}

func TestModelsAreThePublishedOnes(t *testing.T) {
	want := map[string]cost.Model{
		"6.7B": {Name: "6.7B", Layers: 32, PaddedLayers: 36, Hidden: 4096, WeightBytes: 25.0e9, KVBytesPerToken: 1_048_576, MinGPUs: 4},
		"20B":  {Name: "20B", Layers: 44, PaddedLayers: 48, Hidden: 6144, WeightBytes: 74.5e9, KVBytesPerToken: 2_162_688, MinGPUs: 12},
		"30B":  {Name: "30B", Layers: 48, PaddedLayers: 48, Hidden: 7168, WeightBytes: 111.8e9, KVBytesPerToken: 2_752_512, MinGPUs: 16},
	}
	got := make(map[string]cost.Model)
	for name := range want {
		file := builtin().models[name]
		got[name] = file.model()
		if p := builtin().profiles["T4-"+name]; file.withProfile(p) != file {
			t.Errorf("%s: model and T4 profile disagree on its dimensions", name)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEveryFileNamesItselfAndItsSource(t *testing.T) {
	err := fs.WalkDir(embedded, "data", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(embedded, path)
		name := strings.TrimSuffix(entry.Name(), ".yaml")
		if !strings.HasPrefix(string(data), "name: "+name+"\nsource: ") {
			t.Errorf("%s does not begin with its name and its source", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// edited returns the embedded files with old replaced by new in one of them.
func edited(t *testing.T, file, old, replacement string) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(embedded, "data", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(embedded, path)
		out[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	before := string(out[file].Data)
	if !strings.Contains(before, old) {
		t.Fatalf("%s has no %q to replace", file, old)
	}
	out[file].Data = []byte(strings.Replace(before, old, replacement, 1))
	return out
}

func TestBrokenCatalogueFilesAreRefused(t *testing.T) {
	tests := []struct{ name, file, old, new, want string }{
		{"unknown key", "data/models/20B.yaml", "hidden:", "hiden:", `data/models/20B.yaml:6: unknown key "hiden", did you mean "hidden"?`},
		{"unknown key inside a list", "data/traces/As.yaml", "{at_s: 240", "{at: 240", `unknown key "at", did you mean "at_s"?`},
		{"unknown key like no other", "data/models/20B.yaml", "min_gpus:", "qqq:", `unknown key "qqq", allowed are name, source,`},
		{"key of another struct", "data/traces/As.yaml", "end_s:", "add:", `data/traces/As.yaml:5: unknown key "add", did you mean`},
		{"duplicate key", "data/models/20B.yaml", "hidden: 6144", "hidden: 6144\nhidden: 6144", "already defined"},
		{"wrong type", "data/models/20B.yaml", "6144", "wide", "data/models/20B.yaml:6: hidden is \"wide\", want a whole number"},
		{"not YAML", "data/models/20B.yaml", "hidden:", "\t:", "data/models/20B.yaml:"},
		{"two documents", "data/models/20B.yaml", "hidden:", "---\nhidden:", "more than one document"},
		{"missing value", "data/models/20B.yaml", "layers: 44", "", "layers is 0, allowed is 1"},
		{"padded below layers", "data/models/20B.yaml", "padded_layers: 48", "padded_layers: 40", "padded_layers is 40"},
		{"not a number", "data/models/20B.yaml", "74.5", ".nan", "weights_gb is NaN"},
		{"no price", "data/instances/g4dn.12xlarge.yaml", "1.9046", "-1", "spot_usd_per_hour is -1"},
		{"wild jitter", "data/engines/fastertransformer-t4.yaml", "jitter_sigma: 0.02", "jitter_sigma: 0.5", "jitter_sigma is 0.5"},
		{"endless start", "data/engines/fastertransformer-t4.yaml", "engine_start_s: 7", "engine_start_s: .inf", "engine_start_s is +Inf"},
		{"missing batch", "data/profiles/T4-20B.yaml", "      - {batch: 2, prefill_ms: 224.025, decode_ms: 7.259}\n", "", "tensor degree 1: batch 4 stands where batch 2 belongs"},
		{"missing degree", "data/profiles/T4-20B.yaml", "tensor: 2\n", "tensor: 3\n", "tensor degree 3 stands where the rows of tensor degree 2 belong"},
		{"max_tensor without rows", "data/profiles/T4-20B.yaml", "max_tensor: 8", "max_tensor: 32", "max_tensor is 32"},
		{"max_tensor between rows", "data/profiles/T4-20B.yaml", "max_tensor: 8", "max_tensor: 6", "max_tensor is 6"},
		{"embed too short", "data/profiles/T4-20B.yaml", "[0.318, 0.471, 0.607, 1.079]", "[0.318]", "embed has 1 values for the 4 batches"},
		{"market", "data/traces/As.yaml", "market: spot", "market: sport", `market is "sport"`},
		{"mixed without a parent", "data/traces/As+o.yaml", "parent: As\n", "", "a mixed trace needs one"},
		{"parent of a pure trace", "data/traces/As.yaml", "end_s:", "parent: Bs\nend_s:", "no other has one"},
		{"unknown parent", "data/traces/As+o.yaml", "parent: As\n", "parent: Cs\n", `parent "Cs" is not in the catalogue`},
		{"mixed parent", "data/traces/As+o.yaml", "parent: As\n", "parent: Bs+o\n", `parent "Bs+o" is not a spot trace`},
		{"add and remove at once", "data/traces/As.yaml", "remove: [node-8]", "remove: [node-8], add: [node-90]", "changes[3]: add and remove stand in one change"},
		{"change of nothing", "data/traces/As.yaml", ", remove: [node-8]", "", "changes[3]: the change changes nothing"},
		{"time not a number", "data/traces/As.yaml", "at_s: 600", "at_s: .nan", "changes[3]: time is NaN s"},
		{"end before a change", "data/traces/As.yaml", "end_s: 1320", "end_s: 900", "end of the trace: time runs backwards"},
		{"unknown model", "data/experiments/e2e.yaml", "model: 20B", "model: 21B", `model "21B" is not in the catalogue`},
		{"unknown trace", "data/experiments/e2e.yaml", "Bs+o", "Cs+o", `trace "Cs+o" is not in the catalogue`},
		{"unknown GPU", "data/instances/g4dn.12xlarge.yaml", "gpu: T4", "gpu: T5", `gpu "T5" is not in the catalogue`},
		{"minimum on an unknown GPU", "data/models/20B.yaml", "min_gpus_on: T4", "min_gpus_on: T5", `min_gpus_on "T5" is not in the catalogue`},
		{"unknown instance", "data/experiments/e2e.yaml", "g4dn.12xlarge", "g4dn.13xlarge", `instance "g4dn.13xlarge" is not in the catalogue`},
		{"unknown engine", "data/experiments/e2e.yaml", "fastertransformer-t4", "vllm", `engine "vllm" is not in the catalogue`},
		{"batch limit above the profile", "data/experiments/e2e.yaml", "batch_limit: 4", "batch_limit: 16", "batch_limit 16 is above the largest batch"},
		{"unknown batching", "data/experiments/e2e.yaml", "batching: pooled", "batching: all", `batching is "all"`},
		{"unknown arrivals", "data/experiments/e2e.yaml", "arrivals: artifact", "arrivals: file", `arrivals is "file"`},
		{"no approach", "data/experiments/e2e.yaml", "[spotserve, rerouting, reparallelization]", "[]", "approaches is empty"},
		{"endless migration buffer", "data/experiments/e2e.yaml", "migration_buffer_gib: 1", "migration_buffer_gib: .inf", "migration_buffer_gib is +Inf"},
		{"no migration buffer", "data/experiments/e2e.yaml", "migration_buffer_gib: 1", "", "migration_buffer_gib is 0"},
		{"negative headroom", "data/experiments/e2e.yaml", "required_throughput_rps: 0.4", "required_throughput_rps: 0.4, headroom: -1", "20B: headroom is -1"},
		{"rates without headroom", "data/experiments/workload.yaml", ", headroom: 1.143", "", "20B: headroom is missing"},
		{"a rate and rates", "data/experiments/workload.yaml", "arrival_rates: maf", "arrival_rates: maf, arrival_rate_rps: 1", "20B: arrival_rate_rps and arrival_rates are both given"},
		{"unknown rates", "data/experiments/workload.yaml", "arrival_rates: maf", "arrival_rates: mfa", `arrival_rates "mfa" is not in the catalogue`},
		{"a minute without requests", "data/rates/maf.yaml", "0.65639715", "0", "rates_rps[4] is 0"},
		{"trace without a name", "data/experiments/ablation.yaml", "trace_names: [A, B]", "trace_names: [A]", "trace_names has 1 names for 2 traces"},
		{"fewer GPUs without the planner", "data/models/20B.yaml", "planner: 16", "planner: 8", "min_gpus_without_migration_planner is 8, allowed is min_gpus (12)"},
		{"ablation of a model without a published minimum", "data/experiments/ablation.yaml", "model: 20B", "model: 30B", `model "30B" has no min_gpus_without_migration_planner`},
		{"no rate", "data/experiments/e2e.yaml", "arrival_rate_rps: 0.35, ", "", "20B: arrival_rate_rps is 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(edited(t, tt.file, tt.old, tt.new))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got error %v, want one with %q", err, tt.want)
			}
			if file, ok := errors.AsType[*FileError](err); !ok || file.File != tt.file {
				t.Errorf("error %v does not name %s", err, tt.file)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	traces := []string{"As", "Bs", "As+o", "Bs+o"}
	tests := []struct{ got, want string }{
		{"As0", "As"},
		{"as", "As"},
		{"AS+O", "As+o"},
		{"bs+o", "Bs+o"},
		{"B+o", "Bs+o"},
		{"zzz", ""},
		{"+o", "As+o"},
		{"", ""},
	}
	for _, tt := range tests {
		if got := nearest(tt.got, traces); got != tt.want {
			t.Errorf("nearest to %q is %q, want %q", tt.got, got, tt.want)
		}
	}
	if got := nearest("ab", []string{"AB", "ab"}); got != "ab" {
		t.Errorf("case did not decide between equals: got %q", got)
	}
}
