package catalog

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// The settings of a run that names none.
const (
	defaultSeed      = 1
	defaultTimeScale = 60
)

// withoutMigrationPlanner is the lowest ablation level that has none.
const withoutMigrationPlanner = 2

// maxRateWindowS bounds the window of the arrival-rate estimate.
const maxRateWindowS = 3600

// experiment returns the settings of the kind of experiment that start asks
// for, and refuses settings that this kind does not have.
func (lib *library) experiment(start event.StartExperiment) (experimentFile, error) {
	const what = "experiment"
	kind := string(start.Experiment)
	settings, ok := lib.experiments[kind]
	if !ok {
		return settings, refuseUnknown(what, kind, append(sorted(lib.experiments), string(experiment.Custom)))
	}
	is := func(k experiment.Kind) bool { return start.Experiment == k }
	foreign := []struct {
		what string
		got  string
		set  bool
	}{
		{"trace", start.Trace, start.Trace != "" && is(experiment.OnDemand)},
		{"nodes", strconv.Itoa(start.Nodes), start.Nodes != 0 && !is(experiment.OnDemand)},
		{"level", strconv.Itoa(start.Level), start.Level != 0 && !is(experiment.Ablation)},
		{"yaml", "...", start.YAML != ""},
		{"min GPUs without migration planner", "true", start.Options.MinGPUsWithoutMigrationPlanner && !is(experiment.Ablation)},
	}
	for _, f := range foreign {
		if f.set {
			return settings, &RefusedError{What: f.what, Got: f.got, Reason: "is no setting of experiment " + kind}
		}
	}
	return settings, nil
}

// choose checks a name; where there is only one it may be left out.
func choose(what, got string, allowed []string) (string, error) {
	if got == "" && len(allowed) == 1 {
		return allowed[0], nil
	}
	if !slices.Contains(allowed, got) {
		return "", refuseUnknown(what, got, allowed)
	}
	return got, nil
}

// traceOf returns the catalogue's name of the trace that start asks for.
func (lib *library) traceOf(start event.StartExperiment, settings experimentFile) (string, error) {
	if start.Experiment != experiment.OnDemand {
		names := settings.traceNames()
		name, err := choose("trace", start.Trace, names)
		if err != nil {
			return "", err
		}
		return settings.Traces[slices.Index(names, name)], nil
	}
	if name, ok := lib.fleets()[start.Nodes]; ok {
		return name, nil
	}
	return "", refuseNumber("fleet size", start.Nodes, Fleets())
}

// levelOf returns the ablation level that start asks for, 0 elsewhere.
func levelOf(start event.StartExperiment, settings experimentFile) (int, error) {
	if start.Experiment != experiment.Ablation {
		return 0, nil
	}
	if start.Level >= 0 && start.Level < len(settings.Levels) {
		return start.Level, nil
	}
	var levels []int
	for level := range settings.Levels {
		levels = append(levels, level)
	}
	return 0, refuseNumber("ablation level", start.Level, levels)
}

// options checks the options of start and fills in what they leave open.
func options(o event.StartOptions, settings experimentFile) (event.StartOptions, error) {
	if o.Seed == 0 {
		o.Seed = defaultSeed
	}
	if o.TimeScale == 0 {
		o.TimeScale = defaultTimeScale
	}
	if !(o.TimeScale > 0) || math.IsInf(o.TimeScale, 1) {
		return o, &RefusedError{What: "time scale", Got: fmt.Sprint(o.TimeScale), Reason: "is not a positive, finite number of experiment seconds a second"}
	}
	if o.Quirks == "" {
		o.Quirks = string(experiment.QuirksNone)
	}
	if !slices.Contains(QuirkSettings(), o.Quirks) {
		return o, refuseUnknown("quirks setting", o.Quirks, QuirkSettings())
	}
	if o.Batching == "" {
		o.Batching = string(settings.Batching)
	}
	if !slices.Contains(Batchings(), o.Batching) {
		return o, refuseUnknown("batching", o.Batching, Batchings())
	}
	if o.PoolDepth == 0 {
		o.PoolDepth = settings.PoolDepth
	}
	if o.PoolDepth < 1 || o.PoolDepth > maxPoolDepth {
		return o, &RefusedError{What: "pool depth", Got: strconv.Itoa(o.PoolDepth), Reason: fmt.Sprintf("is not a number of batches of 1 to %d", maxPoolDepth)}
	}
	if !(o.RateWindowS >= 0 && o.RateWindowS <= maxRateWindowS) {
		return o, &RefusedError{What: "rate window", Got: fmt.Sprint(o.RateWindowS), Reason: fmt.Sprintf("is not a number of seconds of 0 (keep to the script) to %d", maxRateWindowS)}
	}
	return arrivalOptions(o, settings)
}

// arrivalOptions settles where the requests come from.
func arrivalOptions(o event.StartOptions, settings experimentFile) (event.StartOptions, error) {
	const what = "arrivals kind"
	switch {
	case o.Arrivals != "" && !slices.Contains(ArrivalKinds(), o.Arrivals):
		return o, refuseUnknown(what, o.Arrivals, ArrivalKinds())
	case o.ArrivalsFile != "" && o.Arrivals != "" && o.Arrivals != arrivalsFromFile:
		return o, &RefusedError{What: what, Got: o.Arrivals, Reason: "does not go with an arrivals file", Allowed: []string{arrivalsFromFile}}
	case o.ArrivalsFile == "" && o.Arrivals == arrivalsFromFile:
		return o, &RefusedError{What: what, Got: o.Arrivals, Reason: "needs the path of an arrivals file"}
	case o.ArrivalsFile != "":
		o.Arrivals = arrivalsFromFile
	case o.Arrivals == "":
		o.Arrivals = string(settings.Arrivals)
	}
	return o, nil
}
