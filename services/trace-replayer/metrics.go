package tracereplayer

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/platform/obs"
)

// metrics are those of the service.
type metrics struct {
	leading *obs.Leading
	starts  *prometheus.CounterVec
	events  prometheus.Counter
	delay   prometheus.Histogram
	waiting prometheus.Gauge
	playing prometheus.Gauge
}

func newMetrics() *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "spotserve_replayer_" + name, Help: help})
	}
	m := &metrics{
		starts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spotserve_replayer_starts_total", Help: "Start events by answer: accepted, refused.",
		}, []string{"answer"}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "spotserve_replayer_events_total", Help: "Events played, of all runs.",
		}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "spotserve_replayer_event_delay_seconds", Help: "Wall time from the instant that an event was due to its being handed over.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9), // up to 65 s
		}),
		waiting: gauge("waiting_starts", "Starts that wait for their answer, and accepted runs that wait for their turn, as the leader has them."),
		playing: gauge("playing_runs", "Runs that the leader plays."),
	}
	m.starts.WithLabelValues("accepted")
	m.starts.WithLabelValues("refused")
	return m
}

func (m *metrics) register(r prometheus.Registerer) (err error) {
	if m.leading, err = obs.NewLeading(r, "replayer"); err != nil {
		return fmt.Errorf("trace-replayer: metrics: %w", err)
	}
	for _, c := range []prometheus.Collector{m.starts, m.events, m.delay, m.waiting, m.playing} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("trace-replayer: metrics: %w", err)
		}
	}
	return nil
}

// show shows what is in the ledger; nil: this process does not lead.
func (m *metrics) show(l *ledger) {
	waiting, playing := 0, 0
	if l != nil {
		waiting = len(l.excess)
		for _, e := range l.entries {
			if e.begun {
				playing++
			} else {
				waiting++
			}
		}
	}
	m.waiting.Set(float64(waiting))
	m.playing.Set(float64(playing))
}

// played counts an event that was due in so much wall time.
func (m *metrics) played(until time.Duration) {
	m.delay.Observe(max(0, -until).Seconds())
}
