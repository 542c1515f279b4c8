package catalog

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// The settings of a run that names none.
const (
	defaultSeed      = 1
	defaultTimeScale = 60
)

// Resolve looks up everything that a start event names and returns what the
// planner and the workers need and what the trace-replayer plays. What the
// catalogue does not have is a RefusedError, a broken file a FileError, both
// possibly wrapped. The result depends on start and on the files that it names,
// on nothing else.
func Resolve(start event.StartExperiment) (experiment.Spec, experiment.Timeline, error) {
	r, err := resolve(builtin(), start)
	if err != nil {
		return experiment.Spec{}, experiment.Timeline{}, err
	}
	return r.spec(), r.timeline(), nil
}

// resolved is an experiment with all that it names.
type resolved struct {
	kind     experiment.Kind
	approach experiment.Approach
	settings experimentFile
	workload workloadFile
	model    modelFile
	profile  profileFile
	instance instanceFile
	engine   engineFile
	options  event.StartOptions
	trace    tracePart
	arrivals arrivalsPart
}

// tracePart is the availability that a run replays.
type tracePart struct {
	source  string
	rule    traceMarket
	parent  string
	fleet   Availability
	changes []experiment.Change // of fleet, with markets
}

// arrivalsPart is the requests that a run gets.
type arrivalsPart struct {
	source string
	list   []experiment.Arrival
}

func resolve(lib *library, start event.StartExperiment) (*resolved, error) {
	settings, err := lib.experiment(start)
	if err != nil {
		return nil, err
	}
	r := &resolved{
		kind:     start.Experiment,
		settings: settings,
		instance: lib.instances[settings.Instance],
		engine:   lib.engines[settings.Engine],
	}
	if r.options, err = withDefaults(start.Options, settings); err != nil {
		return nil, err
	}
	approach, err := choose("approach", start.Approach, asStrings(settings.Approaches), start.Experiment)
	if err != nil {
		return nil, err
	}
	model, err := choose("model", start.Model, settings.models(), start.Experiment)
	if err != nil {
		return nil, err
	}
	trace, err := lib.traceOf(start, settings)
	if err != nil {
		return nil, err
	}
	r.approach = experiment.Approach(approach)
	r.workload = settings.workload(model)
	if err := r.loadProfile(lib); err != nil {
		return nil, err
	}
	r.model = lib.models[model].withProfile(r.profile)
	if err := r.loadTrace(lib, lib.traces[trace]); err != nil {
		return nil, err
	}
	return r, r.loadArrivals()
}

// experiment returns the settings of the kind of experiment that start asks
// for, and refuses settings that this kind does not have.
func (lib *library) experiment(start event.StartExperiment) (experimentFile, error) {
	const what = "experiment"
	kind := string(start.Experiment)
	settings, ok := lib.experiments[kind]
	if !ok {
		if slices.Contains([]experiment.Kind{experiment.Workload, experiment.Ablation, experiment.Custom}, start.Experiment) {
			return settings, &RefusedError{What: what, Got: kind, Reason: "is not run by this build yet", Allowed: sorted(lib.experiments)}
		}
		return settings, refuseUnknown(what, kind, sorted(lib.experiments))
	}
	foreign := []struct {
		what string
		got  string
		set  bool
	}{
		{"trace", start.Trace, start.Experiment == experiment.OnDemand && start.Trace != ""},
		{"nodes", strconv.Itoa(start.Nodes), start.Experiment == experiment.EndToEnd && start.Nodes != 0},
		{"level", strconv.Itoa(start.Level), start.Level != 0},
		{"yaml", "...", start.YAML != ""},
	}
	for _, f := range foreign {
		if f.set {
			return settings, &RefusedError{What: f.what, Got: f.got, Reason: "is no setting of experiment " + kind}
		}
	}
	return settings, nil
}

// choose checks a name. An on-demand experiment may leave it to the catalogue
// where there is only one.
func choose(what, got string, allowed []string, kind experiment.Kind) (string, error) {
	if got == "" && len(allowed) == 1 && kind == experiment.OnDemand {
		return allowed[0], nil
	}
	if !slices.Contains(allowed, got) {
		return "", refuseUnknown(what, got, allowed)
	}
	return got, nil
}

// traceOf returns the name of the trace that start asks for.
func (lib *library) traceOf(start event.StartExperiment, settings experimentFile) (string, error) {
	if start.Experiment != experiment.OnDemand {
		return choose("trace", start.Trace, settings.Traces, start.Experiment)
	}
	fleets := lib.fleets()
	if name, ok := fleets[start.Nodes]; ok {
		return name, nil
	}
	refused := &RefusedError{What: "fleet size", Got: strconv.Itoa(start.Nodes)}
	nearest := math.Inf(1)
	for _, size := range Fleets() {
		refused.Allowed = append(refused.Allowed, strconv.Itoa(size))
		if d := math.Abs(float64(size) - float64(start.Nodes)); d < nearest {
			nearest, refused.Nearest = d, strconv.Itoa(size)
		}
	}
	return "", refused
}

// withDefaults checks the options and fills in what they leave open.
func withDefaults(o event.StartOptions, settings experimentFile) (event.StartOptions, error) {
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
	switch {
	case o.Arrivals != "" && !slices.Contains(ArrivalKinds(), o.Arrivals):
		return o, refuseUnknown("arrivals kind", o.Arrivals, ArrivalKinds())
	case o.ArrivalsFile != "" && o.Arrivals != "" && o.Arrivals != arrivalsFromFile:
		return o, &RefusedError{What: "arrivals kind", Got: o.Arrivals, Reason: "does not go with an arrivals file", Allowed: []string{arrivalsFromFile}}
	case o.ArrivalsFile == "" && o.Arrivals == arrivalsFromFile:
		return o, &RefusedError{What: "arrivals kind", Got: o.Arrivals, Reason: "needs the path of an arrivals file"}
	case o.ArrivalsFile != "":
		o.Arrivals = arrivalsFromFile
	case o.Arrivals == "":
		o.Arrivals = string(settings.Arrivals)
	}
	return o, nil
}

func (r *resolved) spec() experiment.Spec {
	return experiment.Spec{
		Kind:               r.kind,
		Name:               r.options.Name,
		Approach:           r.approach,
		Trace:              r.trace.fleet.Name,
		Arrivals:           r.options.Arrivals,
		Quirks:             experiment.Quirks(r.options.Quirks),
		Seed:               r.options.Seed,
		TimeScale:          r.options.TimeScale,
		Drain:              r.options.Drain,
		Model:              r.model.model(),
		Profile:            r.profile.profile(),
		Instance:           r.instance.instanceType(),
		Engine:             r.engine.costs(),
		Delays:             r.engine.delays(),
		Grace:              vtime.Duration(r.settings.GraceS),
		ArrivalRate:        r.workload.ArrivalRateRPS,
		RequiredThroughput: r.workload.RequiredThroughputRPS,
		BatchLimit:         r.settings.BatchLimit,
		Batching:           r.settings.Batching,
		PoolDepth:          r.settings.PoolDepth,
		PromptTokens:       r.settings.PromptTokens,
		OutputTokens:       r.settings.OutputTokens,
		CommitInterval:     r.settings.CommitIntervalTokens,
		Nodes:              r.trace.fleet.Nodes(),
		End:                r.trace.fleet.End,
	}
}

func (r *resolved) timeline() experiment.Timeline {
	return experiment.Timeline{Changes: r.trace.changes, Arrivals: r.arrivals.list, End: r.trace.fleet.End}
}
