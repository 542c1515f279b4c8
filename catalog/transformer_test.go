package catalog

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// measurement is that of a small model on a machine of nowhere.
func measurement() Measurement {
	return Measurement{
		Model: "tiny", Source: "made up",
		Transformer: experiment.TransformerModel{
			Shape: experiment.Shape{
				Layers: 4, Hidden: 64, Heads: 8, KVHeads: 4, HeadDim: 8, FFN: 96, Vocab: 300, Context: 256, NormEps: 1e-6,
				Rope: experiment.Rope{Theta: 5e5, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 64}, DType: "f32", Leaves: 4, BOS: 1,
			},
			Weights: "synthetic:42", PrefillChunk: 32, Stop: []int32{2, 7},
		},
		Profile: cost.Profile{
			Name: "cpu-tiny", GPU: "cpu", PromptTokens: 64, FixFactor: 1.1, PrefillComm: 0.5, DecodeComm: 0.05, Embed: []float64{0.1, 0.2, 0.3}, MaxTensor: 4,
			Tensors: []cost.TensorProfile{
				{Tensor: 1, Rows: []cost.PhaseLatency{{Batch: 1, Prefill: 4, Decode: 0.1234567}, {Batch: 2, Prefill: 8, Decode: 0.2}, {Batch: 4, Prefill: 16, Decode: 0.3}}},
				{Tensor: 2, Rows: []cost.PhaseLatency{{Batch: 1, Prefill: 3, Decode: 0.1}, {Batch: 2, Prefill: 6, Decode: 0.15}, {Batch: 4, Prefill: 12, Decode: 0.25}}},
				{Tensor: 4, Rows: []cost.PhaseLatency{{Batch: 1, Prefill: 2, Decode: 0.1}, {Batch: 2, Prefill: 4, Decode: 0.12}, {Batch: 4, Prefill: 8, Decode: 0.2}}},
			},
		},
		Instance:   cost.InstanceType{Name: "here", GPU: "cpu", GPUs: 1, GPUMemoryBytes: 500_000, InterNodeBytesPerSecond: 2e9, IntraNodeBytesPerSecond: 4e9},
		Engine:     cost.EngineCosts{ExecutionScale: 1, EngineStart: 20 * time.Millisecond, DaemonRestart: time.Second, DiskBytesPerSecond: 3e8},
		EngineName: "transformer-here",
	}
}

const realFile = `name: real
compute: transformer
measured: here.yaml
migration_buffer_gib: 0.0001
trace: {changes: [{at_s: 0, add_spot: [a, b]}], end_s: 60}
arrivals: {rate_rps: 0.5, prompt_tokens: 20, output_tokens: 30}
`

// measuredFolder has the measurement and prompts in it.
func measuredFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	text, err := measurement().YAML()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"here.yaml": string(text), "prompts.jsonl": "{\"prompt\": \"hello\"}\n{\"tokens\": [3, 4, 299], \"max_tokens\": 5}\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// resolveReal resolves the one run of a file in the folder.
func resolveReal(t *testing.T, folder, text string) (experiment.Spec, experiment.Timeline, error) {
	t.Helper()
	custom, err := ReadCustom(filepath.Join(folder, "real.yaml"), []byte(text))
	if err != nil {
		return experiment.Spec{}, experiment.Timeline{}, err
	}
	spec, timeline, err := Resolve(custom.Runs()[0].Start)
	if err != nil {
		t.Fatalf("it is read, and does not resolve: %v", err)
	}
	return spec, timeline, nil
}

// TestMeasurementsMakeAnExperiment: what was measured and written is what a run
// gets that names the file.
func TestMeasurementsMakeAnExperiment(t *testing.T) {
	spec, timeline, err := resolveReal(t, measuredFolder(t), realFile)
	if err != nil {
		t.Fatal(err)
	}
	m := measurement()
	m.Transformer.PromptSeed = 1 // the run's
	m.Profile.Tensors[0].Rows[0].Decode = 0.1235
	if spec.Compute != experiment.Transformer || !reflect.DeepEqual(*spec.Transformer, m.Transformer) {
		t.Errorf("it computes %s with\n%+v, want\n%+v", spec.Compute, *spec.Transformer, m.Transformer)
	}
	if !reflect.DeepEqual(spec.Profile, m.Profile) || spec.Instance != m.Instance || spec.Engine != m.Engine {
		t.Errorf("got\n%+v\n%+v\n%+v\nwant\n%+v\n%+v\n%+v", spec.Profile, spec.Instance, spec.Engine, m.Profile, m.Instance, m.Engine)
	}
	if spec.TimeScale != 1 || spec.Delays != (cost.Delays{}) || spec.Model.Name != "tiny" || spec.Model.KVBytesPerToken != 2*4*4*4*8 || spec.PromptTokens != 20 {
		t.Errorf("got %+v", spec)
	}
	if len(timeline.Arrivals) == 0 || timeline.Arrivals[0].Prompt != nil {
		t.Errorf("got arrivals %+v", timeline.Arrivals)
	}
}

// TestTransformerOverMeasurements: an experiment says otherwise where it wants.
func TestTransformerOverMeasurements(t *testing.T) {
	folder := measuredFolder(t)
	spec, timeline, err := resolveReal(t, folder, strings.Replace(realFile, "prompt_tokens: 20, ", "", 1)+`
seed: 5
instance: {spot_usd_per_hour: 0.25}
transformer: {weights: model.gguf, leaves: 2, stop_tokens: [], prompts: prompts.jsonl, prompt_seed: 9, sampling: {temperature: 0.5, top_k: 40, top_p: 0.25, seed: 3}}
`)
	if err != nil {
		t.Fatal(err)
	}
	got := *spec.Transformer
	if got.Weights != filepath.Join(folder, "model.gguf") || got.Shape.Leaves != 2 || len(got.Stop) != 0 || got.PromptSeed != 9 || got.PrefillChunk != 32 ||
		got.Sampling != (experiment.Sampling{Temperature: 0.5, TopP: 0.25, TopK: 40, Seed: 3}) {
		t.Errorf("got %+v", got)
	}
	if spec.Instance.SpotUSDPerHour != 0.25 || spec.Instance.Name != "here" || spec.Profile.MaxTensor != 2 {
		t.Errorf("got instance %+v and tensor degrees up to %d", spec.Instance, spec.Profile.MaxTensor)
	}
	if spec.LongestPrompt != 7 || len(timeline.Arrivals) < 3 {
		t.Fatalf("longest prompt %d, %d arrivals", spec.LongestPrompt, len(timeline.Arrivals))
	}
	first, second, third := timeline.Arrivals[0], timeline.Arrivals[1], timeline.Arrivals[2]
	if first.Prompt.Text != "hello" || first.OutputTokens != 30 || !reflect.DeepEqual(second.Prompt.Tokens, []int32{3, 4, 299}) ||
		second.PromptTokens != 3 || second.OutputTokens != 5 || third.Prompt.Text != "hello" {
		t.Errorf("the requests ask %+v, %+v, %+v", first, second, third)
	}
}

// TestTransformerPrinted: an experiment can say everything that was measured itself,
// and what is printed of it is the same experiment.
func TestTransformerPrinted(t *testing.T) {
	folder := measuredFolder(t)
	custom, err := ReadCustom(filepath.Join(folder, "real.yaml"), []byte(realFile))
	if err != nil {
		t.Fatal(err)
	}
	printed, err := Config(custom.Runs()[0].Start)
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := Resolve(custom.Runs()[0].Start)
	got, _, err := Resolve(event.StartExperiment{Experiment: experiment.Custom, YAML: string(printed)})
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	if !reflect.DeepEqual(got, want) || strings.Contains(string(printed), "\nmeasured:") {
		t.Errorf("printed it is\n%+v, not\n%+v\n%s", got, want, printed)
	}
}

func TestTransformerRefusals(t *testing.T) {
	folder := measuredFolder(t)
	for _, tt := range []struct{ rows, want string }{
		{"compute: transformers", `FILE:1: unknown compute "transformers": allowed are profiled, transformer; did you mean transformer?`},
		{"compute: profiled\ntransformer: {weights: synthetic:1}", `FILE:2: transformer is a key of runs with compute: transformer`},
		{"measured: nowhere.yaml", `FILE:1: measured: open nowhere.yaml: no such file or directory`},
		{"transformer: {weight: synthetic:1}", `FILE:1: unknown key "weight", did you mean "weights"?`},
		{"transformer: {weights: synthetic:x}", `FILE:1: transformer.weights is "synthetic:x": the seed is no whole number; allowed are synthetic:SEED, the path of a .gguf file or of a folder with safetensors, and the URL of a bucket`},
		{"transformer: {leaves: 3}", `FILE:1: transformer.leaves is 3, allowed are powers of two up to 64, and 0: by the heads`},
		{"transformer: {leaves: 8}", `FILE:1: transformer.leaves is 8, which does not divide model.kv_heads (4)`},
		{"transformer: {context: 49}", `FILE:1: transformer.context is 49, and the longest request has 20 prompt and 30 output tokens`},
		{"transformer: {sampling: {top_p: 1.5}}", `FILE:1: transformer.sampling.top_p is 1.5, allowed is 0 to 1`},
		{"transformer: {stop_tokens: [-1]}", `FILE:1: transformer.stop_tokens[0] is -1, allowed is 0 to 16777215`},
		{"transformer: {rope_scaling: {factor: 2, low_freq_factor: 4, high_freq_factor: 1, original_context: 8}}", `FILE:1: transformer.rope_scaling.high_freq_factor is 1, allowed is above low_freq_factor (4) up to 10000`},
		{"transformer: {prompts: prompts.jsonl}", `FILE:7: arrivals.prompt_tokens is not used: transformer.prompts says it`},
		{"transformer: {prompts: none.jsonl}", `FILE:1: transformer.prompts: open none.jsonl: no such file or directory`},
		{"time_scale: 60.5", `FILE:1: time_scale is 60.5, allowed with compute: transformer is 1: tokens take the time that they take`},
		{"engine: {send_ms: 10}", `FILE:1: engine "transformer-here" has hops of 10, 0 and 0 ms: with compute: transformer they are measured, and have to be 0`},
		{"model: {layers: 5}", `FILE: profile "cpu-tiny" is of 4 layers, model "tiny" has 5`},
		{"model: {bytes_per_element: 1}", `FILE:1: model.bytes_per_element is 1, allowed are 4 (float32) and 2 (bfloat16)`},
		{"model: {vocabulary: 299}\ntransformer: {prompts: prompts.jsonl}", `FILE:2: prompts.jsonl: prompt 2 has token 299, the model's vocabulary ends at 298`},
		{"profile: {file: here.yaml}\nmeasured: prompts.jsonl", `prompts.jsonl: more than one document`},
	} {
		text := tt.rows + "\n"
		for line := range strings.Lines(realFile) {
			key, _, _ := strings.Cut(line, ":")
			if !strings.HasPrefix(text, key+":") && !strings.Contains(text, "\n"+key+":") {
				text += line
			}
		}
		_, err := ReadCustom(filepath.Join(folder, "FILE"), []byte(text))
		if err == nil {
			t.Errorf("%s is fine, want %s", tt.rows, tt.want)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), folder+string(filepath.Separator), ""); got != tt.want {
			t.Errorf("%s\n got  %s\n want %s", tt.rows, got, tt.want)
		}
	}
}

// TestMeasurementsAreChecked: a file of them is as strict as an experiment.
func TestMeasurementsAreChecked(t *testing.T) {
	text, err := measurement().YAML()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, with, want string }{
		{"source: made up", "sauce: made up", `FILE:1: unknown key "sauce", did you mean "source"?`},
		{"layers: 4", "layers: 0", "model.layers is 0"},
		{"gpus: 1", "gpus: 0", "instance.gpus is 0, allowed is 1 to 64"},
		{"disk_gb_per_s: 0.3", "disk_gb_per_s: -1", "engine.disk_gb_per_s is -1"},
		{"prompt_tokens: 64", "prompt_tokens: 0", "profile.prompt_tokens is 0"},
		{"synthetic:42", "synthetic:4.2", "transformer.weights"},
	} {
		broken := strings.Replace(string(text), tt.old, tt.with, 1)
		if _, err := readMeasured("FILE", strings.NewReader(broken)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s is answered by %v, want %s", tt.with, err, tt.want)
		}
	}
	m := measurement()
	m.Instance.GPUs = 0
	if _, err := m.YAML(); err == nil || !strings.Contains(err.Error(), "instance.gpus is 0") {
		t.Errorf("a measurement that cannot be read is written, %v", err)
	}
}

func TestRounded(t *testing.T) {
	for v, want := range map[float64]float64{0: 0, 1: 1, 12345: 12350, 0.00123456: 0.001235, -9.99999: -10} {
		if got := rounded(v); got != want {
			t.Errorf("%v is rounded to %v, want %v", v, got, want)
		}
	}
}
