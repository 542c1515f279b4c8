package measure_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/measure"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/engine/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func tiny(t *testing.T) model.Source {
	t.Helper()
	s, err := model.Synthetic(model.Config{
		Name: "tiny", Layers: 3, Hidden: 32, Heads: 8, KVHeads: 4, HeadDim: 4, FFN: 48, Vocab: 200, Context: 128, NormEps: 1e-5,
		Rope: model.Rope{Theta: 10_000}, Leaves: 4, BOS: -1, EOS: []int{7},
	}, 7)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func options(t *testing.T) measure.Options {
	t.Helper()
	return measure.Options{
		Model: tiny(t), Location: "synthetic:7", MaxBatch: 4, MaxTensor: 2, PromptTokens: 20, PrefillChunk: 16, Threads: 1, Copies: 2,
	}
}

// TestWhatIsMeasuredMakesAnExperiment that resolves to the model that was
// measured.
func TestWhatIsMeasuredMakesAnExperiment(t *testing.T) {
	o := options(t)
	said := 0
	o.Say = func(string, ...any) { said++ }
	m, err := measure.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p := m.Profile
	if len(p.Tensors) != 2 || p.MaxTensor != 2 || len(p.Embed) != 3 || p.PromptTokens != 20 || said < 7 {
		t.Errorf("the profile is %+v, and %d things were said", p, said)
	}
	for _, tensor := range p.Tensors {
		for i, row := range tensor.Rows {
			if row.Batch != 1<<i || row.Prefill <= 0 || row.Decode <= 0 {
				t.Errorf("tensor degree %d has the row %+v", tensor.Tensor, row)
			}
		}
	}
	if m.Engine.DiskBytesPerSecond <= 0 || m.Instance.InterNodeBytesPerSecond <= 0 || m.Engine.EngineStart <= 0 || m.Engine.DaemonRestart <= 0 || m.Engine.JitterSigma >= 0.2 {
		t.Errorf("got %+v, %+v", m.Engine, m.Instance)
	}
	text, err := m.YAML()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "here.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	custom, err := catalog.ReadCustom(filepath.Join(folder, "real.yaml"), []byte(`name: real
compute: transformer
measured: here.yaml

trace: {fixed: {instances: 2, end_s: 60}}
arrivals: {rate_rps: 0.5, prompt_tokens: 20, output_tokens: 30}
`))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	spec, _, err := catalog.Resolve(custom.Runs()[0].Start)
	if err != nil {
		t.Fatal(err)
	}
	shape := spec.Transformer.Shape
	if spec.Compute != experiment.Transformer || shape.Vocab != 200 || shape.Leaves != 4 || spec.Transformer.Weights != "synthetic:7" ||
		len(spec.Transformer.Stop) != 1 || spec.Transformer.PrefillChunk != 16 || spec.Profile.Name != "cpu-tiny" {
		t.Errorf("it resolves to %+v with %+v", spec, spec.Transformer)
	}
}

func TestWhatCannotBeMeasured(t *testing.T) {
	for want, change := range map[string]func(*measure.Options){
		"largest batch 3: allowed are powers of two":                 func(o *measure.Options) { o.MaxBatch = 3 },
		"largest tensor degree 8: allowed are powers of two up to 4": func(o *measure.Options) { o.MaxTensor = 8 },
		"prompts of 128 tokens: allowed are 1 to 112":                func(o *measure.Options) { o.PromptTokens = 128 },
		"0 pipelines at a time":                                      func(o *measure.Options) { o.Copies = 0 },
	} {
		o := options(t)
		change(&o)
		if _, err := measure.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("answered by %v, want %s", err, want)
		}
	}
}

// TestAMeasurementEnds with its context, and leaves nothing behind.
func TestAMeasurementEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := options(t)
	o.Say = func(string, ...any) { cancel() }
	if _, err := measure.Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}
