package plotter

import (
	"context"
	"fmt"
	"slices"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// WorkloadCase makes a case panel of Figure 8: of one seed, the latency of
// every request that each approach answered, by when it arrived, with the
// approach's configurations and the rate of the arrivals.
func WorkloadCase(ctx context.Context, r store.Reader, q Query) (Figure, error) {
	s := workloadSheet("workload-case")
	s.oneSeed = true
	c, err := s.collect(ctx, r, q)
	if err != nil {
		return Figure{}, err
	}
	first := c.runs[0]
	f, err := readCases(ctx, r, c.cells)
	if err != nil {
		return Figure{}, fmt.Errorf("plot %s: %w", s.name, err)
	}
	f.Text = figure.Text{
		Title: fmt.Sprintf("%s on %s: latency of each request under a fluctuating workload", first.Model, first.Trace),
		Caption: []string{
			"arrivals: " + first.Arrivals, "quirks: " + first.Quirks, "seed " + seedName(first.Seed), c.requests(),
			"configurations as DxPxM",
		},
		Notes: c.notes(),
	}
	return Figure{
		Drawing: f, Name: FileName(s.name, first.Model, first.Trace, first.Arrivals, first.Quirks, "seed"+seedName(first.Seed)),
		Runs: c.names(), Missing: c.missing(),
	}, nil
}

// readCases reads the first run of each cell.
func readCases(ctx context.Context, r store.Reader, cells []cell) (figure.Case, error) {
	var f figure.Case
	for _, cell := range cells {
		series, arrivals, err := readCase(ctx, r, cell.runs[0].Run.Run)
		if err != nil {
			return f, err
		}
		if f.Arrivals == nil {
			f.Arrivals = arrivals // runs of one seed and setting have the same
		}
		series.Label, series.Look = cell.series, cell.look
		f.Series = append(f.Series, series)
	}
	return f, nil
}

// readCase reads the answered requests and the configurations of a run, and
// when each request arrived, answered or not.
func readCase(ctx context.Context, r store.Reader, run string) (s figure.CaseSeries, arrivals []float64, err error) {
	rows, err := r.Query(ctx, "SELECT request, arrived_ms, latency_ms, status FROM request_latency WHERE run = ? ORDER BY request", run)
	if err != nil {
		return s, nil, fmt.Errorf("run %s: %w", run, err)
	}
	requests, err := store.Scan[struct {
		ArrivedMS float64
		LatencyMS *float64
		Status    string
	}](rows)
	if err != nil {
		return s, nil, fmt.Errorf("run %s: %w", run, err)
	}
	for _, q := range requests {
		arrivals = append(arrivals, q.ArrivedMS/1e3)
		if q.Status == "completed" && q.LatencyMS != nil {
			s.Requests = append(s.Requests, figure.Request{Arrived: q.ArrivedMS / 1e3, Latency: *q.LatencyMS / 1e3})
		}
	}
	changes, err := store.ConfigChanges(ctx, r, run)
	if err != nil {
		return s, nil, err
	}
	for _, c := range changes {
		config := figure.Config{At: c.ChangeMS / 1e3, Name: fmt.Sprintf("%dx%dx%d", c.D, c.P, c.M)}
		if n := len(s.Configs); n == 0 || s.Configs[n-1].Name != config.Name || c.DevicesChanged > 0 {
			s.Configs = append(s.Configs, config)
		}
	}
	return s, arrivals, nil
}

// caseOf shows the requests of one run of a custom experiment over time.
func caseOf(ctx context.Context, r store.Reader, run store.Run) (Figure, error) {
	m, err := Measure(ctx, r, run)
	if err != nil {
		return Figure{}, fmt.Errorf("plot case: %w", err)
	}
	if m.Latency.N == 0 {
		return Figure{}, &RefusedError{Reason: "plot case: " + noneCompleted([]store.Run{run})}
	}
	look := max(slices.Index(approaches(), experiment.Approach(run.Approach)), 0)
	c := contents{runs: []Measured{m}, cells: []cell{{place{series: label(experiment.Approach(run.Approach)), look: look}, []Measured{m}}}}
	f, err := readCases(ctx, r, c.cells)
	if err != nil {
		return Figure{}, fmt.Errorf("plot case: %w", err)
	}
	f.Text = figure.Text{
		Title: fmt.Sprintf("%s: %s on %s, latency of each request", run.Name, run.Model, run.Trace),
		Caption: []string{
			"arrivals: " + run.Arrivals, "quirks: " + run.Quirks, "seed " + seedName(run.Seed), c.requests(), "configurations as DxPxM",
		},
		Notes: c.notes(),
	}
	return Figure{Drawing: f, Name: FileName("case", run.Name, "seed"+seedName(run.Seed)), Runs: c.names()}, nil
}
