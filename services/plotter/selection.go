package plotter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
)

// selectRuns returns the newest finished run of each approach and seed, oldest
// first. There is at least one, and all have the same model, trace and
// settings.
func selectRuns(ctx context.Context, r store.Reader, q Query) ([]store.Run, error) {
	want := func(store.Run) bool { return true }
	if q.Run != "" {
		like, err := findFinished(ctx, r, q)
		if err != nil {
			return nil, err
		}
		q.Model, q.Trace, q.Arrivals, q.Quirks = like.Model, like.Trace, like.Arrivals, like.Quirks
		want = func(run store.Run) bool { return settingsOf(run) == settingsOf(like) }
	}
	runs, err := store.LatestFinished(ctx, r, store.Filter{Kind: string(experiment.EndToEnd), Model: q.Model, Trace: q.Trace})
	if err != nil {
		return nil, fmt.Errorf("plot e2e: %w", err)
	}
	runs = slices.DeleteFunc(runs, func(run store.Run) bool {
		return !want(run) || q.Arrivals != "" && run.Arrivals != q.Arrivals || q.Quirks != "" && run.Quirks != q.Quirks ||
			!slices.Contains(approaches(), experiment.Approach(run.Approach))
	})
	if len(runs) == 0 {
		return nil, refuseNothing(ctx, r, q)
	}
	if panels := groupBy(runs, func(run store.Run) string { return run.Model + " on " + run.Trace }); len(panels) > 1 {
		return nil, refuseChoice("are of different models or traces", "-m MODEL, -t TRACE", panels)
	}
	if groups := groupBy(runs, settingsOf); len(groups) > 1 {
		return nil, refuseChoice("differ in their settings", "--arrivals, --quirks or --run RUN", named(groups))
	}
	return runs, nil
}

// findFinished returns the run that the query names, if it can be drawn.
func findFinished(ctx context.Context, r store.Reader, q Query) (store.Run, error) {
	run, err := store.FindRun(ctx, r, q.Run)
	switch {
	case errors.Is(err, store.ErrNoRun):
		return run, refuseWithRuns(ctx, r, fmt.Sprintf("plot e2e: the store has no run %s", q.Run))
	case err != nil:
		return run, fmt.Errorf("plot e2e: %w", err)
	case run.Kind != string(experiment.EndToEnd):
		return run, &RefusedError{fmt.Sprintf("plot e2e: run %s is of kind %s, not e2e", q.Run, run.Kind)}
	case run.Status != "finished":
		return run, &RefusedError{fmt.Sprintf("plot e2e: run %s is %s; only finished runs are drawn", q.Run, run.Status)}
	}
	for _, f := range []struct{ name, asked, has string }{
		{"model", q.Model, run.Model}, {"trace", q.Trace, run.Trace},
		{"arrivals", q.Arrivals, run.Arrivals}, {"quirks", q.Quirks, run.Quirks},
	} {
		if f.asked != "" && f.asked != f.has {
			return run, &RefusedError{fmt.Sprintf("plot e2e: run %s has %s %s, not %s; leave one of the two away", q.Run, f.name, f.has, f.asked)}
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

// settingsOf is all that makes runs of one model and trace comparable.
func settingsOf(run store.Run) string {
	return run.Arrivals + "\x00" + run.Quirks + "\x00" + run.Settings
}

// named names each group by arrivals and quirks, and by the further settings
// in which the groups differ.
func named(groups []group) []group {
	values := map[string]map[string]bool{} // of each setting; "" where a group lacks it
	for _, g := range groups {
		for key := range settings(g.runs[0]) {
			values[key] = map[string]bool{}
		}
	}
	for key, seen := range values {
		for _, g := range groups {
			seen[settings(g.runs[0])[key]] = true
		}
	}
	out := make([]group, len(groups))
	for i, g := range groups {
		parts := []string{"arrivals " + g.runs[0].Arrivals, "quirks " + g.runs[0].Quirks}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if len(values[key]) > 1 {
				parts = append(parts, key+" "+cmp.Or(settings(g.runs[0])[key], "unset"))
			}
		}
		out[i] = group{strings.Join(parts, ", "), g.runs}
	}
	return out
}

// settings are the further settings of a run by their names.
func settings(run store.Run) map[string]string {
	if run.Settings == "" {
		return nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(run.Settings), &raw); err != nil {
		return map[string]string{"settings": run.Settings}
	}
	out := make(map[string]string, len(raw))
	for key, value := range raw {
		out[key] = string(value)
	}
	return out
}

// refuseChoice lists groups of runs that are not drawn together.
func refuseChoice(how, choose string, groups []group) error {
	var b strings.Builder
	fmt.Fprintf(&b, "plot e2e: the finished runs %s, so they are not drawn together; choose with %s:", how, choose)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n  %s: ", g.name)
		for i, run := range g.runs {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(describe(run))
		}
	}
	return &RefusedError{b.String()}
}

// refuseNothing says what there is instead and how to make what was asked for.
func refuseNothing(ctx context.Context, r store.Reader, q Query) error {
	command := fmt.Sprintf("spotserve e2e spotserve %s %s", cmp.Or(q.Model, "20B"), cmp.Or(q.Trace, "As"))
	asked := "no finished e2e run"
	if q.Model != "" {
		asked += " of model " + q.Model
	}
	if q.Trace != "" {
		asked += " on trace " + q.Trace
	}
	if q.Arrivals != "" {
		asked += " with arrivals " + q.Arrivals
		command += " --arrivals " + q.Arrivals
	}
	if q.Quirks != "" {
		asked += " with quirks " + q.Quirks
		command += " --quirks " + q.Quirks
	}
	return refuseWithRuns(ctx, r, fmt.Sprintf("plot e2e: the store has %s; make one with: %s", asked, command))
}

// mostListed bounds the runs that a refusal lists.
const mostListed = 10

// refuseWithRuns adds the newest end-to-end runs of the store to a reason.
func refuseWithRuns(ctx context.Context, r store.Reader, reason string) error {
	runs, err := store.ListRuns(ctx, r)
	if err != nil {
		return fmt.Errorf("plot e2e: %w", err)
	}
	runs = slices.DeleteFunc(runs, func(run store.Run) bool { return run.Kind != string(experiment.EndToEnd) })
	if len(runs) == 0 {
		return &RefusedError{reason + "\nit has no e2e runs at all"}
	}
	var b strings.Builder
	b.WriteString(reason + "\nits e2e runs, the newest first:")
	slices.Reverse(runs)
	for _, run := range runs[:min(len(runs), mostListed)] {
		fmt.Fprintf(&b, "\n  %s: %s on %s, arrivals %s, quirks %s, %s", describe(run), run.Model, run.Trace, run.Arrivals, run.Quirks, run.Status)
	}
	if more := len(runs) - mostListed; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return &RefusedError{b.String()}
}

func describe(run store.Run) string {
	return fmt.Sprintf("%s (%s, seed %d)", run.Run, run.Approach, run.Seed)
}
