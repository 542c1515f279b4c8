package obs

import "github.com/prometheus/client_golang/prometheus"

var conditionMet = prometheus.NewDesc("spotserve_condition_met",
	"Whether a condition of this process's readiness holds: 1, else 0. It is ready while all do.", []string{"condition"}, nil)

// Describe implements prometheus.Collector.
func (r *Readiness) Describe(out chan<- *prometheus.Desc) { out <- conditionMet }

// Collect implements prometheus.Collector.
func (r *Readiness) Collect(out chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, reason := range r.reasons {
		met := 1.
		if reason != "" {
			met = 0
		}
		out <- prometheus.MustNewConstMetric(conditionMet, prometheus.GaugeValue, met, name)
	}
}
