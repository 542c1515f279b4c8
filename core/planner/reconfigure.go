package planner

import (
	"cmp"
	"maps"
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/tune"
	"github.com/spotserve/spotserve/core/vtime"
)

// reconfigure plans the next configuration on the nodes that stay and sets it
// in motion: nothing runs at this point.
func (m *MetaContextManager) reconfigure() {
	t := m.aim(m.fleet.Staying())
	config := t.choice.Best.Config
	before := m.deployed
	batches := m.change.batches
	slices.SortStableFunc(batches, func(a, b interrupted) int {
		return cmp.Or(cmp.Compare(b.committed, a.committed), cmp.Compare(a.ids[0], b.ids[0]))
	})
	heirs := min(config.Data, len(batches))
	for _, b := range batches[heirs:] {
		m.requests.Requeue(b.ids)
	}
	plan, inherited := m.plan(t, before.held, batches[:heirs])
	m.commitPlan(t, plan, 0)
	for d := range config.Data {
		m.startPipeline(d)
	}
	resumed := 0
	resume := make(map[int][]event.AssignedRequest)
	for i, b := range inherited {
		if b == nil {
			m.requests.Requeue(batches[i].ids)
			continue
		}
		resume[i] = m.requests.Resume(i, b.ids)
		resumed += len(b.ids)
	}
	requeued := -resumed
	for _, b := range batches {
		requeued += len(b.ids)
	}
	m.announce(t, before, plan, resumed, requeued)
	m.apply(before, 0, resume)
	m.change = change{goal: m.change.goal}
	m.phase = starting
	m.settle()
}

// addPipelines starts more pipelines beside those that run (hot add).
func (m *MetaContextManager) addPipelines() {
	t := m.aim(m.fleet.Staying())
	if !m.needed(t) || !m.hotAdd(t) {
		m.consider()
		return
	}
	before := m.deployed
	added := t
	added.placements = t.placements[len(before.placements):]
	plan, _ := m.plan(added, before.held, nil)
	m.commitPlan(t, plan, before.config.Data)
	maps.Copy(m.deployed.pipelines, before.pipelines)
	for d := before.config.Data; d < t.choice.Best.Config.Data; d++ {
		m.startPipeline(d)
	}
	m.announce(t, before, plan, 0, 0)
	m.apply(before, before.config.Data, nil)
	m.phase = starting
	m.settle()
}

// plan plans the migration to t. What cannot make a deadline is given up in
// the declared order: first the KV cache, then the model context of leaving
// nodes, which is then taken from elsewhere. inherited holds the batches whose
// cache moves along, nil for those given up.
func (m *MetaContextManager) plan(t target, held *migrate.Holdings, batches []interrupted) (migrate.Plan, []*interrupted) {
	setup := m.spec.Engine.MigrationSetup
	task := migrate.Task{
		Config: t.choice.Best.Config, Placements: t.placements, Held: held, Leaving: m.fleet.Leaving(),
	}
	inherited := make([]*interrupted, len(batches))
	for i := range batches {
		inherited[i] = &batches[i]
		task.Inherit = append(task.Inherit, migrate.Inheritance{
			From: batches[i].pipeline, To: i, Tokens: m.requests.CachedTokens(batches[i].ids),
		})
	}
	plan := m.migrator.Plan(task)
	if !plan.Missed(m.emit.Now, setup) {
		return plan, inherited
	}
	task.Inherit = nil
	clear(inherited)
	if plan = m.migrator.Plan(task); !plan.Missed(m.emit.Now, setup) {
		return plan, inherited
	}
	task.Held = held.Without(slices.Collect(maps.Keys(task.Leaving)))
	return m.migrator.Plan(task), inherited
}

// commitPlan makes the plan the deployment in force; pipelines from number
// first on are new.
func (m *MetaContextManager) commitPlan(t target, plan migrate.Plan, first int) {
	m.plans++
	config := t.choice.Best.Config
	held := m.deployed.held.Clone()
	if first == 0 {
		held = migrate.NewHoldings()
	}
	for _, p := range t.placements {
		if p.Position.Data >= first {
			held.Put(migrate.Holding{Device: p.Device, Pipeline: p.Position.Data, Model: m.geometry.Region(config, p.Position)})
		}
	}
	contextAt := m.emit.Now.Add(plan.Estimate - m.spec.Engine.MigrationSetup)
	if m.plans == 1 {
		// The first deployment finds its context in place (artifact: no disk
		// load at time 0).
		contextAt, plan.Steps = m.emit.Now, nil
	}
	m.deployed = deployment{
		epoch:  event.Epoch{Term: m.term, N: m.plans},
		config: config, limit: m.batchLimit(config), placements: t.placements, held: held,
		pipelines: make(map[int]*pipeline), steps: plan.Steps, contextAt: contextAt,
	}
}

// batchLimit is the running batch limit: the largest that the experiment
// allows and the profile covers, whatever B was solved for (artifact).
func (m *MetaContextManager) batchLimit(c topology.ParallelConfig) int {
	limit := 1
	for n := 1; n <= m.spec.BatchLimit; n *= 2 {
		if m.latency.Covers(c, n) {
			limit = n
		}
	}
	return limit
}

func (m *MetaContextManager) startPipeline(index int) {
	d := &m.deployed
	p := &pipeline{index: index, epoch: d.epoch, waiting: make(map[string]bool)}
	for _, place := range d.placements {
		if place.Position.Data != index {
			continue
		}
		node := place.Device.Node
		if place.Position == (topology.DevicePosition{Data: index}) {
			p.leader = node
		}
		if !p.waiting[node] {
			p.waiting[node] = true
			p.nodes = append(p.nodes, node)
		}
	}
	d.pipelines[index] = p
	m.requests.Open(index, d.config, d.limit)
}

// announce tells the decision and the plan as facts.
func (m *MetaContextManager) announce(t target, before deployment, plan migrate.Plan, resumed, requeued int) {
	d := &m.deployed
	chosen := event.ConfigChosen{
		Epoch: d.epoch, Config: d.config, BatchLimit: d.limit, ChangeAt: m.change.goal.at,
		DevicesChanged: before.changedDevices(d.placements), GPUs: t.gpus,
		Chosen: candidate(t.choice.Best), Why: t.choice.Why,
	}
	for _, c := range t.choice.RunnersUp {
		chosen.RunnersUp = append(chosen.RunnersUp, candidate(c))
	}
	for _, p := range d.alive() {
		chosen.Pipelines = append(chosen.Pipelines, event.PipelinePlace{Pipeline: p.index, Leader: p.leader, Nodes: p.nodes})
	}
	m.fact(chosen)
	deadline := vtime.Never
	for _, s := range d.steps {
		deadline = min(deadline, s.Deadline)
	}
	if m.plans == 1 {
		plan = migrate.Plan{}
	}
	m.fact(event.MigrationPlanned{
		Epoch: d.epoch, Begin: m.emit.Now, Deadline: deadline, ReadyAt: max(m.engineReadyAt(), d.contextAt),
		Estimate: plan.Estimate, Steps: len(d.steps),
		ModelBytes: plan.ModelBytes, CacheBytes: plan.CacheBytes, DiskBytes: plan.DiskBytes,
		InterNodeBytes: plan.InterNodeBytes, BusiestNodeBytes: plan.BusiestNodeBytes,
		BusiestIntraBytes: plan.BusiestIntraBytes, ResumedRequests: resumed, RequeuedRequests: requeued,
	})
}

func candidate(c tune.Candidate) event.Candidate {
	return event.Candidate{Config: c.Config, Latency: c.Latency, Throughput: c.Throughput}
}

func (m *MetaContextManager) engineReadyAt() vtime.Time {
	return m.emit.Now.Add(m.spec.Engine.EngineStart)
}

// apply sends every node that took or takes part its share of the plan.
func (m *MetaContextManager) apply(before deployment, first int, resume map[int][]event.AssignedRequest) {
	d := &m.deployed
	present := m.fleet.Present()
	for _, node := range nodesOf(slices.Concat(before.placements, d.placements)) {
		if !slices.Contains(present, node) {
			continue
		}
		cmd := event.ApplyMigration{Epoch: d.epoch, Config: d.config, BatchLimit: d.limit, Begin: m.emit.Now}
		for _, p := range d.placements {
			if p.Device.Node == node {
				cmd.Placements = append(cmd.Placements, p)
			}
		}
		for _, s := range d.steps {
			if s.From.Node == node || s.To.Node == node {
				cmd.Steps = append(cmd.Steps, s)
			}
		}
		for _, p := range d.alive() {
			switch {
			case !slices.Contains(p.nodes, node):
			case p.index < first:
				cmd.Keep = append(cmd.Keep, p.index)
			default:
				start := event.PipelineStart{
					Pipeline: p.index, Leader: p.leader == node,
					EngineReadyAt: m.engineReadyAt(), ContextReadyAt: d.contextAt,
				}
				if start.Leader {
					start.Resume = resume[p.index]
				}
				cmd.Pipelines = append(cmd.Pipelines, start)
			}
		}
		m.command(node, cmd)
	}
}

// stageStarted counts a node's stage in; when the last one is up, its pipeline
// serves.
func (m *MetaContextManager) stageStarted(node string, b event.StageStarted) {
	p := m.deployed.pipelineOf(b.Pipeline, b.Epoch)
	if p == nil {
		return
	}
	delete(p.waiting, node)
	if p.ready() {
		m.dispatch()
	}
	m.settle()
}

// settle ends the start-up when every living pipeline serves, and looks at what
// happened meanwhile.
func (m *MetaContextManager) settle() {
	if m.phase == starting && m.deployed.started() {
		m.phase = steady
		m.consider()
		if m.draining {
			m.drained()
		}
	}
}
