package planner

import (
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// phase is where a reconfiguration stands.
type phase int

const (
	// steady: whatever is deployed serves, and no reconfiguration goes on. One
	// that stops nobody may be waiting for its instances.
	steady phase = iota
	// arranging: pipelines decode their last tokens before they exit.
	arranging
	// planning: all that have to stop have exited, the plan is being made.
	planning
	// starting: the plan is out, pipelines come up.
	starting
)

// change is the reconfiguration in progress.
type change struct {
	goal     goal
	lastExit vtime.Time
	batches  []interrupted
}

// interrupted is a batch that waits, with its KV cache, for a pipeline that
// inherits it.
type interrupted struct {
	pipeline  int // that holds the cache
	ids       []event.RequestID
	committed int // most tokens of one of its requests
}

// The timers of the planner.
const (
	timerPlan   = "plan"
	timerAdd    = "add"
	timerAccept = "accept"
	timerRate   = "rate"
	timerShrink = "shrink"
	// timerPrepare is of runs that compute.
	timerPrepare = "prepare"
)

// consider looks whether the fleet calls for a reconfiguration and, if none is
// in progress, begins it. While one is, only an earlier stop gets through; all
// else is considered again when the pipelines are up.
func (m *MetaContextManager) consider() {
	m.provision()
	if m.phase == planning || m.phase == starting || m.finished {
		return
	}
	g, ok := m.goal()
	switch {
	case !ok:
	case m.phase == arranging:
		if g.stop() < m.change.goal.stop() {
			m.change.goal = g
			m.arrange()
		}
	case len(g.stopping) == 0 && g.at > m.emit.Now:
		m.await(g)
	default:
		m.adding = false
		m.emit.Timer(timerAdd, vtime.Never)
		m.phase = arranging
		m.change = change{goal: g, lastExit: m.emit.Now, batches: m.change.batches}
		m.arrange()
	}
}

// await waits for the instances of a reconfiguration that stops nobody.
func (m *MetaContextManager) await(g goal) {
	if m.adding && m.change.goal.at <= g.at {
		return
	}
	m.adding = true
	m.change = change{goal: g}
	m.emit.Timer(timerAdd, g.at)
}

// arrange tells the pipelines that have to stop how long they may go on.
func (m *MetaContextManager) arrange() {
	for _, p := range m.deployed.alive() {
		if slices.Contains(m.change.goal.stopping, p.index) {
			m.command(p.leader, event.ArrangeInterruption{
				Epoch: p.epoch, Pipeline: p.index,
				Acquisition: m.change.goal.acquisition, At: m.change.goal.at, Migration: m.change.goal.migration,
			})
		}
	}
	m.prepare(m.change.goal.expected)
	m.exited()
}

// pipelineExited takes a pipeline out of service and keeps its batch for a new
// one.
func (m *MetaContextManager) pipelineExited(source string, b event.PipelineExited) {
	p := m.deployed.ledBy(source, b.Pipeline, b.Epoch)
	if p == nil {
		return
	}
	batch := interrupted{pipeline: p.index}
	m.hear(p, b.Generated)
	if !m.spec.Measured() {
		for _, r := range b.Interrupted {
			m.requests.CommitAt(p.index, r.Request, r.Committed)
		}
	}
	m.answerDone(p, b.At)
	for _, r := range b.Interrupted {
		if m.requests.Has(p.index, r.Request) && m.requests.Left(r.Request) > 0 {
			batch.ids = append(batch.ids, r.Request)
			batch.committed = max(batch.committed, r.Committed)
		}
	}
	if b.Batch != 0 {
		computed := b.Computed
		if m.spec.Measured() && m.spec.Stateful() {
			computed = 0 // it has told of every token
		}
		m.interrupt(p.index, b.At, computed)
	}
	if len(batch.ids) > 0 {
		m.change.batches = append(m.change.batches, batch)
	}
	m.requeue(m.requests.Close(p.index), batch.ids)
	delete(m.deployed.pipelines, p.index)
	m.change.lastExit = max(m.change.lastExit, b.At)
	switch m.phase {
	case arranging:
		m.exited()
	case steady, starting:
		m.crossed()
	case planning: // the plan is still to be made
	}
}

// requeue puts ids back into the queue, but for those that are kept.
func (m *MetaContextManager) requeue(ids, kept []event.RequestID) {
	m.requests.Requeue(slices.DeleteFunc(slices.Clone(ids), func(id event.RequestID) bool {
		return slices.Contains(kept, id)
	}))
}

// exited moves on when nothing runs that has to stop: the plan takes its time,
// and an acquisition waits for its instances.
func (m *MetaContextManager) exited() {
	for _, index := range m.change.goal.stopping {
		if m.deployed.pipelines[index] != nil {
			return
		}
	}
	m.phase = planning
	e := m.spec.Engine
	at := m.change.lastExit.Add(e.EngineStop + e.Planning)
	if m.plans == 0 {
		// The first deployment has nothing to wait for. The timer still comes
		// after everything else of this instant.
		at = m.emit.Now
	}
	if m.change.goal.acquisition {
		at = max(at, m.change.goal.at)
	}
	m.emit.Timer(timerPlan, max(at, m.emit.Now))
}

func (m *MetaContextManager) timer(name string) {
	switch {
	case name == timerPlan && m.phase == planning:
		m.reconfigure()
	case name == timerAdd && m.phase == steady && m.adding:
		m.adding = false
		m.consider()
	case name == timerAccept:
		m.accept()
	case name == timerRate:
		m.estimateRate()
	case name == timerShrink:
		m.provision()
	case name == timerPrepare:
		m.prepareAgain()
	case strings.HasPrefix(name, timerGone):
		m.gone(name)
	}
}

// lose takes nodes out.
func (m *MetaContextManager) lose(nodes []string) {
	m.totals.missed += m.missed(nodes)
	for _, stay := range m.fleet.Lose(nodes, m.emit.Now) {
		m.account(stay)
	}
	m.strike(nodes)
}

// strike takes note that nodes hold nothing any more. Pipelines on them die at
// once, with what they had not committed; so do pipelines that were still to
// receive context from them.
func (m *MetaContextManager) strike(nodes []string) {
	orphans := m.orphans(nodes)
	for _, n := range nodes {
		m.deployed.held.Drop(n)
	}
	for _, p := range m.deployed.alive() {
		if slices.ContainsFunc(p.nodes, func(n string) bool { return slices.Contains(nodes, n) }) || slices.Contains(orphans, p.index) {
			m.kill(p, nodes)
		}
	}
	m.dropInterrupted(nodes)
	if m.phase == arranging {
		m.exited()
	}
	if m.phase == starting && m.deployed.started() {
		m.settle()
	} else {
		m.consider()
	}
	if m.draining {
		m.drained()
	}
}

// orphans lists the pipelines whose context was still to come from nodes.
func (m *MetaContextManager) orphans(nodes []string) []int {
	var out []int
	if m.phase != starting || m.spec.Measured() {
		return nil // an engine that computes finds what it misses elsewhere
	}
	for _, s := range m.deployed.steps {
		if slices.Contains(nodes, s.From.Node) && m.emit.Now < m.deployed.begin.Add(s.After) {
			out = append(out, s.Pipeline)
			m.deployed.held.Forget(s.To)
		}
	}
	return out
}

// kill ends a pipeline that lost a node.
func (m *MetaContextManager) kill(p *pipeline, lost []string) {
	if !slices.Contains(lost, p.leader) {
		m.command(p.leader, event.StopPipeline{Epoch: p.epoch, Pipeline: p.index})
	}
	m.answerDone(p, m.emit.Now)
	m.interrupt(p.index, m.emit.Now, m.computed(p))
	m.requeue(m.requests.Close(p.index), nil)
	delete(m.deployed.pipelines, p.index)
	m.deployed.broken = true
}

// dropInterrupted gives up the KV cache of interrupted batches that lay on
// nodes that are gone; their requests go back to the queue.
func (m *MetaContextManager) dropInterrupted(nodes []string) {
	m.change.batches = slices.DeleteFunc(m.change.batches, func(b interrupted) bool {
		for _, p := range m.deployed.placements {
			if p.Position.Data == b.pipeline && slices.Contains(nodes, p.Device.Node) {
				m.requests.Requeue(b.ids)
				return true
			}
		}
		return false
	})
}

// interrupt counts the running requests of a pipeline that were stopped, and
// what they lost.
func (m *MetaContextManager) interrupt(pipeline int, at vtime.Time, computed int) {
	stopped, lost := m.requests.Interrupt(pipeline, at, computed)
	m.totals.interruptions += stopped
	m.totals.recomputed += lost
}
