package plotter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// Query selects the runs of an end-to-end figure. An empty field selects all,
// but runs of different models, traces or settings are never drawn together.
type Query struct {
	Model, Trace     string
	Arrivals, Quirks string
	// Run selects the model, the trace and all settings of this run.
	Run string
}

// E2E makes one panel of Figure 6: of the newest finished run of each approach
// and seed, the average and tail latencies. An approach without such a run is
// named on the figure.
//
// A *RefusedError says that the store has no run that the query selects, or
// that the runs differ in their settings. Other errors are the store's.
func E2E(ctx context.Context, r store.Reader, q Query) (Figure, error) {
	runs, err := selectRuns(ctx, r, q)
	if err != nil {
		return Figure{}, err
	}
	var measured []measuredRun
	var empty []string
	for _, run := range runs {
		s, err := store.Summary(ctx, r, run.Run)
		if err != nil {
			return Figure{}, fmt.Errorf("plot e2e: %w", err)
		}
		if s.N == 0 {
			empty = append(empty, describe(run))
			continue
		}
		measured = append(measured, measuredRun{run, s})
	}
	if len(measured) == 0 {
		return Figure{}, &RefusedError{"plot e2e: no request completed in " + strings.Join(empty, ", ")}
	}
	f := draw(measured)
	if len(empty) > 0 {
		f.Notes = append(f.Notes, "no request completed in "+strings.Join(empty, ", "))
	}
	return f, nil
}

// measuredRun is a run with its latencies.
type measuredRun struct {
	store.Run
	summary store.LatencySummary
}

func (m measuredRun) latencies() figure.Latencies {
	s := m.summary
	return figure.Latencies{s.Avg, s.P90, s.P95, s.P96, s.P97, s.P98, s.P99}
}

// draw makes the figure of runs that have one model, trace and setting.
func draw(runs []measuredRun) Figure {
	first := runs[0]
	f := Figure{Name: fileName("e2e", first.Model, first.Trace, first.Arrivals, first.Quirks)}
	byApproach := map[experiment.Approach][]measuredRun{}
	for _, m := range runs {
		a := experiment.Approach(m.Approach)
		byApproach[a] = append(byApproach[a], m)
		f.Runs = append(f.Runs, m.Run.Run)
	}
	for look, a := range approaches() {
		found := byApproach[a]
		if len(found) == 0 {
			f.Missing = append(f.Missing, a)
			continue
		}
		s := figure.TailSeries{Label: label(a), Look: look}
		slices.SortFunc(found, func(x, y measuredRun) int { return cmp.Compare(x.Seed, y.Seed) })
		for _, m := range found {
			s.Seeds = append(s.Seeds, m.latencies())
		}
		f.Series = append(f.Series, s)
	}
	f.Title = fmt.Sprintf("%s on %s: end-to-end latency", first.Model, first.Trace)
	f.Caption = []string{
		"arrivals: " + first.Arrivals,
		"quirks: " + first.Quirks,
		requests(runs),
		seeds(f.Series),
	}
	f.Notes = notes(f.Missing, byApproach)
	return f
}

// requests says how many requests the runs accepted.
func requests(runs []measuredRun) string {
	s := span(runs, func(m measuredRun) int { return m.Accepted }) + " requests"
	if len(runs) > 1 {
		s += " a run"
	}
	return s
}

// seeds says how many seeds each series has, and what it shows of them.
func seeds(series []figure.TailSeries) string {
	counts := make([]string, len(series))
	least, most := len(series[0].Seeds), 0
	for i, s := range series {
		n := len(s.Seeds)
		least, most = min(least, n), max(most, n)
		counts[i] = fmt.Sprintf("%s %d", s.Label, n)
	}
	const shown = " (median, min to max)"
	switch {
	case most == 1:
		return "1 seed"
	case least == most:
		return fmt.Sprintf("%d seeds", most) + shown
	default:
		return "seeds: " + strings.Join(counts, ", ") + shown
	}
}

// notes tell what the lines alone would hide.
func notes(missing []experiment.Approach, byApproach map[experiment.Approach][]measuredRun) []string {
	var notes []string
	if len(missing) > 0 {
		names := make([]string, len(missing))
		for i, a := range missing {
			names[i] = string(a)
		}
		notes = append(notes, "not in the store: "+strings.Join(names, ", "))
	}
	var unfinished, late []string
	for _, a := range approaches() {
		left := func(m measuredRun) int { return m.Accepted - m.Completed }
		if slices.ContainsFunc(byApproach[a], func(m measuredRun) bool { return left(m) > 0 }) {
			unfinished = append(unfinished, label(a)+" "+span(byApproach[a], left))
		}
		for _, m := range byApproach[a] {
			if m.LateFacts > 0 {
				late = append(late, fmt.Sprintf("%s %d", m.Run.Run, m.LateFacts))
			}
		}
	}
	if len(unfinished) > 0 {
		notes = append(notes, "requests not completed in a run, and not shown: "+strings.Join(unfinished, ", "))
	}
	if len(late) > 0 {
		notes = append(notes, "facts that came late, so that the run may differ from a virtual one: "+strings.Join(late, ", "))
	}
	return notes
}

// span is the range of a number over runs: "652" or "648 to 652".
func span(runs []measuredRun, of func(measuredRun) int) string {
	low, high := of(runs[0]), of(runs[0])
	for _, m := range runs {
		low, high = min(low, of(m)), max(high, of(m))
	}
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}
