// Package tune chooses the parallel configuration: the parallelization
// controller of the paper's section 3.2, Algorithm 1.
package tune

import (
	"fmt"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
)

// Candidate is a configuration and what the models expect of it.
type Candidate struct {
	Config     topology.ParallelConfig
	Latency    time.Duration // l_exe of one batch of B
	Throughput float64       // requests/s: D*B/l_exe
	Instances  int           // that hold its D*P*M GPUs; what it costs

	seconds float64       // Latency before rounding, so that ties are true ties
	p99     time.Duration // of MeetSLO: PredictP99, or unbounded
}

// Choice is a decision together with what it beat.
type Choice struct {
	Best      Candidate   // Best.Config.IsZero() when nothing fits
	RunnersUp []Candidate // best of every other shape (P, M), best first
	Why       string
}

// Request is what the controller decides on.
type Request struct {
	GPUs            int
	GPUsPerInstance int // what instances are counted by; 0: each GPU is one
	// Objective says what the best configuration is; "" is MinLatency.
	Objective experiment.Objective
	// Fewest lets MinLatency leave GPUs idle: D is what the load needs, and the
	// fewest instances win ties. The other objectives always do. Without it D is
	// all that the GPUs allow, as published.
	Fewest             bool
	SLOP99             time.Duration // target of MeetSLO
	ArrivalRate        float64       // requests/s, for the prediction of the P99
	RequiredThroughput float64       // requests/s
	BatchLimit         int
	// Full says that pipelines run as many requests at a time as BatchLimit and the
	// profile allow, whatever B was solved for (artifact). The P99 depends on it.
	Full         bool
	PromptTokens int
	OutputTokens int
	// IdleOnly batching: requests wait in the queue, for whichever pipeline is idle
	// first. The P99 depends on it.
	IdleOnly bool
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

// Choose picks the best configuration by the objective:
//
//   - MinLatency: the lowest l_exe among those that sustain the required
//     throughput (Algorithm 1, line 3)
//   - MinCost: of those the fewest instances, then the lowest l_exe
//   - MeetSLO: of those that also keep the predicted P99 within the target, the
//     fewest instances, then the lowest predicted P99
//
// If none does, the one with the highest throughput is best (line 5); for
// MeetSLO the one with the lowest predicted P99, first of those that sustain the
// required throughput. The first one met wins a tie, in the order M, B, M1, M2, P.
func (c *ParallelizationController) Choose(r Request) Choice {
	var best pick
	shapes := make(map[shape]*pick)
	considered, serving := 0, 0
	for cand := range c.candidates(r) {
		considered++
		ok := r.serves(cand)
		if ok {
			serving++
		}
		best.offer(r, cand, ok, considered)
		s := shape{cand.Config.Pipeline, cand.Config.Tensor}
		if shapes[s] == nil {
			shapes[s] = new(pick)
		}
		shapes[s].offer(r, cand, ok, considered)
	}
	if considered == 0 {
		return Choice{Why: fmt.Sprintf("no configuration fits %d GPUs", r.GPUs)}
	}
	return Choice{
		Best:      best.Candidate,
		RunnersUp: runnersUp(r, shapes, best.Config),
		Why:       why(r, best, considered, serving),
	}
}

// Fixed keeps (P, M, B) of a configuration solved before and lets D alone follow
// the GPUs at hand, or the load where they need not all work; D may be 0.
func (c *ParallelizationController) Fixed(shape topology.ParallelConfig, r Request) Choice {
	if shape.IsZero() {
		return Choice{Why: "no configuration was found when the shape was solved for"}
	}
	shape.Data = r.GPUs / shape.DevicesPerPipeline()
	if shape.Data == 0 {
		return Choice{Why: fmt.Sprintf("%d GPUs are fewer than the %d of one pipeline", r.GPUs, shape.DevicesPerPipeline())}
	}
	best := c.sized(shape, r)
	return Choice{
		Best: best,
		Why:  fmt.Sprintf("%d pipelines of a shape solved before fit %d GPUs", best.Config.Data, r.GPUs),
	}
}

// candidates yields every shape that fits, with its D, in the declared order.
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
							if !yield(c.sized(cfg, r)) {
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

// Evaluate returns what the models expect of a configuration: l_exe of a batch
// of B, or, in a continuous batch, of one request with B running.
func (c *ParallelizationController) Evaluate(cfg topology.ParallelConfig, r Request) Candidate {
	return evaluate(cfg, c.seconds(cfg, r), c.pace(cfg, r), r)
}

func evaluate(cfg topology.ParallelConfig, seconds float64, p pace, r Request) Candidate {
	out := Candidate{
		Config:    cfg,
		Latency:   time.Duration(seconds*1e9 + 0.5),
		Instances: r.instances(cfg),
		seconds:   seconds,
	}
	if seconds > 0 { // else the profile does not cover it
		out.Throughput = float64(cfg.Data*cfg.Batch) / seconds
	}
	if r.Objective == experiment.MeetSLO {
		out.p99 = p.tail(cfg.Data, r)
	}
	return out
}

func (c *ParallelizationController) seconds(cfg topology.ParallelConfig, r Request) float64 {
	if r.Continuous {
		return c.latency.ContinuousSeconds(cfg, cfg.Batch, r.PromptTokens, r.OutputTokens)
	}
	return c.latency.BatchSeconds(cfg, cfg.Batch, r.PromptTokens, r.OutputTokens)
}
