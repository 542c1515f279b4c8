package worker

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
)

// metrics are those of the service, but for what its engines show themselves.
type metrics struct {
	events  *prometheus.CounterVec
	ignored prometheus.Counter
	nodes   prometheus.Gauge
	joins   prometheus.Counter
	broken  prometheus.Counter
	tokens  *prometheus.CounterVec
	limit   prometheus.Gauge
}

func newMetrics(o Options) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "spotserve_worker_" + name, Help: help})
	}
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spotserve_worker_events_total", Help: "Events taken, by kind.",
		}, []string{"kind"}),
		ignored: counter("ignored_events_total", "Events that counted for nothing: said before, or for a process whose place this one has taken."),
		nodes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spotserve_worker_nodes", Help: "Nodes of runs in progress that this process stands for.",
		}),
		joins:  counter("joins_total", "Joinings of runs in progress, with nothing: after a start, a verdict of silence, or a failure."),
		broken: counter("broken_off_total", "Times that a node's part in a run broke off, its bus or its engine having failed."),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spotserve_worker_tokens_total", Help: "Tokens of answers that the pipelines led by the node computed and told of, in runs that compute tokens.",
		}, []string{"node"}),
		limit: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spotserve_worker_memory_limit_bytes", Help: "Most memory of each node for weights and KV cache, --memory-gib; 0: no bound.",
		}),
	}
	m.limit.Set(float64(o.Engine.Memory))
	return m
}

func (m *metrics) register(r prometheus.Registerer, others ...prometheus.Collector) error {
	for _, c := range append(others, m.events, m.ignored, m.nodes, m.joins, m.broken, m.tokens, m.limit) {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("worker: metrics: %w", err)
		}
	}
	return nil
}

// counting is a node's core that counts the tokens that it tells of.
type counting struct {
	actor.Core
	tokens prometheus.Counter
}

// Step implements actor.Core.
func (c counting) Step(now vtime.Time, ev event.Event) []effect.Effect {
	effects := c.Core.Step(now, ev)
	for i := range effects {
		for _, g := range generated(effects[i].Event.Body) {
			c.tokens.Add(float64(len(g.Tokens)))
		}
	}
	return effects
}

// generated are the tokens that a fact tells of, each of them once.
func generated(b event.Body) []event.Generated {
	switch b := b.(type) {
	case event.TokensCommitted:
		return b.Generated
	case event.BatchCompleted:
		return b.Generated
	case event.RequestsLeft:
		return b.Generated
	case event.PipelineExited:
		return b.Generated
	}
	return nil
}
