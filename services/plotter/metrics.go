package plotter

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of the service.
type metrics struct {
	figures *prometheus.CounterVec
	seconds prometheus.Histogram
	pending prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		figures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spotserve_plotter_figures_total",
			Help: "Figures by result: drawn, refused (the run is none that is drawn), failed (and tried again).",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "spotserve_plotter_draw_seconds", Help: "Wall time of drawing the figures of a run, failures included.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12), // up to 20 s
		}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spotserve_plotter_pending_runs", Help: "Runs that are recorded and whose figures are not drawn yet.",
		}),
	}
	for _, result := range []string{"drawn", "refused", "failed"} {
		m.figures.WithLabelValues(result)
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.figures, m.seconds, m.pending} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("plotter: metrics: %w", err)
		}
	}
	return nil
}
