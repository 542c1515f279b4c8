package cost

import (
	"cmp"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/topology"
)

// Continuous batching runs any number of requests, so its latencies come from
// between the profiled rows: linear in the batch size between two rows, exact
// at a row, and extrapolated beyond the largest one with the slope of the last
// two. That is an assumption: it holds as long as the phase keeps its bottleneck
// (memory bandwidth in decoding, arithmetic in prefill). Where rows ascend with
// the batch size, so do these.
//
// A continuous batch is one micro-batch: each iteration passes the P stages one
// after the other, and M1 and M2 do not matter.

// CoversTensor reports whether a tensor-parallel degree was profiled, so that a
// batch of any size can be priced.
func (l *LatencyModel) CoversTensor(c topology.ParallelConfig) bool {
	return len(l.byBatch[c.Tensor]) > 0
}

// JoinPrefill is the initial phase of n requests that join a continuous batch
// together, with tokens tokens of prompt in all, embedding and output included:
// e(n) + t1(n) for prompts of tokens/n.
func (l *LatencyModel) JoinPrefill(c topology.ParallelConfig, n, tokens int) time.Duration {
	return seconds(l.join(c, n, tokens))
}

// Iteration is t2(n): one decoding iteration of a continuous batch of n.
func (l *LatencyModel) Iteration(c topology.ParallelConfig, n int) time.Duration {
	return seconds(l.iteration(c, n))
}

// ContinuousSeconds is how long one request takes, in seconds, in a continuous
// batch that is kept at n running requests:
//
//	own prefill + output * t2(n) + (n-1) prefills of others
//
// In the time of one request each of the n-1 others is replaced once, and its
// successor's prefill stalls the decoding of all. Those that join together
// prefill a little faster than this says. A pipeline completes n requests in
// that time.
func (l *LatencyModel) ContinuousSeconds(c topology.ParallelConfig, n, prompt, output int) float64 {
	return float64(n)*l.join(c, 1, prompt) + float64(output)*l.iteration(c, n)
}

func (l *LatencyModel) join(c topology.ParallelConfig, n, tokens int) float64 {
	if n <= 0 {
		return 0
	}
	ms := l.at(c.Tensor, n, func(r PhaseLatency) float64 { return r.Prefill })*l.passLayers(c) +
		l.profile.PrefillComm*float64(c.Pipeline-1)
	return l.forTokens(l.profile.FixFactor*ms/1e3, float64(tokens)/float64(n)) + l.profile.FixFactor*2*l.embedAt(n)/1e3
}

func (l *LatencyModel) iteration(c topology.ParallelConfig, n int) float64 {
	if n <= 0 {
		return 0
	}
	ms := l.at(c.Tensor, n, func(r PhaseLatency) float64 { return r.Decode })*l.passLayers(c) +
		l.profile.DecodeComm*float64(c.Pipeline-1)
	return l.profile.FixFactor * ms / 1e3
}

// passLayers is the layers that a pass through all stages takes the time of:
// each stage is as long as the longest.
func (l *LatencyModel) passLayers(c topology.ParallelConfig) float64 {
	return l.stageLayers(c) * float64(c.Pipeline)
}

// at is a phase of one layer, in milliseconds, for a batch of n.
func (l *LatencyModel) at(tensor, n int, phase func(PhaseLatency) float64) float64 {
	rows := l.byBatch[tensor]
	return between(n, len(rows), func(i int) (int, float64) { return rows[i].Batch, phase(rows[i]) })
}

// embedAt is the embedding of a batch of n in milliseconds: Embed[i] was
// measured with a batch of 2^i.
func (l *LatencyModel) embedAt(n int) float64 {
	return between(n, len(l.profile.Embed), func(i int) (int, float64) { return 1 << i, l.profile.Embed[i] })
}

// between is the value at x of the broken line through count points that ascend
// by x: constant before the first, on with the last slope, if it rises, after
// the last.
func between(x, count int, point func(i int) (x int, y float64)) float64 {
	if count == 0 {
		return 0
	}
	i := 0
	for i < count-1 {
		if at, _ := point(i + 1); at > x {
			break
		}
		i++
	}
	x0, y0 := point(i)
	if x <= x0 || count == 1 {
		return y0
	}
	last := i == count-1
	if last {
		i--
		x0, y0 = point(i)
	}
	x1, y1 := point(i + 1)
	slope := (y1 - y0) / float64(x1-x0)
	if last {
		return y1 + max(0, slope)*float64(x-x1)
	}
	return y0 + slope*float64(x-x0)
}

func sortedRows(rows []PhaseLatency) []PhaseLatency {
	return slices.SortedFunc(slices.Values(rows), func(a, b PhaseLatency) int { return cmp.Compare(a.Batch, b.Batch) })
}
