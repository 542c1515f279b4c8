package planner

import (
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/fleet"
)

// Cause is what called for a reconfiguration.
type Cause string

// The causes.
const (
	Start       Cause = "start"       // nothing was deployed yet
	Failure     Cause = "failure"     // a pipeline was lost with a node, or with a silent worker
	Preemption  Cause = "preemption"  // a node is going to leave
	Improvement Cause = "improvement" // other nodes, here or about to join, or another required throughput
)

// Causes lists all of them.
var Causes = []Cause{Start, Failure, Preemption, Improvement}

func (g goal) because(c Cause) goal {
	g.cause = c
	return g
}

// Cause is what called for the newest plan; "" before the first one.
func (m *MetaContextManager) Cause() Cause { return m.cause }

// Counts are what a run has come to so far. They never decrease.
type Counts struct {
	Arrived    int // requests, those that are refused included
	Completed  int
	Unfinished int // at the end of the run
	Refused    int
	Duplicated int // second completions, dropped

	Interruptions int // of running requests
	Recomputed    int // tokens that were computed and lost
	Served        int // prompt and output tokens of completed requests
	Changed       int // committed tokens that were told again with another value: a defect

	LateFacts int
	// Missed are pipelines that still ran on a node, or waited for context from
	// it, when it left at its deadline.
	Missed int
	// CachesGivenUp are interrupted batches whose KV cache could not move to the
	// pipeline that was to inherit it: not in time, not into its memory, or in the
	// way of weights.
	CachesGivenUp int
}

// Counts returns the counts so far.
func (m *MetaContextManager) Counts() Counts {
	c := Counts{
		Unfinished: m.totals.unfinished, Refused: m.totals.refused, Interruptions: m.totals.interruptions,
		Recomputed: m.totals.recomputed, Served: m.totals.served, Changed: m.totals.changed,
		LateFacts: m.totals.lateFacts, Missed: m.totals.missed, CachesGivenUp: m.totals.caches,
	}
	if m.requests != nil {
		t := m.requests.Totals()
		c.Arrived, c.Completed, c.Duplicated = t.Accepted+c.Refused, t.Completed, t.Duplicated
	}
	return c
}

// Load is what a run has to do at the moment.
type Load struct {
	Queued    int // requests that wait
	InFlight  int // requests that a pipeline has, or that are on their way to another one
	Pipelines int // alive, those that start included
	Starting  bool
}

// Load returns the load. It is zero before the run's start and after its end.
func (m *MetaContextManager) Load() Load {
	if m.requests == nil || m.finished {
		return Load{}
	}
	t := m.requests.Totals()
	return Load{
		Queued: t.Queued, InFlight: t.Open - t.Queued, Pipelines: len(m.deployed.pipelines), Starting: m.phase == starting,
	}
}

// Fleet is how many nodes of a run are in each state.
type Fleet struct {
	Requested, Booting, Ready, Leaving int
	Silent                             int // of those that are ready or leaving: their workers do not answer
}

// Fleet counts the nodes, in time linear in their number.
func (m *MetaContextManager) Fleet() (f Fleet) {
	if m.fleet == nil || m.finished {
		return f
	}
	for _, n := range m.fleet.All() {
		switch n.State {
		case fleet.Requested:
			f.Requested++
		case fleet.Booting:
			f.Booting++
		case fleet.Ready:
			f.Ready++
		case fleet.GracePeriod:
			f.Leaving++
		}
		if n.Silent {
			f.Silent++
		}
	}
	return f
}

// Running is the number of requests that a pipeline computes together, as its
// leader last told; 0 for a pipeline that is gone or of another plan.
func (m *MetaContextManager) Running(e event.Epoch, pipeline int) int {
	if p := m.deployed.pipelineOf(pipeline, e); p != nil {
		return p.running.requests
	}
	return 0
}

// missed counts the pipelines that still need a node that leaves at its deadline.
func (m *MetaContextManager) missed(lost []string) int {
	leaving := m.fleet.Leaving()
	due := func(node string) bool {
		deadline, noticed := leaving[node]
		return noticed && deadline <= m.emit.Now && slices.Contains(lost, node)
	}
	n := 0
	for _, p := range m.deployed.alive() {
		needs := slices.ContainsFunc(p.nodes, due)
		if m.phase == starting && !m.spec.Measured() {
			for _, s := range m.deployed.steps {
				needs = needs || s.Pipeline == p.index && due(s.From.Node) && m.emit.Now < m.deployed.begin.Add(s.After)
			}
		}
		if needs {
			n++
		}
	}
	return n
}
