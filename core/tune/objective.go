package tune

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
)

// idles reports whether GPUs may stay idle: D is then a choice too.
func (r Request) idles() bool {
	return r.Fewest || r.Objective == experiment.MeetSLO || r.Objective == experiment.MinCost
}

func (r Request) sustains(c Candidate) bool { return c.Throughput >= r.RequiredThroughput }

// serves reports whether c does what the objective asks of every configuration.
func (r Request) serves(c Candidate) bool {
	return r.sustains(c) && (r.Objective != experiment.MeetSLO || c.p99 <= r.SLOP99)
}

// instances is how many instances hold the GPUs of a configuration.
func (r Request) instances(c topology.ParallelConfig) int {
	per := max(1, r.GPUsPerInstance)
	return (c.Devices() + per - 1) / per
}

// sized gives a shape, which has all the pipelines that the GPUs allow, its D:
// where GPUs may stay idle the fewest pipelines that serve, and then all that fit
// the instances of those, because a whole instance is paid for. Throughput
// and predicted P99 only get better with D, so bisection finds the fewest.
// If no D serves, it is the largest one, as far as the objective gains by it.
func (c *ParallelizationController) sized(cfg topology.ParallelConfig, r Request) Candidate {
	seconds, pace, most := c.seconds(cfg, r), c.pace(cfg, r), cfg.Data
	with := func(data int) Candidate {
		cfg.Data = data
		return evaluate(cfg, seconds, pace, r)
	}
	all := with(most)
	if !r.idles() {
		return all
	}
	enough := r.serves
	if !r.serves(all) {
		enough = func(c Candidate) bool {
			return r.Objective == experiment.MeetSLO && c.p99 != unbounded && c.p99 <= all.p99 && r.sustains(c) == r.sustains(all)
		}
	}
	fewest := with(1 + sort.Search(most-1, func(i int) bool { return enough(with(i + 1)) }))
	filled := min(r.GPUs, fewest.Instances*max(1, r.GPUsPerInstance)) / cfg.DevicesPerPipeline()
	return with(max(fewest.Config.Data, filled))
}

type shape struct{ pipeline, tensor int }

// pick keeps the better of what it is offered.
type pick struct {
	Candidate
	serves bool
	order  int // when it was met; 0 means nothing yet
}

func (p *pick) offer(r Request, c Candidate, serves bool, order int) {
	o := pick{c, serves, order}
	if p.order == 0 || r.compare(o, *p) < 0 {
		*p = o
	}
}

// compare orders picks from best to worst, by the order met at last.
func (r Request) compare(a, b pick) int {
	var by int
	switch {
	case a.serves != b.serves:
		if a.serves {
			return -1
		}
		return 1
	case a.serves && r.Objective == experiment.MeetSLO:
		by = cmp.Or(cmp.Compare(a.Instances, b.Instances), cmp.Compare(a.p99, b.p99))
	case a.serves && r.Objective == experiment.MinCost:
		by = cmp.Or(cmp.Compare(a.Instances, b.Instances), cmp.Compare(a.seconds, b.seconds))
	case a.serves:
		by = cmp.Compare(a.seconds, b.seconds)
	case r.Objective == experiment.MeetSLO && r.sustains(a.Candidate) != r.sustains(b.Candidate):
		if r.sustains(a.Candidate) {
			return -1
		}
		return 1
	case r.Objective == experiment.MeetSLO && min(a.p99, b.p99) != unbounded:
		by = cmp.Compare(a.p99, b.p99)
	default:
		by = cmp.Compare(b.Throughput, a.Throughput)
	}
	if r.idles() {
		by = cmp.Or(by, cmp.Compare(a.Instances, b.Instances))
	}
	return cmp.Or(by, cmp.Compare(a.order, b.order))
}

func runnersUp(r Request, shapes map[shape]*pick, best topology.ParallelConfig) []Candidate {
	var rest []pick
	for _, p := range shapes {
		if !p.Config.SameShape(best) {
			rest = append(rest, *p)
		}
	}
	slices.SortFunc(rest, r.compare) // total: the order met is unique
	var out []Candidate
	for _, p := range rest[:min(len(rest), maxRunnersUp)] {
		out = append(out, p.Candidate)
	}
	return out
}

func why(r Request, best pick, considered, serving int) string {
	switch {
	case r.Objective == experiment.MeetSLO && best.serves:
		return fmt.Sprintf("fewest instances (%d) of %d configurations that sustain %.3g requests/s with a predicted P99 within %s: %.3g s (%d fit %d GPUs)",
			best.Instances, serving, r.RequiredThroughput, r.SLOP99, best.p99.Seconds(), considered, r.GPUs)
	case r.Objective == experiment.MeetSLO && best.p99 == unbounded:
		return fmt.Sprintf("none of %d configurations on %d GPUs keeps up with %.3g requests/s: highest throughput",
			considered, r.GPUs, r.ArrivalRate)
	case r.Objective == experiment.MeetSLO:
		return fmt.Sprintf("none of %d configurations on %d GPUs sustains %.3g requests/s with a predicted P99 within %s: lowest predicted P99, %.3g s",
			considered, r.GPUs, r.RequiredThroughput, r.SLOP99, best.p99.Seconds())
	case r.Objective == experiment.MinCost && best.serves:
		return fmt.Sprintf("fewest instances (%d) of %d configurations that sustain %.3g requests/s (%d fit %d GPUs)",
			best.Instances, serving, r.RequiredThroughput, considered, r.GPUs)
	case best.serves:
		return fmt.Sprintf("lowest latency of %d configurations that sustain %.3g requests/s (%d fit %d GPUs)",
			serving, r.RequiredThroughput, considered, r.GPUs)
	}
	return fmt.Sprintf("none of %d configurations on %d GPUs sustains %.3g requests/s: highest throughput",
		considered, r.GPUs, r.RequiredThroughput)
}
