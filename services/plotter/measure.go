package plotter

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// Measured is a run with all that tables and figures show of it.
type Measured struct {
	store.Run
	// Latency is of the completed requests; all 0 if there are none.
	Latency store.LatencySummary
	// SLO is the target that the run names for its P99; 0: none.
	SLO time.Duration
	// WithinSLO is how many requests were answered within SLO. Those that were
	// not answered are not.
	WithinSLO int
	// Node minutes by market.
	SpotMinutes, OnDemandMinutes float64
}

// SLOShare is the share of the accepted requests that were answered within the
// SLO, from 0 to 1. It is false for a run that names none or accepted nothing.
func (m Measured) SLOShare() (float64, bool) {
	if m.SLO == 0 || m.Accepted == 0 {
		return 0, false
	}
	return float64(m.WithinSLO) / float64(m.Accepted), true
}

// Measure reads what a run measured. It looks at the rows of that run only.
func Measure(ctx context.Context, r store.Reader, run store.Run) (Measured, error) {
	m := Measured{Run: run, SLO: sloOf(run)}
	var err error
	if m.Latency, err = store.Summary(ctx, r, run.Run); err != nil {
		return m, err
	}
	minutes, err := query[struct {
		Market  string
		Minutes float64
	}](ctx, r, "SELECT market, sum(to_ms - from_ms) / 60000 AS minutes FROM node_time WHERE run = ? GROUP BY market", run.Run)
	if err != nil {
		return m, fmt.Errorf("run %s: %w", run.Run, err)
	}
	for _, of := range minutes {
		switch of.Market {
		case "spot":
			m.SpotMinutes = of.Minutes
		case "on-demand":
			m.OnDemandMinutes = of.Minutes
		}
	}
	if m.SLO > 0 {
		within, err := query[struct{ N int }](ctx, r,
			"SELECT count(*) AS n FROM request_latency WHERE run = ? AND status = 'completed' AND latency_ms <= ?",
			run.Run, float64(m.SLO)/float64(time.Millisecond))
		if err != nil {
			return m, fmt.Errorf("run %s: %w", run.Run, err)
		}
		m.WithinSLO = within[0].N
	}
	return m, nil
}

// query reads rows into structs, as store.Scan does.
func query[T any](ctx context.Context, r store.Reader, sql string, args ...any) ([]T, error) {
	rows, err := r.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return store.Scan[T](rows)
}

// sloOf is the target that a run's settings name.
func sloOf(run store.Run) time.Duration {
	var s struct {
		SLOP99S float64 `json:"slo_p99_s"`
	}
	if json.Unmarshal([]byte(run.Settings), &s) != nil {
		return 0 // settings that cannot be read name none
	}
	return time.Duration(s.SLOP99S * float64(time.Second))
}

func (m Measured) latencies() figure.Latencies {
	s := m.Latency
	return figure.Latencies{s.Avg, s.P90, s.P95, s.P96, s.P97, s.P98, s.P99}
}
