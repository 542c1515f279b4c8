package plotter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
)

// Group is runs that stand in one row of a table, or are one series of a figure:
// one run, or the seeds of one experiment, by seed.
type Group struct {
	Label string // what tells it from the other groups
	Runs  []Measured
}

// traits are all that runs can differ in, in the order in which labels name
// them: identity, point of a sweep, settings, seed, name.
func traits(run store.Run) []Setting {
	all := []Setting{{"experiment", run.Kind}}
	if run.Kind == string(experiment.Custom) {
		all[0].Value = run.Name
	}
	all = append(all, SweepOf(run)...)
	all = append(all, Setting{"approach", run.Approach}, Setting{"model", run.Model}, Setting{"trace", run.Trace}, Setting{"level", fmt.Sprint(run.Level)})
	all = append(all, SettingsOf(run)...)
	return append(all, Setting{"seed", seedName(run.Seed)}, Setting{"run", run.Run})
}

// value returns the value of a trait; "unset" for one that the run lacks.
func value(traits []Setting, key string) string {
	for _, t := range traits {
		if t.Key == key {
			return t.Value
		}
	}
	return "unset"
}

// differences are the keys in which runs differ, in the order of their traits.
func differences(runs []store.Run) []string {
	var keys []string
	values := map[string][]string{}
	all := make([][]Setting, len(runs))
	for i, run := range runs {
		all[i] = traits(run)
		for _, t := range all[i] {
			if _, met := values[t.Key]; !met {
				keys, values[t.Key] = append(keys, t.Key), nil
			}
		}
	}
	for _, key := range keys {
		for _, of := range all {
			values[key] = append(values[key], value(of, key))
		}
	}
	return slices.DeleteFunc(keys, func(key string) bool { return len(slices.Compact(values[key])) == 1 })
}

// agreement tells in which traits runs agree and in which they differ, but for
// some keys.
func agreement(runs []store.Run, ignored []string) (same []Setting, different []string) {
	different = slices.DeleteFunc(differences(runs), func(key string) bool { return slices.Contains(ignored, key) })
	for _, t := range traits(runs[0]) {
		if !slices.Contains(ignored, t.Key) && !slices.Contains(different, t.Key) {
			same = append(same, t)
		}
	}
	return same, different
}

// labels returns what to call runs that stand side by side: as few of the keys
// in which they differ as tell them apart, or the approach where that is none.
func labels(runs []store.Run) []string {
	names := make([]string, len(runs))
	distinct := func() int { return len(slices.Compact(slices.Sorted(slices.Values(names)))) }
	for _, key := range differences(runs) {
		before, told := slices.Clone(names), distinct()
		for i, run := range runs {
			names[i] = strings.TrimPrefix(names[i]+", "+described(key, value(traits(run), key)), ", ")
		}
		if distinct() == told {
			names = before
		}
		if distinct() == len(runs) {
			return names
		}
	}
	for i, run := range runs {
		if names[i] == "" {
			names[i] = label(experiment.Approach(run.Approach))
		}
	}
	return names
}

// described is how a label names a setting.
func described(key, value string) string {
	switch key {
	case "approach":
		return label(experiment.Approach(value))
	case "experiment", "model", "run":
		return value
	case "trace":
		return "on " + value
	}
	return key + " " + value
}

// withoutSeed is all that a run and its repetitions with other seeds have in
// common.
func withoutSeed(run store.Run) string {
	var b strings.Builder
	for _, t := range traits(run) {
		if t.Key != "seed" && t.Key != "run" {
			b.WriteString(t.Key + "\x00" + t.Value + "\x00")
		}
	}
	return b.String()
}

// foldSeeds puts runs together that differ in their seeds only, in the order of
// first met. Of runs of one seed the last counts.
func foldSeeds(runs []store.Run) [][]store.Run {
	var folded [][]store.Run
	for _, g := range groupBy(runs, withoutSeed) {
		var seeds []store.Run
		for _, run := range g.runs {
			if i := slices.IndexFunc(seeds, func(of store.Run) bool { return of.Seed == run.Seed }); i >= 0 {
				seeds[i] = run
			} else {
				seeds = append(seeds, run)
			}
		}
		slices.SortStableFunc(seeds, func(a, b store.Run) int { return cmp.Compare(a.Seed, b.Seed) })
		folded = append(folded, seeds)
	}
	return folded
}
