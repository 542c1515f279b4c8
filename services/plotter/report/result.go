package report

import (
	"slices"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// Result is what the runs of one experiment measured. Its JSON names are a
// promise to scripts.
type Result struct {
	Experiment experiment.Kind   `json:"experiment"`
	Name       string            `json:"name,omitempty"` // of a custom experiment
	Approach   string            `json:"approach"`
	Model      string            `json:"model"`
	Trace      string            `json:"trace"`
	Level      int               `json:"level"`           // of an ablation, 0 elsewhere
	Sweep      []plotter.Setting `json:"sweep,omitempty"` // point in a sweep
	Seeds      []uint64          `json:"seeds"`
	Metrics    []Metric          `json:"metrics"`
}

// Metric is a number with its spread over the seeds.
type Metric struct {
	Name string `json:"name"`
	figure.Spread
	Published *float64 `json:"published,omitempty"`
	// Error is the median over the published number, less 1.
	Error *float64 `json:"error,omitempty"`
}

// metric is how a metric is read from a run. ok is false where a run has none.
type metric struct {
	name      string
	published catalog.PublishedMetric // "" if none is
	of        func(plotter.Measured) (value float64, ok bool)
}

// metrics are all, in the order of Result.Metrics.
func metrics() []metric {
	latency := func(of func(plotter.Measured) float64) func(plotter.Measured) (float64, bool) {
		return func(m plotter.Measured) (float64, bool) { return of(m), m.Latency.N > 0 }
	}
	always := func(of func(plotter.Measured) float64) func(plotter.Measured) (float64, bool) {
		return func(m plotter.Measured) (float64, bool) { return of(m), true }
	}
	return []metric{
		{"accepted", "", always(func(m plotter.Measured) float64 { return float64(m.Accepted) })},
		{"completed", "", always(func(m plotter.Measured) float64 { return float64(m.Completed) })},
		{"unfinished", "", always(func(m plotter.Measured) float64 { return float64(m.Accepted - m.Completed) })},
		{"avg_s", catalog.PublishedAverage, latency(func(m plotter.Measured) float64 { return m.Latency.Avg })},
		{"p50_s", "", latency(func(m plotter.Measured) float64 { return m.Latency.P50 })},
		{"p90_s", "", latency(func(m plotter.Measured) float64 { return m.Latency.P90 })},
		{"p95_s", "", latency(func(m plotter.Measured) float64 { return m.Latency.P95 })},
		{"p96_s", "", latency(func(m plotter.Measured) float64 { return m.Latency.P96 })},
		{"p97_s", "", latency(func(m plotter.Measured) float64 { return m.Latency.P97 })},
		{"p98_s", "", latency(func(m plotter.Measured) float64 { return m.Latency.P98 })},
		{"p99_s", catalog.PublishedP99, latency(func(m plotter.Measured) float64 { return m.Latency.P99 })},
		{"slo_share", "", plotter.Measured.SLOShare},
		{"cost_usd", "", always(func(m plotter.Measured) float64 { return m.CostUSD })},
		{"usd_per_token", "", func(m plotter.Measured) (float64, bool) { return m.USDPerToken, m.Completed > 0 }},
		{"spot_minutes", "", always(func(m plotter.Measured) float64 { return m.SpotMinutes })},
		{"on_demand_minutes", "", always(func(m plotter.Measured) float64 { return m.OnDemandMinutes })},
		{"interruptions", "", always(func(m plotter.Measured) float64 { return float64(m.Interruptions) })},
		{"tokens_recomputed", "", always(func(m plotter.Measured) float64 { return float64(m.TokensRecomputed) })},
	}
}

// measure sums runs up that differ in their seeds only. There must be one.
// published tells the published number of a metric; it may be nil.
func measure(runs []plotter.Measured, published func(catalog.PublishedMetric) (float64, bool)) Result {
	first := runs[0]
	r := Result{
		Experiment: experiment.Kind(first.Kind), Approach: first.Approach, Model: first.Model, Trace: first.Trace, Level: first.Level,
	}
	for _, m := range runs {
		r.Seeds = append(r.Seeds, m.Seed)
	}
	for _, of := range metrics() {
		var values []float64
		for _, m := range runs {
			if v, ok := of.of(m); ok {
				values = append(values, v)
			}
		}
		if len(values) == 0 {
			continue
		}
		m := Metric{Name: of.name, Spread: figure.SpreadOf(values, func(v float64) float64 { return v })}
		if of.published != "" && published != nil {
			if want, ok := published(of.published); ok {
				off := m.Median/want - 1
				m.Published, m.Error = &want, &off
			}
		}
		r.Metrics = append(r.Metrics, m)
	}
	return r
}

// metric returns a metric by its name, or nil.
func (r Result) metric(name string) *Metric {
	i := slices.IndexFunc(r.Metrics, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Metrics[i]
}
