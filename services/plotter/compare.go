package plotter

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// Comparison is some runs side by side.
type Comparison struct {
	Groups []Group
	// Same and Different are the settings in which the groups agree, and the keys
	// in which they do not.
	Same      []Setting
	Different []string
	Figure    Figure
}

// mostCompared is how many series a figure tells apart by their looks.
const mostCompared = 8

// Compare puts finished runs side by side, whatever their settings. A name is
// that of a run, or of a custom experiment, which stands for its newest finished
// run of each point and seed. fold makes one group of runs that differ in their
// seeds only.
//
// A *RefusedError says that a name stands for no finished run, or that nothing
// is named. Other errors are the store's.
func Compare(ctx context.Context, r store.Reader, names []string, fold bool) (Comparison, error) {
	chosen, err := namedRuns(ctx, r, names)
	if err != nil {
		return Comparison{}, err
	}
	groups := make([][]store.Run, len(chosen))
	for i, run := range chosen {
		groups[i] = []store.Run{run}
	}
	if fold {
		groups = foldSeeds(chosen)
	}
	c := Comparison{}
	firsts := make([]store.Run, len(groups))
	for i, g := range groups {
		firsts[i] = g[0]
	}
	for i, name := range labels(firsts) {
		g := Group{Label: name}
		for _, run := range groups[i] {
			m, err := Measure(ctx, r, run)
			if err != nil {
				return Comparison{}, fmt.Errorf("compare: %w", err)
			}
			g.Runs = append(g.Runs, m)
		}
		c.Groups = append(c.Groups, g)
	}
	ignored := []string{"run"}
	if fold {
		ignored = append(ignored, "seed")
	}
	c.Same, c.Different = agreement(firsts, ignored)
	c.Figure, err = c.draw(ctx, r, names)
	return c, err
}

// namedRuns are the finished runs that names stand for, each once.
func namedRuns(ctx context.Context, r store.Reader, names []string) ([]store.Run, error) {
	if len(names) == 0 {
		return nil, &RefusedError{Reason: "compare: name at least one run or custom experiment"}
	}
	all, err := store.ListRuns(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	var chosen []store.Run
	for _, name := range names {
		found := customRuns(all, name)
		if i := slices.IndexFunc(all, func(run store.Run) bool { return run.Run == name }); i >= 0 {
			if all[i].Status != "finished" {
				return nil, &RefusedError{Reason: fmt.Sprintf("compare: run %s is %s; only finished runs are compared", name, all[i].Status)}
			}
			found = all[i : i+1]
		}
		if len(found) == 0 {
			return nil, refuseUnknownRun("compare", name, all)
		}
		for _, run := range found {
			if !slices.ContainsFunc(chosen, func(of store.Run) bool { return of.Run == run.Run }) {
				chosen = append(chosen, run)
			}
		}
	}
	return chosen, nil
}

// draw makes the figure of the groups in which requests completed.
func (c Comparison) draw(ctx context.Context, r store.Reader, names []string) (Figure, error) {
	f := figure.Compare{}
	var drawn []Group
	var out Figure
	var unmeasured []store.Run
	beyond := 0
	for _, g := range c.Groups {
		s := figure.CompareSeries{Label: g.Label, Look: len(drawn)}
		shown := Group{Label: g.Label}
		for _, m := range g.Runs {
			if m.Latency.N == 0 {
				unmeasured = append(unmeasured, m.Run)
				continue
			}
			shown.Runs = append(shown.Runs, m)
		}
		if len(shown.Runs) == 0 {
			continue
		}
		if len(drawn) == mostCompared {
			beyond++
			continue
		}
		for _, m := range shown.Runs {
			latencies, err := query[struct{ LatencyMS float64 }](ctx, r,
				"SELECT latency_ms FROM request_latency WHERE run = ? AND status = 'completed' AND latency_ms IS NOT NULL ORDER BY latency_ms", m.Run.Run)
			if err != nil {
				return Figure{}, fmt.Errorf("compare: run %s: %w", m.Run.Run, err)
			}
			d := figure.Distribution{Accepted: max(m.Accepted, len(latencies)), USDPerToken: m.USDPerToken}
			for _, l := range latencies {
				d.Latencies = append(d.Latencies, l.LatencyMS/1e3)
			}
			s.Seeds = append(s.Seeds, d)
			out.Runs = append(out.Runs, m.Run.Run)
		}
		drawn, f.Series = append(drawn, shown), append(f.Series, s)
	}
	if len(drawn) == 0 {
		return Figure{}, &RefusedError{Reason: "compare: " + noneCompleted(unmeasured), NoRuns: true}
	}
	f.Title, f.Caption = c.title(), c.caption(drawn)
	f.SLO = sharedSLO(drawn)
	if f.SLO > 0 {
		f.Caption = append(f.Caption, fmt.Sprintf("dashed line: SLO of %g s", f.SLO))
	}
	if len(unmeasured) > 0 {
		f.Notes = append(f.Notes, noneCompleted(unmeasured))
	}
	if beyond > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("the first %d are drawn; %d more are not", mostCompared, beyond))
	}
	out.Drawing, out.Name = f, compareName(names)
	return out, nil
}

func (c Comparison) title() string {
	same := func(key string) string {
		for _, s := range c.Same {
			if s.Key == key {
				return s.Value
			}
		}
		return ""
	}
	var parts []string
	if approach := same("approach"); approach != "" {
		parts = append(parts, label(experiment.Approach(approach)))
	}
	if model := same("model"); model != "" {
		parts = append(parts, model)
	}
	if trace := same("trace"); trace != "" {
		parts = append(parts, "on "+trace)
	}
	if len(parts) == 0 {
		return "Latency and cost"
	}
	return strings.Join(parts, " ") + ": latency and cost"
}

// caption says how many runs there are and what they differ in.
func (c Comparison) caption(drawn []Group) []string {
	seeds := make([]int, len(drawn))
	for i, g := range drawn {
		seeds[i] = len(g.Runs)
	}
	parts := []string{"percent of all accepted requests", "marks at 50, 90 and 99 %", seedsText(seeds)}
	if len(c.Different) > 0 {
		parts = append(parts, "they differ in: "+strings.Join(c.Different, ", "))
	}
	return parts
}

// sharedSLO is the SLO that all runs have, in seconds; 0 if there is none.
func sharedSLO(groups []Group) float64 {
	slo := groups[0].Runs[0].SLO
	for _, g := range groups {
		for _, m := range g.Runs {
			if m.SLO != slo {
				return 0
			}
		}
	}
	return slo.Seconds()
}

// compareName is the name of the figure's file. That of many runs names the
// first.
func compareName(names []string) string {
	const most = 3
	if len(names) > most {
		return FileName("compare", names[0], fmt.Sprintf("and-%d-more", len(names)-1))
	}
	return FileName(append([]string{"compare"}, names...)...)
}
