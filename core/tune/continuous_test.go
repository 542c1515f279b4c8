package tune_test

import (
	"math"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/tune"
)

// TestContinuousChoices are priced by ContinuousSeconds, run as one micro-batch and
// share the KV memory by tokens.
func TestContinuousChoices(t *testing.T) {
	spec := fixture.Small()
	spec.Model.KVBytesPerToken = 3_000_000 // memory for 2333 tokens on one GPU: three requests of 640
	l, m := models(t, spec)
	m.MigrationBuffer = 0
	c := tune.NewParallelizationController(l, m)
	for gpus := 1; gpus <= 8; gpus++ {
		for _, required := range []float64{0, 0.5, 2, 1e9} {
			r := request(spec, gpus, required)
			r.Continuous, r.BatchLimit = true, 64
			choice := c.Choose(r)
			for _, got := range append(choice.RunnersUp, choice.Best) {
				cfg := got.Config
				seconds := l.ContinuousSeconds(cfg, cfg.Batch, spec.PromptTokens, spec.OutputTokens)
				switch {
				case cfg.PrefillMicroBatches != 1 || cfg.DecodeMicroBatches != 1:
					t.Errorf("%d GPUs: %+v has micro-batches", gpus, cfg)
				case cfg.Batch*640 > m.KVTokens(cfg):
					t.Errorf("%d GPUs: %+v has memory for %d tokens", gpus, cfg, m.KVTokens(cfg))
				case math.Abs(got.Latency.Seconds()-seconds) > 1e-9 || math.Abs(got.Throughput-float64(cfg.Data*cfg.Batch)/seconds) > 1e-9:
					t.Errorf("%d GPUs: %+v, want a latency of %v s", gpus, got, seconds)
				}
			}
			// More load never gets a lower latency.
			if idle := c.Choose(withLoad(r, 0)); choice.Best.Latency < idle.Best.Latency {
				t.Errorf("%d GPUs for %v requests/s: %s, for none %s", gpus, required, choice.Best.Latency, idle.Best.Latency)
			}
		}
	}
}

func withLoad(r tune.Request, required float64) tune.Request {
	r.RequiredThroughput = required
	return r
}

// TestContinuousSizesAreNotThoseOfTheProfile: static batches end at the largest
// profiled row, continuous ones where the memory does.
func TestContinuousSizesAreNotThoseOfTheProfile(t *testing.T) {
	spec := fixture.Small()
	l, _ := models(t, spec)
	c := tune.NewParallelizationController(l, cost.MemoryModel{Model: spec.Model, GPUMemoryBytes: spec.Instance.GPUMemoryBytes, TokensPerSeq: 640})
	r := request(spec, 4, 1e9)
	r.BatchLimit = 64
	if got := c.Choose(r).Best.Config.Batch; got != 8 {
		t.Errorf("a static batch of %d, the profile ends at 8", got)
	}
	r.Continuous = true
	if got := c.Choose(r).Best.Config.Batch; got != 64 {
		t.Errorf("a continuous batch of %d, want the limit", got)
	}
}
