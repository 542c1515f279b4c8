// Package planner is the core of the planner: the meta-context manager, which
// composes instance manager, request manager, parallelization controller,
// device mapper and migration planner (paper section 3.1).
//
// It is a deterministic state machine: Step takes one event and returns
// effects. It reads no clock, and the same events in the same order get the
// same effects, byte for byte.
package planner

import (
	"github.com/spotserve/spotserve/core/assign"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/fleet"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/tune"
	"github.com/spotserve/spotserve/core/vtime"
)

// MetaContextManager plans one run.
type MetaContextManager struct {
	spec       experiment.Spec
	latency    *cost.LatencyModel
	memory     cost.MemoryModel
	controller *tune.ParallelizationController
	mapper     assign.DeviceMapper
	migrator   migrate.MigrationPlanner
	geometry   migrate.Geometry
	emit       effect.Emitter

	fleet    *fleet.InstanceManager
	requests *serve.Manager
	limiter  *serve.Limiter // of what users ask
	required requirement
	rate     rateEstimator

	policy policy
	shape  topology.ParallelConfig // solved once, where the policy says so

	choices map[tune.Request]tune.Choice // of the controller, remembered

	term     uint64
	plans    uint64
	changes  int // of the fleet, where configurations are forced
	phase    phase
	deployed deployment
	change   change
	cause    Cause // of the newest plan
	adding   bool  // a change that stops nobody waits for its instances
	asked    provisioning

	draining bool
	finished bool
	totals   totals
}

// totals are the counts that no part keeps.
type totals struct {
	lateFacts     int
	interruptions int
	recomputed    int
	refused       int
	unfinished    int
	served        int
	dropped       int // requests that the artifact would have dropped
	changed       int // tokens that were told with another value
	missed        int // deadlines
	caches        int // interrupted batches whose KV cache was given up
	usd           float64
}

// New returns a planner that leads under the given term, until PlannerElected
// names another. Its run begins with RunStarted.
func New(term uint64) *MetaContextManager {
	return &MetaContextManager{term: term, emit: effect.Emitter{Source: event.SourcePlanner}}
}

// Finished reports whether RunFinished is out.
func (m *MetaContextManager) Finished() bool { return m.finished }

// Step takes one event and returns what to do about it. A fact whose time has
// passed already is late: it is counted and taken now.
func (m *MetaContextManager) Step(now vtime.Time, ev event.Event) []effect.Effect {
	if elected, ok := ev.Body.(event.PlannerElected); ok {
		m.term = elected.Term
		return nil
	}
	if _, timer := ev.Body.(event.TimerFired); !timer && now < m.emit.Now {
		m.totals.lateFacts++
	}
	m.emit.Now = max(m.emit.Now, now)
	m.emit.Cause = ev.ID()
	if start, ok := ev.Body.(event.RunStarted); ok && m.fleet == nil {
		m.start(ev.Run, start.Spec)
	} else if m.fleet != nil && !m.finished {
		m.take(ev)
	}
	return m.emit.Take()
}

func (m *MetaContextManager) start(run string, spec experiment.Spec) {
	m.emit.Run, m.spec, m.policy = run, spec, policyOf(spec)
	m.required.rps, m.rate.window = spec.RequiredThroughput, spec.RateWindow
	m.fleet, m.requests = fleet.NewInstanceManager(), serve.NewManager(servePolicy(spec))
	m.limiter = serve.NewLimiter(spec.Limits)
	m.deployed = newDeployment()
	latency, err := cost.NewLatencyModel(spec.Model, spec.Profile)
	if err != nil {
		// The replayer has priced a batch before it let the experiment in, so
		// this is a planner that cannot read what a newer replayer sent.
		m.finish(event.Stopped)
		return
	}
	memory := cost.MemoryModel{
		Model: spec.Model, GPUMemoryBytes: spec.Instance.GPUMemoryBytes,
		MigrationBuffer: spec.MigrationBuffer, TokensPerSeq: spec.LongestSequence(),
	}
	m.latency, m.memory = latency, memory
	m.controller = tune.NewParallelizationController(latency, memory)
	m.geometry = migrate.NewGeometry(spec.Model, leavesOf(spec, latency))
	m.mapper = assign.RankOrder{}
	if m.policy.mapped {
		m.mapper = assign.KuhnMunkres{Geometry: m.geometry}
	}
	m.migrator = migrate.Planner{
		Geometry: m.geometry, Instance: spec.Instance, Engine: spec.Engine,
		BufferBytes: spec.MigrationBuffer, MemoryAware: m.policy.planned,
	}
	if m.rate.window > 0 {
		m.emit.Timer(timerRate, vtime.Time(m.rate.window))
	}
	m.asked.since = vtime.Never
	m.provision()
}

func (m *MetaContextManager) take(ev event.Event) {
	switch b := ev.Body.(type) {
	case event.InstanceLaunched:
		m.fleet.Launch(b.Instances, b.ReadyAt)
	case event.AcquisitionNoticed:
		m.fleet.Announce(b.Instances, b.ReadyAt)
		m.consider()
	case event.InstanceAcquired:
		m.changes++
		m.fleet.Join(b.Instances, m.emit.Now)
		m.consider()
		if m.draining {
			m.drained()
		}
	case event.PreemptionNoticed:
		m.changes++
		m.noticed(b, ev.FromOutside())
	case event.PreemptionCancelled:
		m.cancelled(b.Nodes)
	case event.RebalanceRecommended:
		m.fleet.Recommend(b.Nodes)
	case event.InstanceLost:
		m.changes++
		m.lose(b.Nodes)
	case event.ThroughputRequired:
		if m.rate.window == 0 {
			m.required.announce(b.RequestsPerSecond, b.From)
			m.consider()
		}
	case event.RunEnded:
		m.end(b.Reason)
	case event.RequestArrived:
		m.arrive(b, ev.Source == event.SourceUser)
	case event.WorkerSilent:
		m.silent(b.Nodes)
	case event.WorkerJoined:
		m.rejoined(ev.Source)
	case event.StageStarted:
		m.stageStarted(ev.Source, b)
	case event.BatchStarted:
		m.batchStarted(ev.Source, b)
	case event.TokensCommitted:
		m.tokensCommitted(ev.Source, b)
	case event.BatchCompleted:
		m.batchCompleted(ev.Source, b)
	case event.RequestsJoined:
		m.requestsJoined(ev.Source, b)
	case event.RequestsLeft:
		m.requestsLeft(ev.Source, b)
	case event.PipelineExited:
		m.pipelineExited(ev.Source, b)
	case event.TimerFired:
		m.timer(b.Timer)
	}
}

// command sends a body to a node; it is there one send delay later.
func (m *MetaContextManager) command(node string, b event.Body) {
	m.emit.Command(node, m.emit.Now.Add(m.spec.Delays.Send), b)
}

// fact publishes a body that nobody but readers of the log takes.
func (m *MetaContextManager) fact(b event.Body) { m.emit.Fact(m.emit.Now, b) }
