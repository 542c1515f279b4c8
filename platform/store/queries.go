package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoRun is returned for a run that the store does not know.
var ErrNoRun = errors.New("the store has no such run")

// LatencySummary is the row of view latency_summary: latencies in seconds over
// the completed requests. Pxx is sorted[int(0.xx*N)]. All are 0 if N is.
type LatencySummary struct {
	Run string
	N   int
	Avg float64
	P50 float64
	P90 float64
	P95 float64
	P96 float64
	P97 float64
	P98 float64
	P99 float64
}

// RunCost is the row of view cost_summary.
type RunCost struct {
	Run             string
	SpotMinutes     float64 // node minutes
	OnDemandMinutes float64
	CostUSD         float64
	Completed       int
	USDPerToken     float64 // over prompt and output tokens of completed requests; 0 if there are none
}

// Filter selects runs. An empty field selects all.
type Filter struct{ Kind, Approach, Model, Trace string }

func (f Filter) matches(r Run) bool {
	return (f.Kind == "" || f.Kind == r.Kind) && (f.Approach == "" || f.Approach == r.Approach) &&
		(f.Model == "" || f.Model == r.Model) && (f.Trace == "" || f.Trace == r.Trace)
}

// ListRuns returns all runs, oldest first.
func ListRuns(ctx context.Context, r Reader) ([]Run, error) {
	return selectAll[Run](ctx, r, "runs", "ORDER BY started_unix_ms, run")
}

// FindRun returns the row of a run, or ErrNoRun.
func FindRun(ctx context.Context, r Reader, run string) (Run, error) {
	return selectRun[Run](ctx, r, "runs", run)
}

// Summary returns the latency percentiles of a run, or ErrNoRun.
func Summary(ctx context.Context, r Reader, run string) (LatencySummary, error) {
	return selectRun[LatencySummary](ctx, r, "latency_summary", run)
}

// CostSummary returns what a run cost, or ErrNoRun.
func CostSummary(ctx context.Context, r Reader, run string) (RunCost, error) {
	return selectRun[RunCost](ctx, r, "cost_summary", run)
}

func selectRun[T any](ctx context.Context, r Reader, from, run string) (T, error) {
	rows, err := selectAll[T](ctx, r, from, "WHERE run = ?", run)
	if err == nil && len(rows) == 0 {
		err = ErrNoRun
	}
	if err != nil {
		var none T
		return none, fmt.Errorf("run %s: %w", run, err)
	}
	return rows[0], nil
}

// ConfigChanges returns the configurations of a run in the order in which they
// were chosen.
func ConfigChanges(ctx context.Context, r Reader, run string) ([]ConfigChange, error) {
	changes, err := selectAll[ConfigChange](ctx, r, "config_change", "WHERE run = ?", run)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", run, err)
	}
	slices.SortFunc(changes, func(a, b ConfigChange) int {
		return cmp.Or(cmp.Compare(a.AtMS, b.AtMS), compareEpochs(a.Epoch, b.Epoch))
	})
	return changes, nil
}

// compareEpochs orders epochs, which are written term.n, by their numbers.
func compareEpochs(a, b string) int {
	termA, nA, _ := strings.Cut(a, ".")
	termB, nB, _ := strings.Cut(b, ".")
	return cmp.Or(compareNumbers(termA, termB), compareNumbers(nA, nB))
}

// compareNumbers orders decimal numbers without leading zeros.
func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// LatestFinished returns, of the finished runs that f selects, the newest of
// each approach, setting and seed, oldest first. What was run at another time
// scale, or in virtual time, is the same experiment.
func LatestFinished(ctx context.Context, r Reader, f Filter) ([]Run, error) {
	runs, err := ListRuns(ctx, r)
	if err != nil {
		return nil, err
	}
	newest := map[Run]string{}
	for _, run := range runs {
		if run.Status == "finished" && f.matches(run) {
			newest[run.Experiment()] = run.Run
		}
	}
	var latest []Run
	for _, run := range runs {
		if newest[run.Experiment()] == run.Run {
			latest = append(latest, run)
		}
	}
	return latest, nil
}

// Experiment keeps of a run what makes a repetition of it comparable.
func (r Run) Experiment() Run {
	return Run{
		Kind: r.Kind, Approach: r.Approach, Model: r.Model, Trace: r.Trace, Level: r.Level,
		Arrivals: r.Arrivals, Quirks: r.Quirks, Seed: r.Seed, Settings: r.Settings,
	}
}
