package plotter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
)

// Query selects the runs of a figure. An empty field selects all, but runs of
// different models or settings are never drawn together, nor those of different
// traces unless the figure compares traces.
type Query struct {
	Model, Trace     string
	Arrivals, Quirks string
	// Seed selects one seed where a figure shows the requests of one. 0 is the
	// seed that most approaches have a run of.
	Seed uint64
	// Run selects the model, the trace and all settings of this run, and its
	// seed where that matters.
	Run string
	// Runs are the only runs to choose from; empty: all of the store.
	Runs []string
}

// allows tells whether a run is one to choose from.
func (q Query) allows(run store.Run) bool {
	return len(q.Runs) == 0 || slices.Contains(q.Runs, run.Run)
}

// only are the runs that are to choose from.
func (q Query) only(runs []store.Run) []store.Run {
	return slices.DeleteFunc(slices.Clone(runs), func(run store.Run) bool { return !q.allows(run) })
}

// sheet says which runs a figure shows, and where.
type sheet struct {
	name string // of the figure: plot NAME
	// kinds are those of its runs. The first is the one that the figure is
	// about; runs of others stand beside those.
	kinds  []experiment.Kind
	places []place
	// traces tells whether the figure compares traces. If not, all its runs have
	// one.
	traces bool
	// oneSeed tells whether the figure is of one seed.
	oneSeed bool
	// command makes a run for the figure.
	command func(Query) string
}

// place is where the runs of one experiment stand, whatever their seeds: a
// line, a point of one, a group of bars.
type place struct {
	name   string // of the experiment, where it is missing
	series string // what the legend calls it
	point  string // which point of the series, if that has several
	look   int    // as in package figure
	// holds tells whether a run of the sheet's kinds stands here.
	holds func(store.Run) bool
}

// label is the place's full name on the figure.
func (p place) label() string { return strings.TrimSpace(p.series + " " + p.point) }

// shows tells whether a run has a place.
func (s sheet) shows(run store.Run) bool {
	return slices.ContainsFunc(s.places, func(p place) bool { return p.holds(run) })
}

// subject is what all runs of one figure have in common beside their settings.
func (s sheet) subject(run store.Run) string {
	if s.traces {
		return run.Model
	}
	return run.Model + " on " + run.Trace
}

// choices are the flags that select a subject.
func (s sheet) choices() string {
	if s.traces {
		return "-m MODEL"
	}
	return "-m MODEL, -t TRACE"
}

// selectRuns returns the newest finished run of each kind, approach, trace,
// level and seed, oldest first. There is at least one, and all have the same
// subject and settings.
func (s sheet) selectRuns(ctx context.Context, r store.Reader, q Query) ([]store.Run, error) {
	want := func(store.Run) bool { return true }
	if q.Run != "" {
		like, err := s.findFinished(ctx, r, q)
		if err != nil {
			return nil, err
		}
		q = Query{Runs: q.Runs, Run: q.Run, Model: like.Model, Trace: like.Trace, Arrivals: like.Arrivals, Quirks: like.Quirks, Seed: like.Seed}
		want = func(run store.Run) bool { return settingsOf(run) == settingsOf(like) }
	}
	runs, err := store.ListRuns(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("plot %s: %w", s.name, err)
	}
	runs = slices.DeleteFunc(runs, func(run store.Run) bool {
		return run.Status != "finished" || !q.allows(run) || q.Model != "" && run.Model != q.Model ||
			!slices.Contains(s.kinds, experiment.Kind(run.Kind)) || !s.shows(run) || !want(run) ||
			!s.traces && q.Trace != "" && run.Trace != q.Trace ||
			s.oneSeed && q.Seed != 0 && run.Seed != q.Seed ||
			q.Arrivals != "" && run.Arrivals != q.Arrivals || q.Quirks != "" && run.Quirks != q.Quirks
	})
	if len(runs) == 0 {
		return nil, s.refuseNothing(ctx, r, q)
	}
	runs = s.newest(s.withoutBystanders(runs))
	if groups := groupBy(runs, s.subject); len(groups) > 1 {
		return nil, s.refuseChoice("are of different "+s.subjects(), s.choices(), groups)
	}
	if groups := groupBy(runs, settingsOf); len(groups) > 1 {
		return nil, s.refuseChoice("differ in their settings", "--arrivals, --quirks or --run RUN", named(groups))
	}
	if s.oneSeed {
		runs = fullestSeed(s.places, runs)
	}
	return runs, nil
}

// withoutBystanders leaves out what stands beside nothing: runs of another
// kind than the first whose subject has no run of the first. If there are only
// such runs, they stay.
func (s sheet) withoutBystanders(runs []store.Run) []store.Run {
	subjects := map[string]bool{}
	for _, run := range runs {
		if run.Kind == string(s.kinds[0]) {
			subjects[s.subject(run)] = true
		}
	}
	if len(subjects) == 0 {
		return runs
	}
	return slices.DeleteFunc(runs, func(run store.Run) bool { return !subjects[s.subject(run)] })
}

// fullestSeed returns the runs of the seed that fills most places, the smallest
// of several.
func fullestSeed(places []place, runs []store.Run) []store.Run {
	var best []store.Run
	most := 0
	bySeed := slices.Clone(runs)
	slices.SortStableFunc(bySeed, func(a, b store.Run) int { return cmp.Compare(a.Seed, b.Seed) })
	for _, g := range groupBy(bySeed, func(run store.Run) string { return seedName(run.Seed) }) {
		filled := 0
		for _, p := range places {
			if slices.ContainsFunc(g.runs, p.holds) {
				filled++
			}
		}
		if filled > most {
			best, most = g.runs, filled
		}
	}
	return best
}

// newest keeps the last run of each place, subject, setting and seed. Runs of
// two kinds can stand in one place, and what was run at another time scale, or
// in virtual time, is the same experiment.
func (s sheet) newest(runs []store.Run) []store.Run {
	type spot struct {
		place             int
		subject, settings string
		seed              uint64
	}
	at := func(run store.Run) spot {
		i := slices.IndexFunc(s.places, func(p place) bool { return p.holds(run) })
		return spot{i, s.subject(run), settingsOf(run), run.Seed}
	}
	last := map[spot]string{}
	for _, run := range runs {
		last[at(run)] = run.Run
	}
	return slices.DeleteFunc(runs, func(run store.Run) bool { return last[at(run)] != run.Run })
}

// subjects is what runs of different figures differ in.
func (s sheet) subjects() string {
	if s.traces {
		return "models"
	}
	return "models or traces"
}

// findFinished returns the run that the query names, if it can be drawn.
func (s sheet) findFinished(ctx context.Context, r store.Reader, q Query) (store.Run, error) {
	run, err := store.FindRun(ctx, r, q.Run)
	switch {
	case errors.Is(err, store.ErrNoRun):
		return run, s.refuseWithRuns(ctx, r, fmt.Sprintf("plot %s: the store has no run %s", s.name, q.Run))
	case err != nil:
		return run, fmt.Errorf("plot %s: %w", s.name, err)
	case !slices.Contains(s.kinds, experiment.Kind(run.Kind)):
		return run, &RefusedError{Reason: fmt.Sprintf("plot %s: run %s is of kind %s, not %s", s.name, q.Run, run.Kind, s.kindNames())}
	case !s.shows(run):
		return run, &RefusedError{Reason: fmt.Sprintf("plot %s: %s on %s has no place on this figure", s.name, describe(run), run.Trace)}
	case run.Status != "finished":
		return run, &RefusedError{Reason: fmt.Sprintf("plot %s: run %s is %s; only finished runs are drawn", s.name, q.Run, run.Status)}
	}
	for _, f := range []struct{ name, asked, has string }{
		{"model", q.Model, run.Model}, {"trace", q.Trace, run.Trace},
		{"arrivals", q.Arrivals, run.Arrivals}, {"quirks", q.Quirks, run.Quirks},
		{"seed", seedName(q.Seed), seedName(run.Seed)},
	} {
		if f.asked != "" && f.asked != f.has {
			return run, &RefusedError{Reason: fmt.Sprintf("plot %s: run %s has %s %s, not %s; leave one of the two away", s.name, q.Run, f.name, f.has, f.asked)}
		}
	}
	return run, nil
}

// group is a set of runs that can be drawn together.
type group struct {
	name string
	runs []store.Run
}

// groupBy puts runs with equal names together, in the order of first met.
func groupBy(runs []store.Run, name func(store.Run) string) []group {
	var groups []group
	for _, run := range runs {
		i := slices.IndexFunc(groups, func(g group) bool { return g.name == name(run) })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{name: name(run)})
		}
		groups[i].runs = append(groups[i].runs, run)
	}
	return groups
}
