package planner

import (
	"cmp"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/tune"
	"github.com/spotserve/spotserve/core/vtime"
)

// reconfigure plans the next configuration on the nodes that stay and sets it
// in motion. What has to stop has stopped; what is kept runs on.
func (m *MetaContextManager) reconfigure() {
	before := m.deployed
	at := m.change.goal.at
	first := m.aim(m.fleet.Staying(), at, nil)
	if len(first.kept) < len(before.pipelines) {
		// The fleet has changed since: more pipelines have to stop.
		m.phase = steady
		if !m.policy.partial && !m.deployed.whole() {
			m.deployed.broken = true // those that have exited are missed
		}
		m.consider()
		return
	}
	batches := m.inheritable(first)
	t := first
	if caches := inheritances(batches, m.requests.CachedTokens); len(caches) > 0 {
		t = m.aim(m.fleet.Staying(), at, caches)
	}
	fresh := t.fresh()
	plan := m.plan(t, before.held, batches)
	m.deploy(t, plan)
	for _, d := range fresh {
		m.startPipeline(d, plan)
	}
	resume, resumed, requeued := m.inherit(batches, plan)
	m.announce(t, before, plan, resumed, requeued)
	m.apply(t, before, resume)
	m.change = change{goal: m.change.goal}
	m.phase = starting
	m.accept()
	m.settle()
}

// heir is an interrupted batch and the new pipeline that is to inherit it; -1
// if none is.
type heir struct {
	interrupted
	to int
}

// inheritable gives the interrupted batches, most progress first, then by id,
// to the new pipelines of t by number. Batches that no pipeline is left for
// keep their tokens but not their cache, and so do those whose cache takes
// longer to move than to compute again (section 4.1: migrating has to beat
// rerouting).
func (m *MetaContextManager) inheritable(t target) []heir {
	batches := slices.Clone(m.change.batches)
	slices.SortStableFunc(batches, func(a, b interrupted) int {
		return cmp.Or(cmp.Compare(b.committed, a.committed), cmp.Compare(a.ids[0], b.ids[0]))
	})
	fresh := t.fresh()
	out := make([]heir, len(batches), 2*len(batches))
	for i, b := range batches {
		out[i] = heir{b, -1}
		if len(fresh) > 0 && m.worthMoving(b, t.config()) {
			out[i].to, fresh = fresh[0], fresh[1:]
			if n := m.fitting(b.ids, t.config()); n < len(b.ids) {
				out[i].ids = b.ids[:n]
				out = append(out, heir{interrupted{b.pipeline, b.ids[n:], b.committed}, -1})
			}
		}
	}
	return out
}

// worthMoving reports whether the KV cache of b arrives sooner on a pipeline of
// config than a prefill would make it again.
func (m *MetaContextManager) worthMoving(b interrupted, config topology.ParallelConfig) bool {
	bytes := float64(m.spec.Model.KVBytesPerToken) * float64(m.requests.CachedTokens(b.ids))
	nodes := float64(max(1, config.DevicesPerPipeline()/max(1, m.spec.Instance.GPUs)))
	move := vtime.Duration(bytes / nodes / m.spec.Instance.InterNodeBytesPerSecond)
	return move < time.Duration(float64(m.prefillAgain(b.ids, config))*m.spec.Engine.ExecutionScale)
}

// prefillAgain is what a pipeline of config takes to compute a batch's KV cache.
func (m *MetaContextManager) prefillAgain(ids []event.RequestID, config topology.ParallelConfig) time.Duration {
	if m.spec.Batching == experiment.Continuous {
		return m.latency.JoinPrefill(config, len(ids), m.requests.CachedTokens(ids))
	}
	n := 1
	for n < len(ids) {
		n *= 2
	}
	return m.latency.PrefillTokens(config, n, m.requests.LongestPrefill(ids))
}

// fitting is how many of the first of an interrupted batch's requests a pipeline
// of config can go on with.
func (m *MetaContextManager) fitting(ids []event.RequestID, config topology.ParallelConfig) int {
	sendable := m.sendable(ids, config)
	if m.spec.Batching != experiment.Continuous {
		return sendable // padded alike, they fit or the configuration does not
	}
	room := m.room(config)
	n, tokens := 0, 0
	for n < sendable && n < room.Limit {
		if tokens += m.requests.Need(ids[n]); tokens > room.KVTokens {
			break
		}
		n++
	}
	return n
}

func inheritances(heirs []heir, tokens func([]event.RequestID) int) []migrate.Inheritance {
	var out []migrate.Inheritance
	for _, h := range heirs {
		if h.to >= 0 {
			out = append(out, migrate.Inheritance{From: h.pipeline, To: h.to, Tokens: tokens(h.ids)})
		}
	}
	return out
}

// plan plans the migration to the new pipelines of t. Approaches that restart
// or reroute load from disk.
func (m *MetaContextManager) plan(t target, held *migrate.Holdings, heirs []heir) migrate.Plan {
	if m.plans == 0 {
		return migrate.Plan{}
	}
	placements := t.of(func(pipeline int) bool { return !slices.Contains(t.kept, pipeline) })
	if m.policy.start == restarted || m.policy.start == rerouted {
		held = migrate.NewHoldings()
	}
	leaving := m.fleet.Leaving()
	if m.spec.Quirks == experiment.QuirksArtifact {
		leaving = nil // the artifact's nodes stay up, and may be read from for longer
	}
	return m.migrator.Plan(migrate.Task{
		Begin: m.emit.Now, Config: t.config(), Placements: placements, Held: held,
		Leaving: leaving, Inherit: inheritances(heirs, m.requests.CachedTokens),
	})
}

// inherit hands the batches whose cache moves along to their new pipelines and
// puts all others back into the queue.
func (m *MetaContextManager) inherit(heirs []heir, plan migrate.Plan) (resume map[int][]event.AssignedRequest, resumed, requeued int) {
	resume = make(map[int][]event.AssignedRequest)
	moved := 0
	for _, h := range heirs {
		kept := h.to >= 0 && plan.Kept[moved]
		if h.to >= 0 {
			moved++
		}
		switch {
		case kept:
			resume[h.to] = m.requests.Resume(h.to, h.ids)
			resumed += len(h.ids)
		case m.spec.Quirks == experiment.QuirksArtifact && h.to < 0:
			// The artifact forgets these. Ours never loses a request: they stay
			// unserved, and end with the run.
			m.totals.dropped += len(h.ids)
		default:
			if h.to >= 0 {
				m.totals.caches++
			}
			m.requests.Requeue(h.ids)
			requeued += len(h.ids)
		}
	}
	return resume, resumed, requeued
}

// deploy makes t the deployment in force, with the kept pipelines as they are.
func (m *MetaContextManager) deploy(t target, plan migrate.Plan) {
	m.plans++
	before := m.deployed
	config := t.config()
	held := migrate.NewHoldings()
	for _, p := range t.placements {
		held.Put(migrate.Holding{Device: p.Device, Pipeline: p.Position.Data, Model: m.geometry.Region(config, p.Position)})
	}
	m.deployed = deployment{
		epoch:  event.Epoch{Term: m.term, N: m.plans},
		config: config, room: m.room(config), placements: t.placements, held: held,
		pipelines: make(map[int]*pipeline), steps: plan.Steps, begin: m.emit.Now,
	}
	for _, d := range t.kept {
		m.deployed.pipelines[d] = before.pipelines[d]
	}
}

// room is what a pipeline of c can take.
func (m *MetaContextManager) room(c topology.ParallelConfig) serve.Room {
	room := serve.Room{Limit: m.batchLimit(c)}
	if m.spec.Batching == experiment.Continuous && !c.IsZero() {
		room.KVTokens = m.memory.KVTokens(c)
	}
	return room
}

// batchLimit is the running batch limit: what the configuration was solved for
// where the approach says so, else the largest that the experiment allows and
// the profile covers (artifact).
func (m *MetaContextManager) batchLimit(c topology.ParallelConfig) int {
	if m.policy.own {
		return c.Batch
	}
	if m.spec.Batching == experiment.Continuous {
		return m.spec.BatchLimit
	}
	limit := 1
	for n := 1; n <= m.spec.BatchLimit; n *= 2 {
		if m.latency.Covers(c, n) {
			limit = n
		}
	}
	return limit
}

func (m *MetaContextManager) startPipeline(index int, plan migrate.Plan) {
	d := &m.deployed
	p := &pipeline{index: index, epoch: d.epoch, waiting: make(map[string]bool), up: m.startUp(index, plan)}
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
	m.requests.Open(index, d.config, d.room)
}

// announce tells the decision and the plan as facts.
func (m *MetaContextManager) announce(t target, before deployment, plan migrate.Plan, resumed, requeued int) {
	d := &m.deployed
	m.cause = m.change.goal.cause
	if m.plans == 1 {
		m.cause = Start
	}
	chosen := event.ConfigChosen{
		Epoch: d.epoch, Config: d.config, BatchLimit: d.room.Limit, ChangeAt: m.change.goal.at,
		DevicesChanged: before.changedDevices(d.placements), GPUs: t.gpus,
		Chosen: candidate(t.choice.Best), Why: t.choice.Why,
	}
	for _, c := range t.choice.RunnersUp {
		chosen.RunnersUp = append(chosen.RunnersUp, candidate(c))
	}
	ready := m.emit.Now
	for _, p := range d.alive() {
		chosen.Pipelines = append(chosen.Pipelines, event.PipelinePlace{Pipeline: p.index, Leader: p.leader, Nodes: p.nodes})
		ready = max(ready, p.up.engine, p.up.context())
	}
	m.fact(chosen)
	deadline := vtime.Never
	for _, s := range d.steps {
		deadline = min(deadline, s.Deadline)
	}
	m.fact(event.MigrationPlanned{
		Epoch: d.epoch, Begin: m.emit.Now, Deadline: deadline, ReadyAt: ready,
		Estimate: plan.Estimate, Steps: len(d.steps),
		ModelBytes: plan.ModelBytes, CacheBytes: plan.CacheBytes, DiskBytes: plan.DiskBytes,
		InterNodeBytes: plan.InterNodeBytes, BusiestNodeBytes: plan.BusiestNodeBytes,
		BusiestIntraBytes: plan.BusiestIntraBytes, PeakBufferBytes: plan.PeakBufferBytes,
		ResumedRequests: resumed, RequeuedRequests: requeued,
	})
}

func candidate(c tune.Candidate) event.Candidate {
	return event.Candidate{Config: c.Config, Latency: c.Latency, Throughput: c.Throughput}
}

// apply sends every node that took or takes part its share of the plan.
func (m *MetaContextManager) apply(t target, before deployment, resume map[int][]event.AssignedRequest) {
	d := &m.deployed
	nodes := nodesOf(slices.Concat(before.placements, d.placements))
	parts := make(map[string]*event.ApplyMigration, len(nodes))
	for _, node := range nodes {
		parts[node] = &event.ApplyMigration{Epoch: d.epoch, Config: d.config, BatchLimit: d.room.Limit, KVTokens: d.room.KVTokens, Begin: m.emit.Now}
	}
	for _, p := range d.placements {
		part := parts[p.Device.Node]
		part.Placements = append(part.Placements, p)
	}
	for _, s := range d.steps {
		if from := parts[s.From.Node]; from != nil {
			from.Steps = append(from.Steps, s)
		}
		if to := parts[s.To.Node]; to != nil && s.To.Node != s.From.Node {
			to.Steps = append(to.Steps, s)
		}
	}
	for _, p := range d.alive() {
		kept := slices.Contains(t.kept, p.index)
		for _, node := range p.nodes {
			if part := parts[node]; kept {
				part.Keep = append(part.Keep, p.index)
			} else {
				part.Pipelines = append(part.Pipelines, m.pipelineStart(p, node, resume[p.index]))
			}
		}
	}
	for _, node := range m.fleet.Present() {
		if part := parts[node]; part != nil {
			m.command(node, *part)
		}
	}
}

func (m *MetaContextManager) pipelineStart(p *pipeline, node string, resume []event.AssignedRequest) event.PipelineStart {
	start := event.PipelineStart{
		Pipeline: p.index, Leader: p.leader == node,
		EngineReadyAt: p.up.engine, StagesReadyAt: p.up.stages,
	}
	switch {
	case start.Leader:
		start.Resume = resume
	case m.spec.Measured():
		start.Resume = withoutContent(resume)
	}
	if m.spec.Measured() {
		for _, place := range m.deployed.placements {
			if place.Position.Data == p.index {
				start.Devices = append(start.Devices, place)
			}
		}
	}
	return start
}

// accept opens the pipelines that take requests before they serve, and comes
// again for the next one.
func (m *MetaContextManager) accept() {
	next := vtime.Never
	for _, p := range m.deployed.alive() {
		switch {
		case p.up.accepts == p.up.engine:
		case p.up.accepts <= m.emit.Now:
			m.requests.Accept(p.index)
		default:
			next = min(next, p.up.accepts)
		}
	}
	m.emit.Timer(timerAccept, next)
	m.dispatch()
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
		m.requests.Accept(p.index)
		m.dispatch()
	}
	m.settle()
}

// settle ends the start-up when every living pipeline serves, and looks at what
// happened meanwhile.
func (m *MetaContextManager) settle() {
	if m.phase != starting || !m.deployed.started() {
		return
	}
	m.phase = steady
	m.consider()
	if m.draining {
		m.drained()
	}
}
