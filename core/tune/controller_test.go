package tune_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/tune"
)

// models returns the cost models of a published experiment, as the planner
// makes them.
func models(t *testing.T, spec experiment.Spec) (*cost.LatencyModel, cost.MemoryModel) {
	t.Helper()
	l, err := cost.NewLatencyModel(spec.Model, spec.Profile)
	if err != nil {
		t.Fatal(err)
	}
	return l, cost.MemoryModel{
		Model: spec.Model, GPUMemoryBytes: spec.Instance.GPUMemoryBytes,
		MigrationBuffer: cost.DefaultMigrationBuffer, TokensPerSeq: spec.PromptTokens + spec.OutputTokens,
	}
}

func request(spec experiment.Spec, gpus int, required float64) tune.Request {
	return tune.Request{
		GPUs: gpus, RequiredThroughput: required, BatchLimit: spec.BatchLimit, PromptTokens: spec.PromptTokens, OutputTokens: spec.OutputTokens,
	}
}

// TestChooseAsPublished lists the configurations that the artifact chose, by
// model, fleet and required throughput. Those of 30B are not published as
// plans: they follow from the same rule, and stand here to notice a change.
func TestChooseAsPublished(t *testing.T) {
	for _, tt := range []struct {
		spec     experiment.Spec
		required float64
		byNodes  map[int]string // nodes of four GPUs
	}{
		// A_S and B_S at 0.35 requests/s.
		{fixture.GPT20B(), 0.4, map[int]string{7: "2x3x4", 8: "2x2x8", 9: "2x2x8", 10: "2x2x8"}},
		// The workload trace B'.
		{fixture.GPT20B(), 0.6, map[int]string{10: "2x2x8"}},
		{fixture.GPT20B(), 0.8, map[int]string{9: "3x3x4", 12: "3x2x8"}},
		// A_S at 1.5 requests/s.
		{fixture.OPT6B7(), 2, map[int]string{7: "7x1x4", 8: "8x1x4", 9: "9x1x4", 10: "5x2x4"}},
		{fixture.LLaMA30B(), 0.2, map[int]string{4: "1x2x8", 7: "1x3x8", 8: "1x4x8", 9: "1x4x8", 10: "1x4x8"}},
		// Below the minimum of the model nothing fits.
		{fixture.GPT20B(), 0.4, map[int]string{0: "0x0x0", 2: "0x0x0", 3: "1x3x4"}},
		{fixture.OPT6B7(), 2, map[int]string{0: "0x0x0", 1: "1x1x4"}},
		{fixture.LLaMA30B(), 0.2, map[int]string{3: "0x0x0"}},
	} {
		c := tune.NewParallelizationController(models(t, tt.spec))
		for nodes, want := range tt.byNodes {
			choice := c.Choose(request(tt.spec, nodes*fixture.GPUsPerNode, tt.required))
			if got := choice.Best.Config.String(); got != want {
				t.Errorf("%s on %d nodes for %.1f requests/s: %s, want %s (%s)", tt.spec.Model.Name, nodes, tt.required, got, want, choice.Why)
			}
		}
	}
}

func TestWhyNamesTheReason(t *testing.T) {
	spec := fixture.GPT20B()
	c := tune.NewParallelizationController(models(t, spec))
	for _, tt := range []struct {
		gpus     int
		required float64
		want     string
	}{
		{28, 0.4, "lowest latency of"},
		{28, 4, "none of"},
		{8, 0.4, "no configuration fits 8 GPUs"},
	} {
		if got := c.Choose(request(spec, tt.gpus, tt.required)).Why; !strings.HasPrefix(got, tt.want) {
			t.Errorf("%d GPUs for %v requests/s: %q, want %q ...", tt.gpus, tt.required, got, tt.want)
		}
	}
}

// naive is the rule, read off the paper: list everything, sort, take the first.
func naive(l *cost.LatencyModel, m cost.MemoryModel, r tune.Request) topology.ParallelConfig {
	type scored struct {
		config     topology.ParallelConfig
		latency    float64
		throughput float64
	}
	var all []scored
	for tensor := 1; tensor <= l.MaxTensor(); tensor *= 2 {
		for batch := 1; batch <= r.BatchLimit; batch *= 2 {
			for m1 := 1; m1 <= batch; m1 *= 2 {
				for m2 := 1; m2 <= batch; m2 *= 2 {
					for p := 1; p <= r.GPUs; p++ {
						c := topology.ParallelConfig{
							Data: r.GPUs / (p * tensor), Pipeline: p, Tensor: tensor,
							Batch: batch, PrefillMicroBatches: m1, DecodeMicroBatches: m2,
						}
						if c.Data == 0 || !l.DividesLayers(p) || !m.Fits(c, batch) || !l.Covers(c, batch) {
							continue
						}
						s := l.BatchSeconds(c, batch, r.PromptTokens, r.OutputTokens)
						all = append(all, scored{c, s, float64(c.Data*batch) / s})
					}
				}
			}
		}
	}
	if len(all) == 0 {
		return topology.ParallelConfig{}
	}
	sustaining := slices.DeleteFunc(slices.Clone(all), func(s scored) bool { return s.throughput < r.RequiredThroughput })
	best := all[0]
	if len(sustaining) == 0 {
		for _, s := range all {
			if s.throughput > best.throughput {
				best = s
			}
		}
		return best.config
	}
	best = sustaining[0]
	for _, s := range sustaining {
		if s.latency < best.latency {
			best = s
		}
	}
	return best.config
}

func TestChooseAgreesWithItsNaiveTwin(t *testing.T) {
	for _, spec := range []experiment.Spec{fixture.Small(), fixture.OPT6B7(), fixture.GPT20B(), fixture.LLaMA30B()} {
		l, m := models(t, spec)
		c := tune.NewParallelizationController(l, m)
		for gpus := range 49 {
			for _, required := range []float64{0, 0.1, 0.4, 1, 3, 1e9} {
				for _, limit := range []int{1, 3, 4, 16} {
					r := request(spec, gpus, required)
					r.BatchLimit = limit
					if got, want := c.Choose(r).Best.Config, naive(l, m, r); got != want {
						t.Fatalf("%s, %+v: %+v, want %+v", spec.Model.Name, r, got, want)
					}
				}
			}
		}
	}
}

// TestChoiceProperties are what must hold whatever the profile says.
func TestChoiceProperties(t *testing.T) {
	for _, spec := range []experiment.Spec{fixture.Small(), fixture.OPT6B7(), fixture.GPT20B(), fixture.LLaMA30B()} {
		c := tune.NewParallelizationController(models(t, spec))
		most := 0.0
		for gpus := range 65 {
			name := fmt.Sprintf("%s on %d GPUs", spec.Model.Name, gpus)
			// More GPUs never give less when throughput is what counts.
			choice := c.Choose(request(spec, gpus, 1e9))
			if choice.Best.Throughput < most {
				t.Errorf("%s: %.4f requests/s, fewer GPUs gave %.4f", name, choice.Best.Throughput, most)
			}
			most = choice.Best.Throughput
			for _, required := range []float64{0.2, 1, 1e9} {
				checkChoice(t, name, gpus, required, c.Choose(request(spec, gpus, required)))
			}
		}
	}
}

func checkChoice(t *testing.T, name string, gpus int, required float64, c tune.Choice) {
	t.Helper()
	shapes := []topology.ParallelConfig{c.Best.Config}
	last := c.Best
	for _, r := range c.RunnersUp {
		if slices.ContainsFunc(shapes, r.Config.SameShape) {
			t.Errorf("%s: the shape of %s is listed twice", name, r.Config)
		}
		shapes = append(shapes, r.Config)
		if better(r, last, required) {
			t.Errorf("%s for %v requests/s: %s comes after %s, and is better", name, required, r.Config, last.Config)
		}
		last = r
	}
	for _, s := range shapes {
		if s.Devices() > gpus {
			t.Errorf("%s: %s needs more", name, s)
		}
	}
}

// better is the controller's preference, ties aside.
func better(a, b tune.Candidate, required float64) bool {
	switch sa, sb := a.Throughput >= required, b.Throughput >= required; {
	case sa != sb:
		return sa
	case sa:
		return a.Latency < b.Latency
	default:
		return a.Throughput > b.Throughput
	}
}
