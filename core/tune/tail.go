package tune

import (
	"math"
	"sort"
	"time"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
)

// The constants of the prediction that are fitted to the simulator; all else in
// this file is from the literature.
const (
	// secondBatch is the share of a batch by which the wait for a turn grows on
	// busy pipelines: a pipeline takes the largest power of two of those who wait
	// and leaves the rest for another batch.
	secondBatch = 0.75
	// batchSpread is the capacity, over the load, at which batches are rarely
	// larger: their sizes vary around the mean.
	batchSpread = 1.25
)

// share of the requests may take longer than a P99.
const share = 0.01

// PredictP99 is the P99 of the latency that queueing theory expects of a
// configuration under r.ArrivalRate; ok is false if it does not keep up with it.
//
// Requests arrive as a Poisson process. The P99 is the time in a batch, the wait
// for a turn, and the wait in the queue, one after the other. The queue is that
// of an M/D/c with c = D*B servers that take l_exe each: probability and mean of a
// wait by Sakasegawa (1977), with the factor of Allen and Cunneen, (Ca^2+Cs^2)/2,
// for the variability of arrivals (Ca = 1) and of service (Cs = 0); the wait of
// those who wait is taken for exponential:
//
//	rho = rate*l_exe/c               P(W > t) = Pw*exp(-t/w)
//	Pw  = rho^(sqrt(2(c+1))-1)       w = (1+0)/2 * l_exe/(c(1-rho))
//
// B is what pipelines run at a time, and l_exe of as many. Below that load they
// run n requests, with D*n/l_exe(n) = rate (Little's law), and take l_exe(n): a
// continuous batch in one case of a hundred 2.33 sqrt(n) more than n, a static
// one the next power of two.
//
// A static batch closes its door. With all D pipelines at work (Erlang's C, a
// batch a server) a request waits for its pool's batch to end, anywhere within it,
// or, of IdleOnly, for the first of D that ends. A continuous batch has no door.
//
// Assumed are planned lengths and a fleet that stays as it is. docs/fidelity.md
// says how far the simulator is off.
func (c *ParallelizationController) PredictP99(cfg topology.ParallelConfig, r Request) (p99 time.Duration, ok bool) {
	r.Objective = experiment.MeetSLO
	p99 = c.pace(cfg, r).tail(cfg.Data, r)
	return p99, p99 != unbounded
}

// unbounded is the P99 under a load that the servers do not keep up with.
const unbounded time.Duration = math.MaxInt64

// pace is how a pipeline serves: up to limit requests at a time, and n of them in
// seconds(n).
type pace struct {
	limit   int
	seconds func(n int) float64
}

// pace returns the pace of a configuration; none where the objective needs none.
func (c *ParallelizationController) pace(cfg topology.ParallelConfig, r Request) pace {
	if r.Objective != experiment.MeetSLO {
		return pace{}
	}
	p := pace{limit: cfg.Batch, seconds: func(n int) float64 {
		cfg.Batch = n
		return c.seconds(cfg, r)
	}}
	switch {
	case !r.Full:
	case r.Continuous:
		p.limit = max(1, min(r.BatchLimit, c.memory.KVTokens(cfg)/max(1, r.PromptTokens+r.OutputTokens)))
	default:
		for n := 1; n <= r.BatchLimit; n *= 2 {
			if c.latency.Covers(cfg, n) {
				p.limit = n
			}
		}
	}
	return p
}

// tail is PredictP99 of so many pipelines.
func (p pace) tail(pipelines int, r Request) time.Duration {
	full, servers := p.seconds(p.limit), float64(pipelines*p.limit)
	load := r.ArrivalRate * full / servers
	if load >= 1 {
		return unbounded
	}
	queue := 0.0
	waits := math.Pow(load, math.Sqrt(2*(servers+1))-1)
	if waits > share {
		queue = math.Log(waits/share) / 2 * full / (servers * (1 - load))
	}
	in := p.static
	if r.Continuous {
		in = p.continuous
	}
	ns := (in(pipelines, r) + queue) * 1e9
	if ns >= float64(unbounded) {
		return unbounded
	}
	return time.Duration(ns + 0.5)
}

// continuous is the time in a continuous batch, in seconds.
func (p pace) continuous(pipelines int, r Request) float64 {
	n := 1 + sort.Search(p.limit-1, func(i int) bool {
		return float64(pipelines*(i+1)) >= r.ArrivalRate*p.seconds(i+1)
	})
	return p.seconds(min(p.limit, int(math.Ceil(float64(n)+2.33*math.Sqrt(float64(n))))))
}

// static is the time in a static batch and before its door, in seconds. Where
// smaller batches take longer, they decide.
func (p pace) static(pipelines int, r Request) float64 {
	batch := p.seconds(1)
	for n := 1; n < p.limit && float64(pipelines*n) < batchSpread*r.ArrivalRate*p.seconds(n); {
		n *= 2
		batch = max(batch, p.seconds(n))
	}
	busy := erlangC(pipelines, r.ArrivalRate*batch)
	door, second := 0.0, secondBatch*busy*busy
	switch d := float64(pipelines); {
	case busy <= share:
	case r.IdleOnly:
		door, second = 1-math.Pow(share/busy, 1/d), second/(d*d)
	default:
		door = 1 - share/busy
	}
	return batch * (1 + door + second)
}

// erlangC is the probability that all servers are busy under an offered load, in
// servers' worth of work.
func erlangC(servers int, offered float64) float64 {
	if offered >= float64(servers) {
		return 1
	}
	blocked := 1.0 // Erlang's B
	for n := 1; n <= servers; n++ {
		blocked = offered * blocked / (float64(n) + offered*blocked)
	}
	return blocked / (1 - offered/float64(servers)*(1-blocked))
}
