package natsbus

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of one bus. A process may have several, so they carry its
// name.
type metrics struct {
	connected  prometheus.Gauge
	reconnects prometheus.Counter
	stored     prometheus.Counter
	failures   prometheus.Counter
	wait       prometheus.Histogram
}

func newMetrics(name string) *metrics {
	of := prometheus.Labels{"client": name}
	return &metrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spotserve_bus_connected", ConstLabels: of,
			Help: "Whether there is a connection to NATS: 1, else 0.",
		}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "spotserve_bus_reconnects_total", ConstLabels: of,
			Help: "Connections to NATS that took the place of a lost one.",
		}),
		stored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "spotserve_bus_stored_messages_total", ConstLabels: of,
			Help: "Messages that this process published and that a stream stored.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "spotserve_bus_publish_failures_total", ConstLabels: of,
			Help: "Messages that this process published and that no stream is known to have stored: the bus was away for too long, or refused them.",
		}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "spotserve_bus_publish_seconds", ConstLabels: of,
			Help:    "Wall time from handing a message over to its being stored.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10), // up to 26 s
		}),
	}
}

// register shows the metrics of b until its end.
func (b *Bus) register() error {
	r := b.options.Metrics
	if r == nil {
		return nil
	}
	m := b.outbox.metrics
	all := []prometheus.Collector{m.connected, m.reconnects, m.stored, m.failures, m.wait,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "spotserve_bus_unstored_messages", ConstLabels: prometheus.Labels{"client": b.options.Name},
			Help: "Messages that were handed over and are not known to be stored.",
		}, func() float64 { return float64(len(b.outbox.slots)) }),
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("bus: metrics of %s: %w", b.options.Name, err)
		}
		b.unregister = append(b.unregister, func() { r.Unregister(c) })
	}
	return nil
}

// forget takes the metrics of b away.
func (b *Bus) forget() {
	for _, f := range b.unregister {
		f()
	}
}

// settled counts a message that was handed over at put.
func (m *metrics) settled(put time.Time, err error) {
	if err != nil {
		m.failures.Inc()
		return
	}
	m.stored.Inc()
	m.wait.Observe(time.Since(put).Seconds())
}

// linked notes a connection, or the loss of one, and tells whoever wants to know.
func (o Options) linked(m *metrics, up bool) {
	if up {
		m.connected.Set(1)
	} else {
		m.connected.Set(0)
	}
	if o.Linked != nil {
		o.Linked(up)
	}
}
