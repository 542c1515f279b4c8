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
		m := cell.runs[0]
		series, arrivals, err := readCase(ctx, r, m)
		if err != nil {
			return f, fmt.Errorf("run %s: %w", m.Run.Run, err)
		}
		if f.Arrivals == nil {
			f.Arrivals = arrivals // runs of one seed and setting have the same
		}
		series.Label, series.Look = cell.series, cell.look
		f.Series = append(f.Series, series)
	}
	return f, nil
}

// mostRequests is how many requests of a run are drawn one by one. Of more, the
// fastest and the slowest of each of mostSlices parts of the run are.
const (
	mostRequests = 5000
	mostSlices   = 1000
)

// thinned tells whether not every request of a run is drawn.
func (m Measured) thinned() bool { return m.Accepted > mostRequests }

// readCase reads the answered requests and the configurations of a run, and
// when requests arrived, answered or not, in seconds.
func readCase(ctx context.Context, r store.Reader, m Measured) (s figure.CaseSeries, arrivals []float64, err error) {
	if m.thinned() {
		s.Requests, arrivals, err = readSlices(ctx, r, m)
	} else {
		s.Requests, arrivals, err = readRequests(ctx, r, m.Run.Run)
	}
	if err != nil {
		return s, nil, err
	}
	s.Configs, err = readConfigs(ctx, r, m.Run.Run)
	return s, arrivals, err
}

// readRequests reads a run request by request.
func readRequests(ctx context.Context, r store.Reader, run string) (answered []figure.Request, arrivals []float64, err error) {
	requests, err := query[struct {
		ArrivedMS float64
		LatencyMS *float64
		Status    string
	}](ctx, r, "SELECT arrived_ms, latency_ms, status FROM request_latency WHERE run = ? ORDER BY request", run)
	for _, q := range requests {
		arrivals = append(arrivals, q.ArrivedMS/1e3)
		if q.Status == "completed" && q.LatencyMS != nil {
			answered = append(answered, figure.Request{Arrived: q.ArrivedMS / 1e3, Latency: *q.LatencyMS / 1e3})
		}
	}
	return answered, arrivals, err
}

// readSlices reads the fastest and the slowest request of each part of a run,
// and how many requests arrived in each window that a rate is counted over.
func readSlices(ctx context.Context, r store.Reader, m Measured) (answered []figure.Request, arrivals []float64, err error) {
	slice := max(m.DurationMS/mostSlices, 1)
	parts, err := query[struct{ Slice, Low, High float64 }](ctx, r,
		"SELECT CAST(arrived_ms / ? AS INTEGER) AS slice, min(latency_ms) / 1000 AS low, max(latency_ms) / 1000 AS high FROM request_latency"+
			" WHERE run = ? AND status = 'completed' GROUP BY CAST(arrived_ms / ? AS INTEGER) ORDER BY slice", slice, m.Run.Run, slice)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		at := p.Slice * slice / 1e3
		answered = append(answered, figure.Request{Arrived: at, Latency: p.Low}, figure.Request{Arrived: at + slice/2e3, Latency: p.High})
	}
	windows, err := query[struct {
		Slice float64
		N     int
	}](ctx, r, "SELECT CAST(arrived_ms / ? AS INTEGER) AS slice, count(*) AS n FROM request_latency"+
		" WHERE run = ? GROUP BY CAST(arrived_ms / ? AS INTEGER) ORDER BY slice", 1e3*figure.RateWindow, m.Run.Run, 1e3*figure.RateWindow)
	for _, w := range windows {
		for i := range w.N { // spread evenly: which arrived when in a window is not drawn
			arrivals = append(arrivals, (w.Slice+(float64(i)+0.5)/float64(w.N))*figure.RateWindow)
		}
	}
	return answered, arrivals, err
}

// readConfigs reads when the configuration of a run changed, or the devices
// that it works on.
func readConfigs(ctx context.Context, r store.Reader, run string) ([]figure.Config, error) {
	var configs []figure.Config
	changes, err := store.ConfigChanges(ctx, r, run)
	for _, c := range changes {
		config := figure.Config{At: c.ChangeMS / 1e3, Name: fmt.Sprintf("%dx%dx%d", c.D, c.P, c.M)}
		if n := len(configs); n == 0 || configs[n-1].Name != config.Name || c.DevicesChanged > 0 {
			configs = append(configs, config)
		}
	}
	return configs, err
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
	if m.thinned() {
		f.Caption = append(f.Caption, fmt.Sprintf("drawn: the fastest and the slowest of each 1/%d of the run", mostSlices))
	}
	return Figure{Drawing: f, Name: FileName("case", run.Name, "seed"+seedName(run.Seed)), Runs: c.names()}, nil
}
