package tune

import (
	"math"
	"time"

	"github.com/spotserve/spotserve/core/topology"
)

// secondBatch is the share of a batch by which the wait for the pipeline's turn
// grows on busy pipelines: a pipeline takes the largest power of two from its
// pool and leaves the rest for its next batch. Fitted to the simulator; all else
// in this file is from the literature.
const secondBatch = 0.75

// PredictP99 is the P99 of the latency that queueing theory expects of a
// configuration under r.ArrivalRate; ok is false if it does not keep up with it.
//
// Requests arrive as a Poisson process. The P99 is the request's own batch, the
// wait for the pipeline's turn, and the wait in the queue, one after the other.
// The queue is that of an M/D/c with c = D*B servers that take l_exe each:
// probability and mean of a wait by Sakasegawa (1977), with the factor of Allen
// and Cunneen, (Ca^2+Cs^2)/2, for the variability of arrivals (Ca = 1) and of
// service (Cs = 0); the wait of those who wait is taken for exponential:
//
//	rho = rate*l_exe/c               P(W > t) = Pw*exp(-t/w)
//	Pw  = rho^(sqrt(2(c+1))-1)       w = (1+0)/2 * l_exe/(c(1-rho))
//
// A static batch closes its door: with all D pipelines at work (by the same
// formula, a batch a server) a request waits for the end of one, anywhere
// within it. A continuous batch has no door.
//
// Assumed are planned lengths, full batches, and a fleet that stays as it is.
// docs/fidelity.md says how far the simulator is off.
func (c *ParallelizationController) PredictP99(cfg topology.ParallelConfig, r Request) (p99 time.Duration, ok bool) {
	p99 = tail(cfg, c.seconds(cfg, r), r)
	return p99, p99 != unbounded
}

// unbounded is the P99 under a load that the servers do not keep up with.
const unbounded time.Duration = math.MaxInt64

// tail is PredictP99 of a configuration whose batches take seconds.
func tail(cfg topology.ParallelConfig, seconds float64, r Request) time.Duration {
	const share = 0.01 // of the requests that may take longer
	servers := float64(cfg.Data * cfg.Batch)
	load := r.ArrivalRate * seconds / servers
	if load >= 1 {
		return unbounded
	}
	queue := 0.0
	if waits := sakasegawa(load, servers); waits > share {
		queue = math.Log(waits/share) / 2 * seconds / (servers * (1 - load))
	}
	door := 0.0
	if !r.Continuous {
		pipelines := float64(cfg.Data)
		busy := sakasegawa(min(1, r.ArrivalRate*seconds/pipelines), pipelines)
		door = max(0, 1-share/busy) + secondBatch*busy*busy
	}
	ns := (seconds*(1+door) + queue) * 1e9
	if ns >= float64(unbounded) {
		return unbounded
	}
	return time.Duration(ns + 0.5)
}

// sakasegawa is the probability that all of the servers are busy.
func sakasegawa(load, servers float64) float64 {
	return math.Pow(load, math.Sqrt(2*(servers+1))-1)
}
