package collector

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store"
)

// metrics are those of the service.
type metrics struct {
	leading  *obs.Leading
	rows     *prometheus.CounterVec
	failures prometheus.Counter
	write    prometheus.Histogram
	waiting  prometheus.Gauge
	lag      prometheus.Gauge
	oldest   atomic.Int64 // when the oldest message in hand was published, in Unix nanoseconds; 0: there is none
	age      prometheus.GaugeFunc
	again    prometheus.Counter
	purged   prometheus.Counter
	unpurged prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "spotserve_collector_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Name: "spotserve_collector_" + name, Help: help}
	}
	m := &metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spotserve_collector_rows_total", Help: "Rows written, by table.",
		}, []string{"table"}),
		failures: counter("write_failures_total", "Batches that the store did not take and that are tried again."),
		write: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "spotserve_collector_write_seconds", Help: "Wall time of a write to the store, failed ones included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9), // up to 65 s
		}),
		waiting:  prometheus.NewGauge(gauge("waiting_rows", "Rows in hand that are not stored yet.")),
		lag:      prometheus.NewGauge(gauge("lag_messages", "Messages in the streams whose rows are not stored yet, looked at every 15 s.")),
		again:    counter("repeated_run_ends_total", "Ends of runs that had ended before, left out."),
		purged:   counter("purged_runs_total", "Runs whose messages were purged from the stream, as --retention and --keep-runs say."),
		unpurged: counter("purge_failures_total", "Times that what is too old could not be purged; it is tried again."),
	}
	m.age = prometheus.NewGaugeFunc(
		gauge("lag_seconds", "Wall time since the oldest message in hand whose rows are not stored yet was published; 0 if there is none, or another collector works."),
		func() float64 {
			if at := m.oldest.Load(); at != 0 {
				return max(0, time.Since(time.Unix(0, at)).Seconds())
			}
			return 0
		})
	m.count(store.Batch{})
	return m
}

func (m *metrics) register(r prometheus.Registerer) (err error) {
	if m.leading, err = obs.NewLeading(r, "collector"); err != nil {
		return fmt.Errorf("collector: metrics: %w", err)
	}
	for _, c := range []prometheus.Collector{m.rows, m.failures, m.write, m.waiting, m.lag, m.age, m.again, m.purged, m.unpurged} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("collector: metrics: %w", err)
		}
	}
	return nil
}

// holds shows what is taken and not stored.
func (m *metrics) holds(h *hand) {
	m.waiting.Set(float64(h.batch.Len()))
	if len(h.deliveries) == 0 {
		m.oldest.Store(0)
		return
	}
	m.oldest.Store(h.deliveries[0].Published.UnixNano())
}

// count counts rows that were written.
func (m *metrics) count(b store.Batch) {
	for table, n := range map[string]int{
		"runs": len(b.Runs), "request_latency": len(b.Requests), "fleet_event": len(b.Fleet),
		"config_change": len(b.Configs), "migration": len(b.Moves), "node_time": len(b.Nodes),
	} {
		m.rows.WithLabelValues(table).Add(float64(n))
	}
}
