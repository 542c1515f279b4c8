package planner

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/vtime"
)

// policy is how an approach answers a change of the fleet. All approaches are
// made of the same parts; this says which of them they use.
type policy struct {
	shape   shapeRule
	own     bool // batches are as large as the configuration was solved for, not the experiment's limit
	partial bool // only pipelines that lose a device stop
	hotAdd  bool // pipelines may join beside those that run
	mapped  bool // positions by what the devices hold, not by rank
	planned bool // migration in a memory-aware order, stages as they fill
	short   bool // stopping leaves time for the set-up of a migration only
	start   startRule
	starts  int // engine starts until the first deployment serves
}

// shapeRule says when (P, M, B) is solved for.
type shapeRule int

const (
	adaptive     shapeRule = iota // at every change
	firstFleet                    // once, for the first fleet
	largestFleet                  // once, for the largest fleet of the trace
)

// startRule says what a new pipeline waits for.
type startRule int

const (
	// overlapped: the engine starts while context arrives.
	overlapped startRule = iota
	// sequential: the engine starts when the context is there, and more slowly.
	sequential
	// restarted: context daemons restart, then weights come from disk, then the
	// engine starts.
	restarted
	// rerouted: a spare engine loads weights from disk while it starts, then
	// joins.
	rerouted
)

// policyOf returns the policy of an approach. The ablation levels take parts
// away one after the other (paper section 6.4).
func policyOf(s experiment.Spec) policy {
	switch s.Approach {
	case experiment.Rerouting:
		return policy{shape: largestFleet, own: true, partial: true, short: true, start: rerouted, starts: 2}
	case experiment.Reparallelization:
		return policy{short: true, start: restarted, starts: 1}
	case experiment.SpotServe:
	}
	p := policy{hotAdd: true, mapped: true, planned: true, starts: 1}
	if s.Level >= 1 {
		p.shape = firstFleet
	}
	if s.Level >= 2 {
		p.hotAdd, p.planned, p.start, p.starts = false, false, sequential, 3
	}
	if s.Level >= 4 {
		p.mapped = false
	}
	return p
}

// acceptLead is the share of an engine start by which a restarting pipeline
// takes requests before it serves (artifact).
const acceptLead = 0.7

// startUp is the timetable of a new pipeline.
type startUp struct {
	accepts vtime.Time   // takes requests into its pool
	engine  vtime.Time   // answers
	stages  []vtime.Time // each stage has its context
}

// context is when all stages have their context.
func (s startUp) context() vtime.Time { return slices.Max(s.stages) }

// startUp says when pipeline index is up if its plan begins now.
func (m *MetaContextManager) startUp(index int, plan migrate.Plan) startUp {
	now, e := m.emit.Now, m.spec.Engine
	if m.plans == 1 {
		// The first deployment finds its context in place.
		at := now.Add(time.Duration(m.policy.starts) * e.EngineStart)
		return startUp{at, at, m.allStages(now)}
	}
	var ready vtime.Time
	switch m.policy.start {
	case overlapped:
		ready = now.Add(e.EngineStart)
		stages := m.allStages(now)
		for _, s := range plan.Stages {
			if s.Pipeline == index {
				stages[s.Stage] = now.Add(s.After)
			}
		}
		return startUp{ready, ready, stages}
	case sequential:
		ready = now.Add(max(e.EngineStart, plan.Estimate-e.MigrationSetup) + 2*e.EngineStart)
	case restarted:
		ready = now.Add(e.DaemonRestart + m.diskLoad() + e.EngineStart)
		return startUp{ready.Add(-time.Duration(acceptLead * float64(e.EngineStart))), ready, m.allStages(ready)}
	case rerouted:
		ready = now.Add(max(e.EngineStart, m.diskLoad()) + e.EngineStart)
	}
	return startUp{ready, ready, m.allStages(ready)}
}

// allStages has every stage complete at the same instant.
func (m *MetaContextManager) allStages(at vtime.Time) []vtime.Time {
	return slices.Repeat([]vtime.Time{at}, m.deployed.config.Pipeline)
}

// diskLoad is how long the largest position takes to load its weights.
func (m *MetaContextManager) diskLoad() time.Duration {
	var cells int64
	for _, p := range m.deployed.placements {
		cells = max(cells, m.geometry.Region(m.deployed.config, p.Position).Cells())
	}
	return vtime.Duration(float64(cells*m.geometry.CellBytes) / m.spec.Engine.DiskBytesPerSecond)
}
