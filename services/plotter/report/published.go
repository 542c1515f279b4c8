package report

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
)

// chapter is a figure of the paper.
type chapter struct {
	name, title string
	kinds       []experiment.Kind // of its cells, in the order of its tables
	// models: only this one's cells; empty: all.
	model  string
	tables func([]measured) []Table
	draw   func(context.Context, store.Reader, plotter.Query) (sheets, panels []plotter.Figure, err error)
}

// measured is a cell with its runs, one a seed, by seed.
type measured struct {
	cell
	runs   []plotter.Measured // none: missing
	result Result             // of the runs
}

// Which are the published experiments that a report can be about.
func Which() []string {
	var names []string
	for _, c := range chapters() {
		names = append(names, c.name)
	}
	return names
}

// Published reports the published experiments, with the published numbers that
// the catalogue knows. Of runs that differ in their settings it takes, for each
// figure and model, those whose settings fill most of its places, and says so.
//
// An unknown name in o.Which is refused with the allowed ones, as a
// *plotter.RefusedError. A store without any of the runs gives a report that
// lists all of them as missing. Other errors are the store's.
func Published(ctx context.Context, r store.Reader, o Options) (*Report, error) {
	for _, name := range o.Which {
		if !slices.Contains(Which(), name) {
			return nil, &plotter.RefusedError{Reason: fmt.Sprintf("report: unknown experiment %q: allowed are %s", name, strings.Join(Which(), ", "))}
		}
	}
	r = plotter.Snapshot(r)
	runs, err := finished(ctx, r, o)
	if err != nil {
		return nil, err
	}
	b := builder{reader: r, runs: runs}
	for _, c := range chapters() {
		if len(o.Which) > 0 && !slices.Contains(o.Which, c.name) {
			continue
		}
		if err := b.add(ctx, c); err != nil {
			return nil, err
		}
	}
	return b.report(o), nil
}

// finished returns the finished runs that the options allow, oldest first.
func finished(ctx context.Context, r store.Reader, o Options) ([]store.Run, error) {
	runs, err := store.ListRuns(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return slices.DeleteFunc(runs, func(run store.Run) bool {
		return run.Status != "finished" || len(o.Runs) > 0 && !slices.Contains(o.Runs, run.Run) ||
			len(o.Seeds) > 0 && !slices.Contains(o.Seeds, run.Seed)
	}), nil
}

// builder gathers the parts of a report.
type builder struct {
	reader   store.Reader
	runs     []store.Run // to choose from
	sections []Section
	settings settingsTable
	missing  []string // as in Report
	seeds    []uint64
}

// add adds the section of a chapter.
func (b *builder) add(ctx context.Context, c chapter) error {
	var all []cell
	for _, kind := range c.kinds {
		of, err := cells(kind)
		if err != nil {
			return err
		}
		all = append(all, of...)
	}
	all = slices.DeleteFunc(all, func(of cell) bool { return c.model != "" && of.spec.Model.Name != c.model })
	chosen, left := choose(all, b.runs)
	s := Section{Name: c.name, Title: c.title}
	if left > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("Runs with other settings that are in the store and not shown: %d.", left))
	}
	var found []measured
	for _, of := range all {
		m := measured{cell: of}
		for _, run := range chosen {
			if !of.holds(run) {
				continue
			}
			one, err := plotter.Measure(ctx, b.reader, run)
			if err != nil {
				return fmt.Errorf("report: %w", err)
			}
			m.runs = append(m.runs, one)
			b.seeds = append(b.seeds, run.Seed)
		}
		if len(m.runs) == 0 {
			b.miss(of)
		} else {
			m.result = measure(m.runs, of.published)
			s.Results = append(s.Results, m.result)
			b.settings.add(c.name, m.runs[0].Run)
		}
		found = append(found, m)
	}
	if len(s.Results) > 0 {
		s.Tables, s.Notes = c.tables(found), append(s.Notes, accuracy(s.Results)...)
		names := make([]string, len(chosen))
		for i, run := range chosen {
			names[i] = run.Run
		}
		var err error
		if s.Figures, s.Panels, err = c.draw(ctx, b.reader, plotter.Query{Runs: names}); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	b.sections = append(b.sections, s)
	return nil
}

// miss notes that a cell has no run, once.
func (b *builder) miss(c cell) {
	if !slices.Contains(b.missing, c.command()) {
		b.missing = append(b.missing, c.command())
	}
}

// report is all that was gathered.
func (b *builder) report(o Options) *Report {
	slices.Sort(b.seeds)
	seeds := slices.Compact(b.seeds)
	return &Report{
		Title: "SpotServe: the published experiments", Intro: intro(), Sections: b.sections, Settings: b.settings.table(),
		Missing: b.missing, Commands: commands(o, seeds),
	}
}

// intro says how to read the tables.
func intro() []string {
	return []string{
		"Numbers are medians over the seeds, with the smallest and the largest in parentheses where they differ. Percentile p of n sorted " +
			"latencies is the one at place int(p*n), counted from 0, as published. Latencies are of the requests that were completed before the run's end.",
		"Published numbers stand beside ours where the catalogue knows them; the error is ours over the published one, less 1. " +
			"The constants of the engine were fitted to them. All else is a prediction, with a dash (" + absent + ") where a published number would stand.",
	}
}

// accuracy says how far the medians are from the published numbers, if there
// are some.
func accuracy(results []Result) []string {
	n, sum := 0, 0.0
	for _, r := range results {
		for _, m := range r.Metrics {
			if m.Error != nil {
				n++
				sum += math.Abs(*m.Error)
			}
		}
	}
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("Mean absolute error over %d published numbers: %.1f %%.", n, 100*sum/float64(n))}
}

// commands make the report again.
func commands(o Options, seeds []uint64) []string {
	which := o.Which
	if len(which) == 0 {
		which = []string{"all"}
	}
	var lines []string
	for _, name := range which {
		line := "spotserve reproduce " + name
		if n := len(seeds); n > 0 && seeds[n-1] == uint64(n) {
			line += fmt.Sprintf(" --seeds %d", n)
		}
		lines = append(lines, line)
	}
	return lines
}

// choose returns the runs of some cells, by seed: for each model those of the
// settings that fill most cells, of several the newest; of each cell and seed
// the newest. left is how many have other settings.
func choose(all []cell, runs []store.Run) (chosen []store.Run, left int) {
	type group struct {
		runs         []store.Run
		filled, last int // last: place of the newest run among all
	}
	var groups []*group
	for place, run := range runs {
		if !slices.ContainsFunc(all, func(c cell) bool { return c.holds(run) }) {
			continue
		}
		i := slices.IndexFunc(groups, func(g *group) bool { return g.runs[0].Model == run.Model && plotter.SameSettings(g.runs[0], run) })
		if i < 0 {
			i = len(groups)
			groups = append(groups, &group{})
		}
		groups[i].runs, groups[i].last = append(groups[i].runs, run), place
	}
	best := map[string]*group{}
	for _, g := range groups {
		for _, c := range all {
			if slices.ContainsFunc(g.runs, c.holds) {
				g.filled++
			}
		}
		if of := best[g.runs[0].Model]; of == nil || cmp.Or(cmp.Compare(g.filled, of.filled), cmp.Compare(g.last, of.last)) > 0 {
			best[g.runs[0].Model] = g
		}
	}
	for _, g := range groups {
		if best[g.runs[0].Model] != g {
			left += len(g.runs)
			continue
		}
		chosen = append(chosen, newest(all, g.runs)...)
	}
	slices.SortStableFunc(chosen, func(a, b store.Run) int { return cmp.Compare(a.Seed, b.Seed) })
	return chosen, left
}

// newest keeps the last run of each cell and seed.
func newest(all []cell, runs []store.Run) []store.Run {
	type spot struct {
		cell int
		seed uint64
	}
	last := map[spot]string{}
	at := func(run store.Run) spot {
		return spot{slices.IndexFunc(all, func(c cell) bool { return c.holds(run) }), run.Seed}
	}
	for _, run := range runs {
		last[at(run)] = run.Run
	}
	return slices.DeleteFunc(slices.Clone(runs), func(run store.Run) bool { return last[at(run)] != run.Run })
}
