package plotter

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
)

// customRuns returns, of the runs of a custom experiment, the newest finished
// one of each point of its sweep and seed, in the order of their start. The
// newest run tells which keys the sweep has: points with others are of another
// version of the experiment and left out. So are, at each point, the seeds that
// are of another model, trace, approach or setting than the point's newest run.
func customRuns(all []store.Run, name string) []store.Run {
	runs := slices.DeleteFunc(slices.Clone(all), func(run store.Run) bool {
		return run.Kind != string(experiment.Custom) || run.Name != name || run.Status != "finished"
	})
	if len(runs) == 0 {
		return nil
	}
	keys := sweepKeys(runs[len(runs)-1])
	newest := map[string]store.Run{} // of each point
	last := map[string]string{}      // by point and seed
	for _, run := range runs {
		newest[point(run)] = run
		last[point(run)+"\x00"+seedName(run.Seed)] = run.Run
	}
	return slices.DeleteFunc(runs, func(run store.Run) bool {
		return last[point(run)+"\x00"+seedName(run.Seed)] != run.Run || !slices.Equal(sweepKeys(run), keys) ||
			withoutSeed(run) != withoutSeed(newest[point(run)])
	})
}

// customFigures are those of a run of a custom experiment: of its sweep, or else
// of its requests over time.
func customFigures(ctx context.Context, r store.Reader, run store.Run) ([]Figure, error) {
	if len(SweepOf(run)) > 0 {
		s, err := Sweep(ctx, r, run.Name, nil)
		if err != nil {
			return nil, err
		}
		return []Figure{s.Figure}, nil
	}
	f, err := caseOf(ctx, r, run)
	if err != nil {
		return nil, err
	}
	return []Figure{f}, nil
}

// sweepKeys are the keys of the sweep that a run is of.
func sweepKeys(run store.Run) []string {
	var keys []string
	for _, s := range SweepOf(run) {
		keys = append(keys, s.Key)
	}
	return keys
}

// point names the point of a sweep.
func point(run store.Run) string {
	var b strings.Builder
	for _, s := range SweepOf(run) {
		b.WriteString(s.Key + "\x00" + s.Value + "\x00")
	}
	return b.String()
}

// customNames are the names of the custom experiments, in the order of first
// met.
func customNames(all []store.Run) []string {
	var names []string
	for _, run := range all {
		if run.Kind == string(experiment.Custom) && run.Name != "" && !slices.Contains(names, run.Name) {
			names = append(names, run.Name)
		}
	}
	return names
}

// refuseUnknownRun says that a name is of nothing, and what there is.
func refuseUnknownRun(what, name string, all []store.Run) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: the store has no run and no finished run of a custom experiment named %q", what, name)
	if names := customNames(all); len(names) > 0 {
		fmt.Fprintf(&b, "\nits custom experiments: %s", strings.Join(names[max(len(names)-mostListed, 0):], ", "))
	}
	if len(all) > 0 {
		newest := slices.Clone(all[max(len(all)-mostListed, 0):])
		slices.Reverse(newest)
		b.WriteString("\nits newest runs:")
		for _, run := range newest {
			fmt.Fprintf(&b, "\n  %s: %s on %s, %s", describe(run), run.Model, run.Trace, run.Status)
		}
	}
	return &RefusedError{Reason: b.String(), NoRuns: true}
}
