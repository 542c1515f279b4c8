package planner

import (
	"slices"

	"github.com/spotserve/spotserve/core/assign"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/fleet"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/tune"
	"github.com/spotserve/spotserve/core/vtime"
)

// target is a configuration with its devices.
type target struct {
	choice     tune.Choice
	placements []topology.Placement
	kept       []int // running pipelines that stay as they are
	gpus       int
}

func (t target) config() topology.ParallelConfig { return t.choice.Best.Config }

// fresh lists the pipelines of t that have to be started, by number.
func (t target) fresh() []int {
	var out []int
	for _, p := range t.placements {
		if d := p.Position.Data; !slices.Contains(t.kept, d) && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// of returns the placements of the pipelines that pick selects.
func (t target) of(pick func(pipeline int) bool) []topology.Placement {
	var out []topology.Placement
	for _, p := range t.placements {
		if pick(p.Position.Data) {
			out = append(out, p)
		}
	}
	return out
}

// aim chooses a configuration for nodes, for the throughput required at the
// instant at, and maps it.
func (m *MetaContextManager) aim(nodes []fleet.Node, at vtime.Time, inherit []migrate.Inheritance) target {
	devices := fleet.Devices(nodes)
	t := target{gpus: len(devices)}
	if m.closedLoop() {
		// Instances that are about to be replaced come on top of the most.
		t.gpus = min(t.gpus, m.mostGPUs())
	}
	t.choice = m.choose(t.gpus, at)
	if m.closedLoop() {
		nodes = m.spotFirst(nodes, t.config().Devices())
		devices = fleet.Devices(nodes)
	}
	if safe := fleet.WithoutRisk(nodes, t.config().Devices()); len(safe) < len(nodes) {
		devices = fleet.Devices(safe) // those at risk are the last choice
	}
	if m.policy.partial || m.policy.hotAdd && m.canKeep(t.config(), nodes) {
		return m.fill(t, m.kept(t.config(), nodes), devices)
	}
	t.placements = m.mapper.Map(assign.Request{Config: t.config(), Devices: devices, Held: m.deployed.held, Inherit: inherit})
	return t
}

// choose solves for (D, P, M, B), or follows the fleet with D alone where the
// policy has solved for the rest before.
func (m *MetaContextManager) choose(gpus int, at vtime.Time) tune.Choice {
	request := m.request(gpus, at)
	if len(m.spec.Forced) > 0 {
		config, ok := m.forced(gpus)
		if !ok {
			return tune.Choice{Why: "no forced configuration fits"}
		}
		return tune.Choice{Best: tune.Candidate{Config: config}, Why: "forced"}
	}
	if m.policy.shape == adaptive {
		return m.best(request)
	}
	if m.shape.IsZero() {
		if m.policy.shape == largestFleet {
			request.GPUs = max(gpus, m.mostGPUs())
		}
		m.shape = m.controller.Choose(request).Best.Config
	}
	request.GPUs = gpus
	return m.controller.Fixed(m.shape, request)
}

// maxChoices bounds the decisions that are remembered.
const maxChoices = 256

// best asks the controller, which gives the same request the same answer. Around
// one change of the fleet the same is asked again and again.
func (m *MetaContextManager) best(r tune.Request) tune.Choice {
	if choice, known := m.choices[r]; known {
		return choice
	}
	if m.choices == nil || len(m.choices) == maxChoices {
		m.choices = make(map[tune.Request]tune.Choice)
	}
	choice := m.controller.Choose(r)
	m.choices[r] = choice
	return choice
}

// request is what the controller is asked, for the throughput required at the
// instant at.
func (m *MetaContextManager) request(gpus int, at vtime.Time) tune.Request {
	required := m.required.at(max(at, m.emit.Now)) // an event may be overdue
	r := tune.Request{
		GPUs: gpus, GPUsPerInstance: m.spec.Instance.GPUs, RequiredThroughput: required, ArrivalRate: required,
		Objective: m.spec.Objective, SLOP99: m.spec.SLOP99, Fewest: m.closedLoop(),
		BatchLimit: m.spec.BatchLimit, Full: !m.policy.own, PromptTokens: m.spec.PromptTokens, OutputTokens: m.spec.OutputTokens,
		Continuous: m.spec.Batching == experiment.Continuous, IdleOnly: m.spec.Batching == experiment.IdleOnly,
	}
	if m.spec.Headroom > 0 {
		r.ArrivalRate /= m.spec.Headroom
	}
	return r
}

// canKeep reports whether running pipelines can stay as they are in config: the
// model is cut alike, and there are not fewer pipelines and nobody leaves, or
// where instances may idle fewer, and as many are untouched.
func (m *MetaContextManager) canKeep(config topology.ParallelConfig, nodes []fleet.Node) bool {
	d := &m.deployed
	same := config
	same.Data = d.config.Data
	if d.config.IsZero() || d.broken || same != d.config {
		return false
	}
	if config.Data < d.config.Data {
		return m.idles() && len(m.untouched(nodes)) >= config.Data
	}
	return len(m.untouched(nodes)) == len(d.pipelines)
}

// untouched lists the running pipelines that have all their nodes among nodes.
func (m *MetaContextManager) untouched(nodes []fleet.Node) []*pipeline {
	here := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		here[n.Name] = true
	}
	return slices.DeleteFunc(m.deployed.alive(), func(p *pipeline) bool {
		return slices.ContainsFunc(p.nodes, func(name string) bool { return !here[name] })
	})
}

// fill keeps pipelines where they are and maps the missing ones to the other
// devices. Kept pipelines keep their numbers; new ones take the free ones.
func (m *MetaContextManager) fill(t target, kept []*pipeline, devices []topology.Device) target {
	config := t.config()
	keptNumbers := make(map[int]bool, len(kept))
	inUse := make(map[topology.Device]bool, len(m.deployed.placements))
	for _, p := range kept {
		t.kept = append(t.kept, p.index)
		keptNumbers[p.index] = true
	}
	for _, p := range m.deployed.placements {
		if keptNumbers[p.Position.Data] {
			t.placements = append(t.placements, p)
			inUse[p.Device] = true
		}
	}
	idle := slices.DeleteFunc(slices.Clone(devices), func(d topology.Device) bool { return inUse[d] })
	more := config
	more.Data = 0
	if per := config.DevicesPerPipeline(); per > 0 {
		more.Data = max(0, min(config.Data-len(kept), len(idle)/per))
	}
	config.Data = len(kept) + more.Data
	t.choice.Best = tune.Candidate{}
	if config.Data > 0 {
		t.choice.Best = m.controller.Evaluate(config, m.request(config.Devices(), m.emit.Now))
	}
	var free []int
	for d := 0; len(free) < more.Data; d++ {
		if !keptNumbers[d] {
			free = append(free, d)
		}
	}
	for _, p := range m.mapper.Map(assign.Request{Config: more, Devices: idle, Held: m.deployed.held}) {
		p.Position.Data = free[p.Position.Data]
		t.placements = append(t.placements, p)
	}
	slices.SortFunc(t.placements, func(a, b topology.Placement) int {
		return a.Position.Rank(config) - b.Position.Rank(config)
	})
	return t
}

// needed reports whether t differs from what is deployed. The same
// configuration on the same devices needs nothing, whatever idle spares do.
func (m *MetaContextManager) needed(t target) bool {
	d := &m.deployed
	return d.broken || t.config() != d.config || !d.sameDevices(t.placements)
}
