package cost_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/topology"
)

func latencyOf(t *testing.T, spec experiment.Spec) *cost.LatencyModel {
	t.Helper()
	l, err := cost.NewLatencyModel(spec.Model, spec.Profile)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestBatchMatchesThePublishedPlanner holds the formula against values of the
// artifact's own planner, in seconds to three decimals. Those of a batch of one
// are also in the paper's Table 1 (l_exe).
func TestBatchMatchesThePublishedPlanner(t *testing.T) {
	for _, tt := range []struct {
		spec   experiment.Spec
		config topology.ParallelConfig
		want   [3]float64 // batches of 1, 2, 4
	}{
		{fixture.OPT6B7(), topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: 4, PrefillMicroBatches: 2, DecodeMicroBatches: 1}, [3]float64{5.447, 4.889, 5.694}},
		{fixture.GPT20B(), topology.ParallelConfig{Data: 1, Pipeline: 3, Tensor: 4, PrefillMicroBatches: 4, DecodeMicroBatches: 1}, [3]float64{14.373, 15.522, 14.459}},
		{fixture.GPT20B(), topology.ParallelConfig{Data: 1, Pipeline: 2, Tensor: 8, PrefillMicroBatches: 4, DecodeMicroBatches: 1}, [3]float64{12.472, 13.022, 12.961}},
		{fixture.LLaMA30B(), topology.ParallelConfig{Data: 1, Pipeline: 2, Tensor: 8, PrefillMicroBatches: 4, DecodeMicroBatches: 1}, [3]float64{17.540, 20.421, 17.751}},
	} {
		l := latencyOf(t, tt.spec)
		for i, want := range tt.want {
			n := 1 << i
			if got := l.BatchSeconds(tt.config, n, tt.spec.PromptTokens, 128); math.Abs(got-want) > 0.0005 {
				t.Errorf("%s on %s: a batch of %d takes %.4f s, want %.3f", tt.spec.Model.Name, tt.config, n, got, want)
			}
		}
	}
}

// byHand is a profile of round numbers.
func byHand() (cost.Model, cost.Profile) {
	return cost.Model{Name: "by hand", Layers: 10, PaddedLayers: 12}, cost.Profile{
		Name: "by hand", PromptTokens: 100, FixFactor: 2, PrefillComm: 8, DecodeComm: 4,
		Embed: []float64{1, 3, 5}, MaxTensor: 2,
		Tensors: []cost.TensorProfile{{Tensor: 2, Rows: []cost.PhaseLatency{
			{Batch: 1, Prefill: 10, Decode: 1}, {Batch: 2, Prefill: 18, Decode: 1.5}, {Batch: 4, Prefill: 30, Decode: 2},
		}}},
	}
}

// TestPhasesByHand works the formula out on paper.
func TestPhasesByHand(t *testing.T) {
	l, err := cost.NewLatencyModel(byHand())
	if err != nil {
		t.Fatal(err)
	}
	config := func(p, m1, m2 int) topology.ParallelConfig {
		return topology.ParallelConfig{Data: 1, Pipeline: p, Tensor: 2, PrefillMicroBatches: m1, DecodeMicroBatches: m2}
	}
	for _, tt := range []struct {
		name            string
		config          topology.ParallelConfig
		n               int
		prefill, decode float64 // milliseconds before the fix factor of 2
	}{
		// One stage of ten layers, one micro-batch.
		{"single", config(1, 1, 1), 1, 10 * 10, 1 * 10},
		// Three stages of ceil(10/3) = 4 layers; two borders.
		{"pipeline", config(3, 1, 1), 1, 10*4*3 + 8*2, 1*4*3 + 4*2},
		// Four requests in four micro-batches of one in prefill: row 1, six slots
		// shared by four; decode in two micro-batches of two: row 2, four slots.
		{"micro-batches", config(3, 4, 2), 4, 10*4*6.0/4 + 8*2/4.0, 1.5*4*4 + 4*2/2.0},
		// Two requests do not divide into four: one micro-batch.
		{"indivisible", config(3, 4, 4), 2, 18*4*3 + 8*2, 1.5*4*3 + 4*2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ms := func(v float64) time.Duration { return time.Duration(math.Round(2 * v * 1e6)) }
			if got := l.Prefill(tt.config, tt.n); got != ms(tt.prefill) {
				t.Errorf("t1 = %s, want %s", got, ms(tt.prefill))
			}
			if got := l.Decode(tt.config, tt.n); got != ms(tt.decode) {
				t.Errorf("t2 = %s, want %s", got, ms(tt.decode))
			}
			embed := []float64{0, 1, 3, 0, 5}[tt.n]
			if got := l.Embed(tt.n); got != ms(2*embed) {
				t.Errorf("e = %s, want %s", got, ms(2*embed))
			}
			if got, want := l.Batch(tt.config, tt.n, 100, 7), ms(tt.prefill+7*tt.decode+2*embed); got != want {
				t.Errorf("T = %s, want %s", got, want)
			}
			// A prompt of half the profiled length takes half the time.
			if got, want := l.PrefillTokens(tt.config, tt.n, 50), ms(tt.prefill/2); got != want {
				t.Errorf("t1 of 50 tokens = %s, want %s", got, want)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	l, err := cost.NewLatencyModel(byHand())
	if err != nil {
		t.Fatal(err)
	}
	config := topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: 2, PrefillMicroBatches: 1, DecodeMicroBatches: 1}
	for n, want := range map[int]bool{-1: false, 0: false, 1: true, 2: true, 3: false, 4: true, 8: false} {
		if got := l.Covers(config, n); got != want {
			t.Errorf("Covers a batch of %d: %t, want %t", n, got, want)
		}
	}
	config.Tensor = 4
	if l.Covers(config, 1) {
		t.Error("covers a tensor degree that was not measured")
	}
	if l.Embed(0) != 0 || l.Embed(8) != 0 {
		t.Error("prices an embedding that was not measured")
	}
}

func TestDividesLayers(t *testing.T) {
	l, err := cost.NewLatencyModel(byHand())
	if err != nil {
		t.Fatal(err)
	}
	for p := -1; p <= 13; p++ {
		want := p == 1 || p == 2 || p == 3 || p == 4 || p == 6 || p == 12 // of 12 padded layers
		if got := l.DividesLayers(p); got != want {
			t.Errorf("%d stages divide 12 layers: %t, want %t", p, got, want)
		}
	}
	if l.MaxTensor() != 2 {
		t.Errorf("MaxTensor is %d, want 2", l.MaxTensor())
	}
}

func TestNewLatencyModelRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*cost.Model, *cost.Profile)
		want  string
	}{
		{"no layers", func(m *cost.Model, _ *cost.Profile) { m.Layers = 0 }, "model by hand: layers 0"},
		{"no padded layers", func(m *cost.Model, _ *cost.Profile) { m.PaddedLayers = -1 }, "padded layers -1"},
		{"no prompt", func(_ *cost.Model, p *cost.Profile) { p.PromptTokens = 0 }, "profile by hand: prompt tokens 0"},
		{"no embedding", func(_ *cost.Model, p *cost.Profile) { p.Embed = nil }, "no embedding latencies"},
		{"no rows", func(_ *cost.Model, p *cost.Profile) { p.Tensors = nil }, "no latency rows"},
	} {
		m, p := byHand()
		tt.spoil(&m, &p)
		if _, err := cost.NewLatencyModel(m, p); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}
