package planner

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/fleet"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/vtime"
)

// goal is a reconfiguration that the announced changes call for.
type goal struct {
	cause       Cause
	at          vtime.Time // of the event behind it
	acquisition bool       // serve until at; else be through by at
	stopping    []int      // pipelines that have to stop for it
	migration   time.Duration
	// expected is the migration that the estimate was made of; nil where there is
	// no estimate, and in a run that moves nothing ahead.
	expected *expectation
}

// stop is when pipelines have to stop for the goal.
func (g goal) stop() vtime.Time {
	if g.acquisition {
		return g.at
	}
	return g.at.Add(-g.migration)
}

// goal finds the next reconfiguration that is called for, if any: first what is
// broken, then what is going to leave, then what could be better, now or with
// what is about to come.
func (m *MetaContextManager) goal() (goal, bool) {
	now := m.emit.Now
	if m.deployed.broken {
		return m.toward(m.aim(m.fleet.Staying(), now, nil), now, false).because(Failure), true
	}
	if leaving := m.fleet.Leaving(); len(leaving) > 0 {
		if g, ok := m.goalOfLeaving(leaving); ok {
			return g.because(Preemption), true
		}
	}
	// What was planned for an event ahead is not undone before the event.
	if t := m.aim(m.fleet.Staying(), max(now, m.change.goal.at), nil); m.needed(t) {
		return m.toward(t, now, true).because(Improvement), true
	}
	for _, at := range m.moments() {
		if t := m.aim(m.fleet.Expected(at), at, nil); m.needed(t) {
			return m.toward(t, at, true).because(Improvement), true
		}
	}
	return goal{}, false
}

// goalOfLeaving plans for the first deadline. Instances that join while the
// migration still fits before it are waited for, so that an addition and a
// removal close together are one reconfiguration.
func (m *MetaContextManager) goalOfLeaving(leaving map[string]vtime.Time) (goal, bool) {
	deadline := vtime.Never
	for _, at := range leaving {
		deadline = min(deadline, at)
	}
	t := m.aim(m.fleet.Staying(), deadline, nil)
	if !m.needed(t) {
		return goal{}, false
	}
	g := m.toward(t, deadline, false)
	if m.spec.Quirks == experiment.QuirksArtifact && t.config() == m.deployed.config {
		// The artifact takes a removal that idle spares cover for an
		// acquisition, and lets engines run to the deadline.
		g.acquisition = true
		return g, true
	}
	for _, at := range m.moments() {
		if at > g.stop() {
			break
		}
		if with := m.aim(m.fleet.Expected(at), at, nil); with.config() != t.config() {
			return m.toward(with, at, true), true
		}
	}
	return g, true
}

// moments lists the instants ahead at which announced instances join or the
// requirement changes, ascending.
func (m *MetaContextManager) moments() []vtime.Time {
	out := m.required.after(m.emit.Now)
	for _, n := range m.fleet.All() {
		if n.State == fleet.Booting && n.Joins > m.emit.Now {
			out = append(out, n.Joins)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// toward is the goal of reaching t for an event at the instant at.
func (m *MetaContextManager) toward(t target, at vtime.Time, acquisition bool) goal {
	g := goal{at: at, acquisition: acquisition}
	for _, p := range m.deployed.alive() {
		if !slices.Contains(t.kept, p.index) {
			g.stopping = append(g.stopping, p.index)
		}
	}
	switch {
	case m.deployed.broken: // there is no deadline left to keep
	case acquisition && len(g.stopping) == 0: // there is nobody to tell
	case m.policy.short:
		g.migration = m.spec.Engine.MigrationSetup
	default:
		inherit := m.fullCaches(t)
		plan := m.estimate(t, inherit)
		g.migration = plan.Estimate
		if m.spec.Measured() {
			g.expected = &expectation{target: t, steps: plan.Steps, inherit: inherit}
		}
	}
	return g
}

// estimate is the migration to t if every pipeline hands over the largest KV cache
// that it can have: what an arrangement has to leave room for.
func (m *MetaContextManager) estimate(t target, inherit []migrate.Inheritance) migrate.Plan {
	return m.migrator.Plan(migrate.Task{
		Begin: m.emit.Now, Config: t.config(), Placements: t.placements, Held: m.deployed.held,
		Inherit: inherit,
	})
}

// fullCaches hands every living pipeline's largest KV cache to the new pipeline
// of its number, as far as there is one.
func (m *MetaContextManager) fullCaches(t target) []migrate.Inheritance {
	if !m.spec.Stateful() {
		return nil
	}
	var out []migrate.Inheritance
	fresh := t.fresh()
	for i, p := range m.deployed.alive() {
		if i < len(fresh) {
			out = append(out, migrate.Inheritance{From: p.index, To: fresh[i], Tokens: m.fullCache(p.index)})
		}
	}
	return out
}

// fullCache is the most tokens of KV cache that a pipeline is expected to have
// when it stops. A continuous batch has memory for far more requests than it runs:
// it counts what it was sent, or those that its configuration was solved for.
func (m *MetaContextManager) fullCache(pipeline int) int {
	d := m.deployed
	if m.spec.Batching == experiment.Continuous {
		solved := d.config.Batch * (m.spec.PromptTokens + m.spec.OutputTokens)
		return min(d.room.KVTokens, max(solved, m.requests.Reserved(pipeline)))
	}
	return d.room.Limit * m.spec.LongestSequence()
}
