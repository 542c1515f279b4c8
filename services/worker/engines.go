package worker

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/engine/node"
)

// engines are those that compute now: the source of their metrics.
type engines struct {
	mu     sync.Mutex
	all    map[*node.Node]bool
	wanted map[string]int // nodes that are to compute, and in how many runs
}

// want says that a node is to compute, until done is called.
func (e *engines) want(name string) (done func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wanted == nil {
		e.wanted = make(map[string]int)
	}
	e.wanted[name]++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.wanted[name]--; e.wanted[name] == 0 {
			delete(e.wanted, name)
		}
	}
}

// add takes an engine in until gone is called.
func (e *engines) add(n *node.Node) (gone func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all == nil {
		e.all = make(map[*node.Node]bool)
	}
	e.all[n] = true
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.all, n)
	}
}

// measure is one metric of an engine. Counters begin anew with each incarnation
// of a node.
type measure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(node.Stats) int64
}

func newMeasure(name, help string, kind prometheus.ValueType, of func(node.Stats) int64) measure {
	return measure{prometheus.NewDesc("spotserve_worker_"+name, help, []string{"node"}, nil), kind, of}
}

var measures = []measure{
	newMeasure("weight_bytes", "Weights that the node holds.", prometheus.GaugeValue, func(s node.Stats) int64 { return s.WeightBytes }),
	newMeasure("cache_bytes", "KV cache that the node holds.", prometheus.GaugeValue, func(s node.Stats) int64 { return s.CacheBytes }),
	newMeasure("memory_bytes", "Memory taken for weights and KV cache.", prometheus.GaugeValue, func(s node.Stats) int64 { return s.UsedBytes }),
	newMeasure("received_bytes_total", "Context received from other nodes.", prometheus.CounterValue, func(s node.Stats) int64 { return s.ReceivedBytes }),
	newMeasure("loaded_bytes_total", "Weights loaded from the model's own place.", prometheus.CounterValue, func(s node.Stats) int64 { return s.LoadedBytes }),
	newMeasure("sent_bytes_total", "Context sent to other nodes.", prometheus.CounterValue, func(s node.Stats) int64 { return s.SentBytes }),
	newMeasure("recovered_pieces_total", "Pieces of context that came from elsewhere than planned.", prometheus.CounterValue, func(s node.Stats) int64 { return s.Recovered }),
	newMeasure("steps_total", "Parts of steps that the node's devices have computed.", prometheus.CounterValue, func(s node.Stats) int64 { return s.Steps }),
	newMeasure("failed_steps_total", "Parts of steps that the node's devices could not compute.", prometheus.CounterValue, func(s node.Stats) int64 { return s.Failed }),
	newMeasure("data_plane_connections", "Connections of the data plane that peers have opened, those still in their handshake included.", prometheus.GaugeValue, func(s node.Stats) int64 { return s.Connections }),
	newMeasure("positions_total", "Tokens in the steps that the node's devices have computed.", prometheus.CounterValue, func(s node.Stats) int64 { return s.Positions }),
}

var engineUp = prometheus.NewDesc("spotserve_worker_engine_up",
	"Whether the engine of a node is open that is to compute in a run: 1, else 0.", []string{"node"}, nil)

// Describe implements prometheus.Collector.
func (e *engines) Describe(out chan<- *prometheus.Desc) {
	out <- engineUp
	for _, m := range measures {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector. Where a node is left and joined again
// at the same time, its newest engine is not known: none is told of then.
func (e *engines) Collect(out chan<- prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	times := make(map[string]int)
	for n := range e.all {
		times[n.Name]++
	}
	for name := range e.wanted {
		out <- prometheus.MustNewConstMetric(engineUp, prometheus.GaugeValue, float64(min(1, times[name])), name)
	}
	for n := range e.all {
		if times[n.Name] > 1 {
			continue
		}
		stats := n.Stats()
		for _, m := range measures {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.of(stats)), n.Name)
		}
	}
}
