// Package result is what a run amounts to: the object that --output json
// prints, and the tables.
package result

import (
	"context"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
)

// Result sums up one run. Its JSON names are a promise to scripts.
type Result struct {
	Run              string   `json:"run"`
	Kind             string   `json:"kind"`
	Name             string   `json:"name"`
	Approach         string   `json:"approach"`
	Model            string   `json:"model"`
	Trace            string   `json:"trace"`
	Level            int      `json:"level"`
	Arrivals         string   `json:"arrivals"`
	Quirks           string   `json:"quirks"`
	Seed             uint64   `json:"seed"`
	TimeScale        float64  `json:"time_scale"`
	Virtual          bool     `json:"virtual"`
	Status           string   `json:"status"`
	Accepted         int      `json:"accepted"`
	Completed        int      `json:"completed"`
	UnfinishedAtEnd  int      `json:"unfinished_at_end"`
	Lost             int      `json:"lost"`
	Duplicated       int      `json:"duplicated"`
	LateFacts        int      `json:"late_facts"`
	Interruptions    int      `json:"interruptions"`
	TokensRecomputed int      `json:"tokens_recomputed"`
	Dropped          int      `json:"-"` // of the unfinished, with the artifact's quirks
	AvgS             float64  `json:"avg_s"`
	P50S             float64  `json:"p50_s"`
	P90S             float64  `json:"p90_s"`
	P95S             float64  `json:"p95_s"`
	P96S             float64  `json:"p96_s"`
	P97S             float64  `json:"p97_s"`
	P98S             float64  `json:"p98_s"`
	P99S             float64  `json:"p99_s"`
	SLOP99S          float64  `json:"slo_p99_s"`
	WithinSLO        int      `json:"within_slo"`
	SpotMinutes      float64  `json:"spot_minutes"`
	OnDemandMinutes  float64  `json:"on_demand_minutes"`
	CostUSD          float64  `json:"cost_usd"`
	USDPerToken      float64  `json:"usd_per_token"`
	Configs          []Config `json:"configs"`
	// Sweep is the run's point in the sweep that it belongs to.
	Sweep   []plotter.Setting `json:"sweep"`
	Store   string            `json:"store"`
	Figures []string          `json:"figures"`
}

// Config is one entry of the configuration timeline.
type Config struct {
	TS             float64 `json:"t_s"` // time of the availability event
	D              int     `json:"d"`
	P              int     `json:"p"`
	M              int     `json:"m"`
	B              int     `json:"b"` // running batch limit
	DevicesChanged int     `json:"devices_changed"`
}

// Load reads a run's result from the store.
func Load(ctx context.Context, r store.Reader, run string) (Result, error) {
	row, err := store.FindRun(ctx, r, run)
	if err != nil {
		return Result{}, err
	}
	measured, err := plotter.Measure(ctx, r, row)
	if err != nil {
		return Result{}, err
	}
	summary := measured.Latency
	changes, err := store.ConfigChanges(ctx, r, run)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Run: row.Run, Kind: row.Kind, Name: row.Name, Approach: row.Approach, Model: row.Model, Trace: row.Trace, Level: row.Level,
		Arrivals: row.Arrivals, Quirks: row.Quirks, Seed: row.Seed, TimeScale: row.TimeScale, Virtual: row.Virtual,
		Status: row.Status, Accepted: row.Accepted, Completed: row.Completed, UnfinishedAtEnd: row.UnfinishedAtEnd,
		Lost: row.Lost, Duplicated: row.Duplicated, Dropped: row.Dropped, LateFacts: row.LateFacts,
		Interruptions: row.Interruptions, TokensRecomputed: row.TokensRecomputed,
		AvgS: summary.Avg, P50S: summary.P50, P90S: summary.P90, P95S: summary.P95,
		P96S: summary.P96, P97S: summary.P97, P98S: summary.P98, P99S: summary.P99,
		SLOP99S: measured.SLO.Seconds(), WithinSLO: measured.WithinSLO,
		SpotMinutes: measured.SpotMinutes, OnDemandMinutes: measured.OnDemandMinutes,
		CostUSD: row.CostUSD, USDPerToken: row.USDPerToken, Configs: timeline(changes),
		Sweep: append([]plotter.Setting{}, plotter.SweepOf(row)...), Figures: []string{},
	}, nil
}

// timeline lists the configurations that differ from the one before, in shape
// or in devices.
func timeline(changes []store.ConfigChange) []Config {
	out := []Config{}
	for _, c := range changes {
		next := Config{TS: c.ChangeMS / 1e3, D: c.D, P: c.P, M: c.M, B: c.B, DevicesChanged: c.DevicesChanged}
		if n := len(out); n > 0 && c.DevicesChanged == 0 {
			last := out[n-1]
			if last.D == next.D && last.P == next.P && last.M == next.M && last.B == next.B {
				continue
			}
		}
		out = append(out, next)
	}
	return out
}
