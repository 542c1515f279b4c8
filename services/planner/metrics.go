package planner

import (
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/event"
	core "github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/platform/obs"
)

// metrics are those of all runs of this process. Counters count what this process
// took while it led; see ledger for what a planner does that takes over.
type metrics struct {
	leading  *obs.Leading
	active   prometheus.Gauge
	load     loads
	step     prometheus.Histogram
	takeover prometheus.Counter

	events   *prometheus.CounterVec
	ignored  prometheus.Counter
	givenUp  prometheus.Counter
	silent   prometheus.Counter
	counts   []count
	latency  prometheus.Histogram
	queueing prometheus.Histogram
	batches  prometheus.Histogram

	reconfigurations *prometheus.CounterVec
	starting         prometheus.Histogram
	decisions        prometheus.Histogram
	answers          prometheus.Histogram
	migration        migrationMetrics
}

// count is a counter of what the core counts.
type count struct {
	prometheus.Counter
	of func(core.Counts) int
}

// migrationMetrics tell what was planned to move, and what did.
type migrationMetrics struct {
	plannedBytes, doneBytes     *prometheus.CounterVec
	plannedSeconds, doneSeconds prometheus.Histogram
	resumed, requeued           prometheus.Counter
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "spotserve_planner_" + name, Help: help})
}

func counterBy(label, name, help string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "spotserve_planner_" + name, Help: help}, []string{label})
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "spotserve_planner_" + name, Help: help, Buckets: buckets})
}

// The buckets of times in seconds.
var (
	experimentTime = prometheus.ExponentialBuckets(0.125, 2, 14) // up to 1024
	migrationTime  = prometheus.ExponentialBuckets(0.0625, 2, 12)
)

// rare are the events of which a planner takes few, so that the first one counts.
var rare = []event.Body{
	event.AcquisitionNoticed{}, event.InstanceLaunched{}, event.InstanceAcquired{}, event.InstanceLost{},
	event.PreemptionNoticed{}, event.PreemptionCancelled{}, event.RebalanceRecommended{},
	event.SpotCapacityOffered{}, event.SpotCapacityWithdrawn{}, event.WorkerJoined{}, event.WorkerSilent{},
}

func newMetrics() *metrics {
	m := &metrics{
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spotserve_planner_active_runs", Help: "Runs in progress.",
		}),
		step: histogram("step_seconds", "Wall time of one step of the core.", prometheus.ExponentialBuckets(1e-6, 4, 12)),
		takeover: counter("takeovers_total",
			"Runs that this process went on with, after another process or an interruption."),

		events: counterBy("kind", "events_total", "Events taken, by kind."),
		ignored: counter("ignored_events_total",
			"Events that counted for nothing: said before, or by a process whose place another one had taken."),
		givenUp: counter("sources_given_up_total",
			"Silent sources that an overdue event did not wait for any longer."),
		silent: counter("silent_workers_total",
			"Verdicts on workers that were not heard of for too long, by node: the planner went on without them."),
		latency: histogram("request_latency_seconds",
			"Time from the arrival of a request to its response, of completed ones. Experiment time: wall time times the run's time scale.", experimentTime),
		queueing: histogram("request_queue_seconds",
			"Time from the arrival of a request to its first batch, of completed ones. Experiment time: wall time times the run's time scale.", experimentTime),
		batches: histogram("batch_requests",
			"Requests that a pipeline computes together, at the begin of a static batch and whenever requests join a continuous one.",
			prometheus.ExponentialBuckets(1, 2, 9)),

		reconfigurations: counterBy("cause", "reconfigurations_total",
			"Plans by what called for them: start, failure (a node or its worker was lost), preemption (a node will leave), improvement (other nodes or another required throughput)."),
		starting: histogram("reconfiguration_seconds",
			"Time from a plan until all of its pipelines serve. Experiment time, modelled in a profiled run.", migrationTime),
		decisions: histogram("notice_to_decision_seconds",
			"Wall time from the instant of a notice of a preemption to the planner's decision on it: who stops when, or that nobody has to.",
			prometheus.ExponentialBuckets(1./1024, 2, 15)), // with one at a second
		answers: histogram("notice_to_plan_seconds",
			"Wall time from the first notice of a preemption that calls for a plan to that plan, arranged interruptions included.",
			prometheus.ExponentialBuckets(0.01, 2, 15)),
		migration: migrationMetrics{
			plannedBytes: counterBy("context", "migration_planned_bytes_total",
				"Bytes that plans move: model (weights between devices), cache (KV cache between devices), disk (weights from disk)."),
			plannedSeconds: histogram("migration_planned_seconds",
				"Estimate of the migration of a plan that moves something, from its first step to its last byte. Experiment time.", migrationTime),
			doneBytes: counterBy("from", "migration_done_bytes_total",
				"Bytes that nodes have got, as they tell: from other nodes, or from disk. Modelled in a profiled run."),
			doneSeconds: histogram("migration_done_seconds",
				"Time from a plan until a node has all context of its new positions, as it tells. Experiment time, modelled in a profiled run.", migrationTime),
			resumed:  counter("resumed_requests_total", "Interrupted requests whose KV cache a plan moved along."),
			requeued: counter("requeued_requests_total", "Interrupted requests that a plan put back into the queue, without their KV cache."),
		},
	}
	m.counts = []count{
		{counter("requests_arrived_total", "Requests that arrived, those that were refused included."), func(c core.Counts) int { return c.Arrived }},
		{counter("requests_completed_total", "Requests that were answered."), func(c core.Counts) int { return c.Completed }},
		{counter("requests_refused_total", "Requests that cannot be served at all."), func(c core.Counts) int { return c.Refused }},
		{counter("requests_unfinished_total", "Requests without an answer at the end of their run."), func(c core.Counts) int { return c.Unfinished }},
		{counter("second_completions_total", "Answers to requests that had one, dropped."), func(c core.Counts) int { return c.Duplicated }},
		{counter("interruptions_total", "Stops of running requests, for a reconfiguration or with their pipeline."), func(c core.Counts) int { return c.Interruptions }},
		{counter("recomputed_tokens_total", "Tokens that were computed and lost."), func(c core.Counts) int { return c.Recomputed }},
		{counter("served_tokens_total", "Prompt and output tokens of completed requests."), func(c core.Counts) int { return c.Served }},
		{counter("changed_tokens_total", "Committed tokens that were told again with another value: a defect."), func(c core.Counts) int { return c.Changed }},
		{counter("late_facts_total", "Facts that came after later ones had been taken; a run with any differs from its virtual twin."), func(c core.Counts) int { return c.LateFacts }},
		{counter("missed_deadlines_total", "Pipelines that still ran on a node, or waited for context from it, when it left at its deadline."), func(c core.Counts) int { return c.Missed }},
		{counter("caches_given_up_total", "KV caches of interrupted batches that could not move to the pipelines that were to inherit them."), func(c core.Counts) int { return c.CachesGivenUp }},
	}
	// Those of known labels are there from the start, so that their rates are.
	for _, b := range rare {
		m.events.WithLabelValues(string(b.Kind()))
	}
	for _, cause := range core.Causes {
		m.reconfigurations.WithLabelValues(string(cause))
	}
	for _, context := range []string{"model", "cache", "disk"} {
		m.migration.plannedBytes.WithLabelValues(context)
	}
	for _, from := range []string{"nodes", "disk"} {
		m.migration.doneBytes.WithLabelValues(from)
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) (err error) {
	if m.leading, err = obs.NewLeading(r, "planner"); err != nil {
		return fmt.Errorf("planner: metrics: %w", err)
	}
	g := &m.migration
	all := []prometheus.Collector{
		m.active, &m.load, m.step, m.takeover, m.events, m.ignored, m.givenUp, m.silent, m.latency, m.queueing, m.batches,
		m.reconfigurations, m.starting, m.decisions, m.answers,
		g.plannedBytes, g.plannedSeconds, g.doneBytes, g.doneSeconds, g.resumed, g.requeued,
	}
	for _, c := range m.counts {
		all = append(all, c.Counter)
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("planner: metrics: %w", err)
		}
	}
	return nil
}

// add counts what the core counted between two looks.
func (m *metrics) add(before, after core.Counts) {
	if before == after {
		return
	}
	for _, c := range m.counts {
		if n := c.of(after) - c.of(before); n > 0 {
			c.Add(float64(n))
		}
	}
}

// loads are what the runs that this process leads have to do. The zero value is
// of none.
type loads struct {
	mu   sync.Mutex
	runs map[string]load
}

// load is a run's.
type load struct {
	core.Load
	fleet core.Fleet
}

func (l *loads) set(run string, now load) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs == nil {
		l.runs = make(map[string]load)
	}
	l.runs[run] = now
}

func (l *loads) drop(run string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runs, run)
}

func loadOf(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("spotserve_planner_"+name, help, labels, nil)
}

var (
	queuedRequests   = loadOf("queued_requests", "Requests that wait for a pipeline.")
	inFlightRequests = loadOf("in_flight_requests", "Requests that a pipeline has, or that are on their way from one to another.")
	pipelines        = loadOf("pipelines", "Pipelines that serve or start.")
	nodes            = loadOf("nodes",
		"Nodes by state: requested, booting, ready, leaving (their deadline is known); silent are those of the latter two whose workers do not answer.", "state")
)

// Describe implements prometheus.Collector.
func (l *loads) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queuedRequests, inFlightRequests, pipelines, nodes} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (l *loads) Collect(out chan<- prometheus.Metric) {
	var all load
	l.mu.Lock()
	for _, run := range l.runs {
		all.Queued += run.Queued
		all.InFlight += run.InFlight
		all.Pipelines += run.Pipelines
		all.fleet.Requested += run.fleet.Requested
		all.fleet.Booting += run.fleet.Booting
		all.fleet.Ready += run.fleet.Ready
		all.fleet.Leaving += run.fleet.Leaving
		all.fleet.Silent += run.fleet.Silent
	}
	l.mu.Unlock()
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	gauge(queuedRequests, all.Queued)
	gauge(inFlightRequests, all.InFlight)
	gauge(pipelines, all.Pipelines)
	gauge(nodes, all.fleet.Requested, "requested")
	gauge(nodes, all.fleet.Booting, "booting")
	gauge(nodes, all.fleet.Ready, "ready")
	gauge(nodes, all.fleet.Leaving, "leaving")
	gauge(nodes, all.fleet.Silent, "silent")
}
