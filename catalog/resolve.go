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

// resolved is an experiment with all that it names: an experiment file, which a
// published experiment is too, and its parts.
type resolved struct {
	kind     experiment.Kind
	file     customFile
	model    modelFile
	profile  profileFile
	instance instanceFile
	engine   engineFile
	trace    tracePart
	arrivals arrivalsPart
	// transformer is what workers compute tokens with; zero where they do not.
	transformer transformerFile
}

func resolve(lib *library, start event.StartExperiment) (*resolved, error) {
	settle := resolvePublished
	if start.Experiment == experiment.Custom {
		settle = resolveCustom
	}
	r, err := settle(lib, start)
	if err != nil {
		return nil, err
	}
	if err := r.loadArrivals(); err != nil {
		return nil, err
	}
	return r, nil
}

// resolvePublished settles a published experiment, with the options of a start.
func resolvePublished(lib *library, start event.StartExperiment) (*resolved, error) {
	settings, err := lib.experiment(start)
	if err != nil {
		return nil, err
	}
	o, err := options(start.Options, settings)
	if err != nil {
		return nil, err
	}
	level, err := levelOf(start, settings)
	if err != nil {
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
	w := settings.workload(model)
	r := &resolved{
		kind:     start.Experiment,
		file:     settings.file(w, o),
		instance: lib.instances[settings.Instance],
		engine:   lib.engines[settings.Engine],
		model:    lib.models[model],
	}
	r.file.Approach, r.file.Level = experiment.Approach(approach), level
	if err := r.publishedProfile(lib, o.ProfileFile); err != nil {
		return nil, err
	}
	if o.MinGPUsWithoutMigrationPlanner && level >= withoutMigrationPlanner {
		r.model.MinGPUs = r.model.MinGPUsWithoutMigrationPlanner
	}
	if err := r.publishedTrace(lib, lib.traces[trace], o.AvailabilityFile); err != nil {
		return nil, err
	}
	if err := r.publishedArrivals(lib.rates[w.ArrivalRates], o.ArrivalsFile); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *resolved) spec() experiment.Spec {
	f := r.file
	spec := experiment.Spec{
		Kind:               r.kind,
		Name:               f.Name,
		Approach:           f.Approach,
		Trace:              r.trace.label,
		Level:              f.Level,
		Arrivals:           f.Arrivals.Kind,
		Quirks:             f.Quirks,
		Seed:               f.Seed,
		TimeScale:          f.TimeScale,
		Drain:              f.Drain,
		Model:              r.model.model(),
		Profile:            r.profile.profile(),
		Instance:           r.instance.instanceType(),
		Engine:             r.engine.costs(),
		Delays:             r.engine.delays(),
		Grace:              vtime.Duration(f.GraceS),
		ArrivalRate:        r.arrivals.rate,
		RequiredThroughput: f.RequiredThroughputRPS,
		BatchLimit:         f.BatchLimit,
		Batching:           f.Batching,
		PoolDepth:          f.PoolDepth,
		PromptTokens:       r.arrivals.prompts.mean,
		OutputTokens:       r.arrivals.outputs.mean,
		LongestPrompt:      r.arrivals.prompts.bound(),
		LongestOutput:      r.arrivals.outputs.bound(),
		CommitInterval:     f.CommitIntervalTokens,
		LargestFleet:       r.largestFleet(),
		MigrationBuffer:    gibibytes(f.MigrationBufferGiB),
		RateWindow:         vtime.Duration(f.RateWindowS),
		Headroom:           f.Headroom,
		Limits:             f.Limits.limits(),
		SLOP99:             vtime.Duration(f.SLOP99S),
		Sweep:              f.SweepPoint.values,
		Transformer:        r.computed(),
		Nodes:              r.nodes(),
		End:                r.trace.fleet.End,
	}
	if r.transforms() {
		spec.Compute = experiment.Transformer
	}
	if f.Objective != experiment.MinLatency {
		spec.Objective = f.Objective
	}
	if f.Provision.Mode == experiment.ClosedLoop {
		spec.Provision, spec.Provisioning = experiment.ClosedLoop, r.provisioning()
	}
	return spec
}

// provisioning bounds what a closed loop asks for; zero where there is none.
func (r *resolved) provisioning() experiment.Provisioning {
	p := r.file.Provision
	if p.Mode != experiment.ClosedLoop {
		return experiment.Provisioning{}
	}
	return experiment.Provisioning{
		MaxInstances:  p.MaxInstances,
		CandidatePool: p.CandidatePool,
		OnDemand:      p.OnDemand,
		SpotStart:     vtime.Duration(p.SpotStartS),
		OnDemandStart: vtime.Duration(p.OnDemandStartS),
	}
}

func (r *resolved) timeline() experiment.Timeline {
	return experiment.Timeline{Changes: r.trace.changes, Arrivals: r.arrivals.list, End: r.trace.fleet.End}
}
