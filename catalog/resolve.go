package catalog

import (
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
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
	level    int // of an ablation
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
	rate   float64   // mean until the end, requests/s
	rates  []float64 // one a minute; none if the rate is one
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
	if r.options, err = options(start.Options, settings); err != nil {
		return nil, err
	}
	if r.level, err = levelOf(start, settings); err != nil {
		return nil, err
	}
	approach, err := choose("approach", start.Approach, asStrings(settings.Approaches))
	if err != nil {
		return nil, err
	}
	model, err := choose("model", start.Model, settings.models())
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
	r.model = lib.models[model].withProfile(r.profile).on(r.instance.GPU)
	if r.options.MinGPUsWithoutMigrationPlanner && r.level >= withoutMigrationPlanner {
		r.model.MinGPUs = r.model.MinGPUsWithoutMigrationPlanner
	}
	if err := r.loadTrace(lib, lib.traces[trace]); err != nil {
		return nil, err
	}
	if err := r.loadArrivals(lib); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *resolved) spec() experiment.Spec {
	return experiment.Spec{
		Kind:               r.kind,
		Name:               r.options.Name,
		Approach:           r.approach,
		Trace:              r.trace.fleet.Name,
		Level:              r.level,
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
		ArrivalRate:        r.arrivals.rate,
		RequiredThroughput: r.workload.RequiredThroughputRPS,
		BatchLimit:         r.settings.BatchLimit,
		Batching:           experiment.Batching(r.options.Batching),
		PoolDepth:          r.options.PoolDepth,
		PromptTokens:       r.settings.PromptTokens,
		OutputTokens:       r.settings.OutputTokens,
		CommitInterval:     r.settings.CommitIntervalTokens,
		LargestFleet:       r.trace.fleet.largest() * r.instance.GPUs,
		MigrationBuffer:    gibibytes(r.settings.MigrationBufferGiB),
		RateWindow:         vtime.Duration(r.options.RateWindowS),
		Headroom:           r.workload.headroom(),
		Nodes:              r.trace.fleet.Nodes(),
		End:                r.trace.fleet.End,
	}
}

func (r *resolved) timeline() experiment.Timeline {
	return experiment.Timeline{Changes: r.trace.changes, Arrivals: r.arrivals.list, End: r.trace.fleet.End}
}
