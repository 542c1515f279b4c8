package exactness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
)

// setting is a model and how requests on it are.
type setting struct {
	shape          experiment.Shape
	requests       int // at least
	inFlight       int
	prompt, output int // the longest
	changes        int // of the fleet
	commitInterval int
	batching       experiment.Batching
	grace          time.Duration
	prefillChunk   int
	temperature    float32 // of every second request
	seed           uint64
	noDeaths       bool // no node goes without notice; else every third does
}

// small takes seconds; it is in every test run.
func small() setting {
	return setting{
		shape: experiment.Shape{
			Layers: 8, Hidden: 48, Heads: 8, KVHeads: 4, HeadDim: 8, FFN: 64, Vocab: 211, Context: 160, NormEps: 1e-5,
			Rope: experiment.Rope{Theta: 10000}, DType: "f32", Leaves: 4, BOS: -1,
		},
		requests: 200, inFlight: 8, prompt: 70, output: 90, changes: 10, commitInterval: 8,
		batching: experiment.Continuous, grace: 1500 * time.Millisecond, prefillChunk: 24, temperature: 0.8, seed: 1,
	}
}

// large is for make exactness.
func large() setting {
	s := small()
	s.shape.Layers, s.shape.Hidden, s.shape.Heads, s.shape.KVHeads, s.shape.HeadDim = 12, 384, 16, 8, 24
	s.shape.FFN, s.shape.Vocab, s.shape.Context, s.shape.DType = 1024, 4001, 512, "bf16"
	s.requests, s.inFlight, s.prompt, s.output, s.changes = 200, 10, 200, 90, 20
	s.prefillChunk, s.commitInterval, s.seed = 64, 16, 2
	return s
}

// forced are the configurations that a run goes through, one a change of the fleet.
func forced() []topology.ParallelConfig {
	var out []topology.ParallelConfig
	for _, c := range [][3]int{
		{1, 1, 1}, {1, 1, 2}, {1, 2, 1}, {1, 2, 2}, {2, 1, 2}, {1, 4, 1}, {1, 1, 4}, {4, 1, 1}, {2, 2, 1}, {1, 3, 1}, {3, 1, 1}, {1, 2, 2}, {2, 1, 1},
	} {
		out = append(out, topology.ParallelConfig{
			Data: c[0], Pipeline: c[1], Tensor: c[2], Batch: 4, PrefillMicroBatches: 1, DecodeMicroBatches: c[1],
		})
	}
	return out
}

// nodes are those that a run may have, one device each.
func nodes() []string { return []string{"node-0", "node-1", "node-2", "node-3", "node-4"} }

// resolve makes a run of the setting as its users would: from files.
func (s setting) resolve(t *testing.T) experiment.Spec {
	t.Helper()
	rows := func(scale float64) (out []cost.PhaseLatency) {
		for _, batch := range []int{1, 2, 4, 8, 16} {
			out = append(out, cost.PhaseLatency{Batch: batch, Prefill: scale * float64(batch), Decode: scale * 0.1})
		}
		return out
	}
	measured, err := catalog.Measurement{
		Model: "made-up", Source: "made up",
		Transformer: experiment.TransformerModel{Shape: s.shape, Weights: "synthetic:7", PrefillChunk: s.prefillChunk},
		Profile: cost.Profile{
			Name: "made-up", GPU: "cpu", PromptTokens: s.prompt, FixFactor: 1, PrefillComm: 0.5, DecodeComm: 0.1, Embed: []float64{0.1, 0.1, 0.1, 0.1, 0.1}, MaxTensor: 4,
			Tensors: []cost.TensorProfile{{Tensor: 1, Rows: rows(1)}, {Tensor: 2, Rows: rows(0.7)}, {Tensor: 4, Rows: rows(0.5)}},
		},
		Instance:   cost.InstanceType{Name: "here", GPU: "cpu", GPUs: 1, GPUMemoryBytes: 4 << 30, InterNodeBytesPerSecond: 1e9, IntraNodeBytesPerSecond: 2e9},
		Engine:     cost.EngineCosts{ExecutionScale: 1, EngineStart: 10 * time.Millisecond, EngineStop: time.Millisecond, DiskBytesPerSecond: 3e8},
		EngineName: "made-up",
	}.YAML()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`name: exactness
compute: transformer
measured: here.yaml
seed: %d
batching: %s
commit_interval_tokens: %d
grace_s: %g
drain: true
migration_buffer_gib: 0.25
batch_limit: 8
trace: {changes: [{at_s: 0, add_spot: [%s]}], end_s: 3600}
arrivals: {rate_rps: 1, prompt_tokens: %d, output_tokens: %d}
`, s.seed, s.batching, s.commitInterval, s.grace.Seconds(), strings.Join(nodes(), ", "), s.prompt, s.output)
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "here.yaml"), measured, 0o600); err != nil {
		t.Fatal(err)
	}
	custom, err := catalog.ReadCustom(filepath.Join(folder, "exactness.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	spec, _, err := catalog.Resolve(custom.Runs()[0].Start)
	if err != nil {
		t.Fatal(err)
	}
	spec.Forced = forced()
	return spec
}
