// Package tune chooses the parallel configuration: the parallelization
// controller of the paper's section 3.2, Algorithm 1.
package tune

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/topology"
)

// Candidate is a configuration and what the latency model expects of it.
type Candidate struct {
	Config     topology.ParallelConfig
	Latency    time.Duration // l_exe of one batch of B
	Throughput float64       // requests/s: D*B/l_exe

	seconds float64 // Latency before rounding, so that ties are true ties
}

// Choice is a decision together with what it beat.
type Choice struct {
	Best      Candidate   // Best.Config.IsZero() when nothing fits
	RunnersUp []Candidate // best of every other shape (P, M), best first
	Why       string
}

// Request is what the controller decides on.
type Request struct {
	GPUs               int
	RequiredThroughput float64 // requests/s
	BatchLimit         int
	PromptTokens       int
	OutputTokens       int
	// Continuous batching: B is how many requests a pipeline keeps running.
	Continuous bool
}

// maxRunnersUp bounds the alternatives that a Choice records.
const maxRunnersUp = 4

// ParallelizationController solves for the configuration. It has no state: the
// same request gets the same choice.
type ParallelizationController struct {
	latency *cost.LatencyModel
	memory  cost.MemoryModel
}

// NewParallelizationController returns a controller over the two models.
func NewParallelizationController(l *cost.LatencyModel, m cost.MemoryModel) *ParallelizationController {
	return &ParallelizationController{latency: l, memory: m}
}

// Choose picks the configuration with the lowest latency among those that
// sustain the required throughput, or, if none does, the one with the highest
// throughput. D is all that the GPUs at hand allow. The first one met wins a
// tie, in the order M, B, M1, M2, P.
func (c *ParallelizationController) Choose(r Request) Choice {
	var best pick
	shapes := make(map[shape]*pick)
	considered, sustaining := 0, 0
	for cand := range c.candidates(r) {
		considered++
		ok := cand.Throughput >= r.RequiredThroughput
		if ok {
			sustaining++
		}
		best.offer(cand, ok, considered)
		s := shape{cand.Config.Pipeline, cand.Config.Tensor}
		if shapes[s] == nil {
			shapes[s] = new(pick)
		}
		shapes[s].offer(cand, ok, considered)
	}
	if considered == 0 {
		return Choice{Why: fmt.Sprintf("no configuration fits %d GPUs", r.GPUs)}
	}
	return Choice{
		Best:      best.Candidate,
		RunnersUp: runnersUp(shapes, best.Config),
		Why:       why(r, best, considered, sustaining),
	}
}

// Fixed keeps (P, M, B) of a configuration solved before and lets D alone follow
// the GPUs at hand; D may be 0.
func (c *ParallelizationController) Fixed(shape topology.ParallelConfig, r Request) Choice {
	if shape.IsZero() {
		return Choice{Why: "no configuration was found when the shape was solved for"}
	}
	shape.Data = r.GPUs / shape.DevicesPerPipeline()
	if shape.Data == 0 {
		return Choice{Why: fmt.Sprintf("%d GPUs are fewer than the %d of one pipeline", r.GPUs, shape.DevicesPerPipeline())}
	}
	return Choice{
		Best: c.Evaluate(shape, r),
		Why:  fmt.Sprintf("%d pipelines of a shape solved before fit %d GPUs", shape.Data, r.GPUs),
	}
}

type shape struct{ pipeline, tensor int }

// pick keeps the better of what it is offered.
type pick struct {
	Candidate
	sustains bool
	order    int // when it was met; 0 means nothing yet
}

func (p *pick) offer(c Candidate, sustains bool, order int) {
	o := pick{c, sustains, order}
	if p.order == 0 || o.compare(*p) < 0 {
		*p = o
	}
}

// compare orders picks from best to worst, by the order met at last.
func (p pick) compare(o pick) int {
	switch {
	case p.sustains != o.sustains:
		if p.sustains {
			return -1
		}
		return 1
	case p.sustains && p.seconds != o.seconds:
		return cmp.Compare(p.seconds, o.seconds)
	case !p.sustains && p.Throughput != o.Throughput:
		return cmp.Compare(o.Throughput, p.Throughput)
	}
	return cmp.Compare(p.order, o.order)
}

// candidates yields every configuration that fits, in the declared order.
func (c *ParallelizationController) candidates(r Request) func(func(Candidate) bool) {
	return func(yield func(Candidate) bool) {
		for m := 1; m <= c.latency.MaxTensor(); m *= 2 {
			for b := 1; b <= r.BatchLimit; b *= 2 {
				for m1 := 1; m1 <= b; m1 *= 2 {
					for m2 := 1; m2 <= b; m2 *= 2 {
						for p := 1; p*m <= r.GPUs; p++ {
							cfg := topology.ParallelConfig{
								Data: r.GPUs / (p * m), Pipeline: p, Tensor: m, Batch: b,
								PrefillMicroBatches: m1, DecodeMicroBatches: m2,
							}
							if !c.latency.DividesLayers(p) || !c.fits(cfg, r) {
								continue
							}
							if !yield(c.Evaluate(cfg, r)) {
								return
							}
						}
					}
				}
			}
		}
	}
}

// fits reports whether a configuration has the memory for B requests, and the
// profile their latencies. A continuous batch is one micro-batch, and shares its
// KV memory by tokens.
func (c *ParallelizationController) fits(cfg topology.ParallelConfig, r Request) bool {
	if r.Continuous {
		return cfg.PrefillMicroBatches == 1 && cfg.DecodeMicroBatches == 1 && c.latency.CoversTensor(cfg) &&
			c.memory.Fits(cfg, 1) && cfg.Batch*(r.PromptTokens+r.OutputTokens) <= c.memory.KVTokens(cfg)
	}
	return c.memory.Fits(cfg, cfg.Batch) && c.latency.Covers(cfg, cfg.Batch)
}

// Evaluate returns what the latency model expects of a configuration: l_exe of a
// batch of B, or, in a continuous batch, of one request with B running.
func (c *ParallelizationController) Evaluate(cfg topology.ParallelConfig, r Request) Candidate {
	s := c.seconds(cfg, r)
	return Candidate{
		Config:     cfg,
		Latency:    time.Duration(s*1e9 + 0.5),
		Throughput: float64(cfg.Data*cfg.Batch) / s,
		seconds:    s,
	}
}

func (c *ParallelizationController) seconds(cfg topology.ParallelConfig, r Request) float64 {
	if r.Continuous {
		return c.latency.ContinuousSeconds(cfg, cfg.Batch, r.PromptTokens, r.OutputTokens)
	}
	return c.latency.BatchSeconds(cfg, cfg.Batch, r.PromptTokens, r.OutputTokens)
}

func runnersUp(shapes map[shape]*pick, best topology.ParallelConfig) []Candidate {
	var rest []pick
	for _, p := range shapes {
		if !p.Config.SameShape(best) {
			rest = append(rest, *p)
		}
	}
	slices.SortFunc(rest, pick.compare) // total: the order met is unique
	var out []Candidate
	for _, p := range rest[:min(len(rest), maxRunnersUp)] {
		out = append(out, p.Candidate)
	}
	return out
}

func why(r Request, best pick, considered, sustaining int) string {
	if best.sustains {
		return fmt.Sprintf("lowest latency of %d configurations that sustain %.3g requests/s (%d fit %d GPUs)",
			sustaining, r.RequiredThroughput, considered, r.GPUs)
	}
	return fmt.Sprintf("none of %d configurations on %d GPUs sustains %.3g requests/s: highest throughput",
		considered, r.GPUs, r.RequiredThroughput)
}
