package planner

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/vtime"
)

// expectation is the migration that an arrangement leaves room for. The plan is
// made when all have stopped, and may be another one.
type expectation struct {
	target  target
	steps   []migrate.Step
	inherit []migrate.Inheritance
}

// prepareLead is the least time before a stop at which it is still worth saying what
// to fetch.
const prepareLead = 500 * time.Millisecond

// prepare tells the nodes that are to receive something what that is, so that they
// can fetch it while pipelines still decode. The cache grows meanwhile, so it is
// told of again when half of the time is left, and again.
func (m *MetaContextManager) prepare(e *expectation) {
	if e == nil {
		return
	}
	m.tellAhead(e, e.steps)
	m.prepareLater()
}

// prepareAgain tells of the cache that has come up since.
func (m *MetaContextManager) prepareAgain() {
	e := m.change.goal.expected
	if m.phase != arranging || e == nil {
		return
	}
	m.tellAhead(e, slices.DeleteFunc(slices.Clone(e.steps), func(s migrate.Step) bool { return s.Kind != migrate.CacheContext }))
	m.prepareLater()
}

func (m *MetaContextManager) prepareLater() {
	at := vtime.Never
	if half := m.change.goal.stop().Sub(m.emit.Now) / 2; half >= prepareLead {
		at = m.emit.Now.Add(half)
	}
	m.emit.Timer(timerPrepare, at)
}

// tellAhead tells every node which of the steps end there.
func (m *MetaContextManager) tellAhead(e *expectation, steps []migrate.Step) {
	fresh := e.target.fresh()
	for _, node := range m.fleet.Present() {
		part := event.PrepareMigration{Config: e.target.config()}
		for _, p := range e.target.placements {
			if p.Device.Node == node && slices.Contains(fresh, p.Position.Data) {
				part.Placements = append(part.Placements, p)
			}
		}
		for _, s := range steps {
			if s.To.Node == node {
				part.Steps = append(part.Steps, s)
			}
		}
		for _, in := range e.inherit {
			if ids := m.requests.Of(in.From); len(ids) > 0 && slices.ContainsFunc(part.Steps, func(s migrate.Step) bool {
				return s.Kind == migrate.CacheContext && s.Pipeline == in.To
			}) {
				part.Resume = append(part.Resume, event.PreparedPipeline{Pipeline: in.To, Requests: ids})
			}
		}
		if len(part.Steps) > 0 {
			m.command(node, part)
		}
	}
}
