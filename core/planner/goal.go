package planner

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/assign"
	"github.com/spotserve/spotserve/core/fleet"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/tune"
	"github.com/spotserve/spotserve/core/vtime"
)

// goal is a reconfiguration that the announced changes of the fleet call for.
type goal struct {
	at          vtime.Time // of the availability event behind it
	acquisition bool       // wait for instances that join at at
	hotAdd      bool       // running pipelines stay, new ones join
	migration   time.Duration
}

// stop is when pipelines have to stop for the goal.
func (g goal) stop() vtime.Time {
	if g.acquisition {
		return g.at
	}
	return g.at.Add(-g.migration)
}

// target is a configuration with its devices.
type target struct {
	choice     tune.Choice
	placements []topology.Placement
	gpus       int
}

// aim chooses a configuration for nodes and maps it.
func (m *MetaContextManager) aim(nodes []fleet.Node) target {
	devices := fleet.Devices(nodes)
	t := target{gpus: len(devices)}
	t.choice = m.controller.Choose(tune.Request{
		GPUs: len(devices), RequiredThroughput: m.required,
		BatchLimit: m.spec.BatchLimit, OutputTokens: m.spec.OutputTokens,
	})
	config := t.choice.Best.Config
	if m.canKeep(config, nodes) {
		t.placements = m.extend(config, devices)
	} else {
		t.placements = m.mapper.Map(assign.Request{Config: config, Devices: devices, Held: m.deployed.held})
	}
	return t
}

// canKeep reports whether every running pipeline can stay as it is in config:
// the model is cut alike, there are not fewer pipelines, and nobody leaves.
func (m *MetaContextManager) canKeep(config topology.ParallelConfig, nodes []fleet.Node) bool {
	d := &m.deployed
	if d.config.IsZero() || d.broken() || config.Data < d.config.Data {
		return false
	}
	same := config
	same.Data = d.config.Data
	if same != d.config {
		return false
	}
	for _, p := range d.placements {
		if !slices.ContainsFunc(nodes, func(n fleet.Node) bool { return n.Name == p.Device.Node }) {
			return false
		}
	}
	return true
}

// extend keeps the present placements and maps the additional pipelines to the
// other devices.
func (m *MetaContextManager) extend(config topology.ParallelConfig, devices []topology.Device) []topology.Placement {
	d := &m.deployed
	idle := slices.DeleteFunc(devices, func(x topology.Device) bool {
		return slices.ContainsFunc(d.placements, func(p topology.Placement) bool { return p.Device == x })
	})
	more := config
	more.Data -= d.config.Data
	out := slices.Clone(d.placements)
	for _, p := range m.mapper.Map(assign.Request{Config: more, Devices: idle, Held: d.held}) {
		p.Position.Data += d.config.Data
		out = append(out, p)
	}
	return out
}

// needed reports whether t differs from what is deployed. The same
// configuration on the same devices needs nothing, whatever idle spares do.
func (m *MetaContextManager) needed(t target) bool {
	d := &m.deployed
	return d.broken() || t.choice.Best.Config != d.config || !d.sameDevices(t.placements)
}

// goal finds the next reconfiguration that is called for, if any: first what is
// broken, then what is going to leave, then what could be better, now or with
// the instances that are about to join.
func (m *MetaContextManager) goal() (goal, bool) {
	now := m.emit.Now
	if m.deployed.broken() {
		return goal{at: now}, true
	}
	if leaving := m.fleet.Leaving(); len(leaving) > 0 {
		if g, ok := m.goalOfLeaving(leaving); ok {
			return g, true
		}
	}
	if t := m.aim(m.fleet.Staying()); m.needed(t) {
		return goal{at: now, acquisition: true, hotAdd: m.hotAdd(t)}, true
	}
	for _, at := range m.joins() {
		if t := m.aim(m.fleet.Expected(at)); m.needed(t) {
			return goal{at: at, acquisition: true, hotAdd: m.hotAdd(t), migration: m.estimate(t)}, true
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
	t := m.aim(m.fleet.Staying())
	if !m.needed(t) {
		return goal{}, false
	}
	g := goal{at: deadline, migration: m.estimate(t)}
	for _, at := range m.joins() {
		if with := m.aim(m.fleet.Expected(at)); at <= g.stop() && with.choice.Best.Config != t.choice.Best.Config {
			return goal{at: at, acquisition: true, migration: m.estimate(with)}, true
		}
	}
	return g, true
}

// joins lists the instants at which announced instances join, ascending.
func (m *MetaContextManager) joins() []vtime.Time {
	var out []vtime.Time
	for _, n := range m.fleet.All() {
		if n.State == fleet.Booting && n.Joins > m.emit.Now {
			out = append(out, n.Joins)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// hotAdd reports whether t only adds pipelines to what runs.
func (m *MetaContextManager) hotAdd(t target) bool {
	d := &m.deployed
	return !d.config.IsZero() && len(t.placements) > len(d.placements) &&
		slices.Equal(t.placements[:len(d.placements)], d.placements)
}

// estimate is the migration time to t if every pipeline hands over the largest
// KV cache that it can have: what an arrangement has to leave room for.
func (m *MetaContextManager) estimate(t target) time.Duration {
	var inherit []migrate.Inheritance
	tokens := m.deployed.limit * (m.spec.PromptTokens + m.spec.OutputTokens)
	for i, p := range m.deployed.alive() {
		if i < t.choice.Best.Config.Data {
			inherit = append(inherit, migrate.Inheritance{From: p.index, To: i, Tokens: tokens})
		}
	}
	return m.migrator.Plan(migrate.Task{
		Config: t.choice.Best.Config, Placements: t.placements, Held: m.deployed.held,
		Leaving: m.fleet.Leaving(), Inherit: inherit,
	}).Estimate
}
