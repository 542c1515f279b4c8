package planner

import (
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
)

// expectation is the migration that an arrangement leaves room for. The plan is
// made when all have stopped, and may be another one.
type expectation struct {
	target  target
	steps   []migrate.Step
	inherit []migrate.Inheritance
}

// prepare tells the nodes that are to receive something what that is, so that they
// can fetch it while pipelines still decode.
func (m *MetaContextManager) prepare(e *expectation) {
	if e == nil {
		return
	}
	fresh := e.target.fresh()
	for _, node := range m.fleet.Present() {
		part := event.PrepareMigration{Config: e.target.config()}
		for _, p := range e.target.placements {
			if p.Device.Node == node && slices.Contains(fresh, p.Position.Data) {
				part.Placements = append(part.Placements, p)
			}
		}
		for _, s := range e.steps {
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
