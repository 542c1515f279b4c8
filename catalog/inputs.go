package catalog

import (
	"fmt"

	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/lengths"
)

// arrivalsFromFile is the arrivals kind of a run that reads them from a file.
const arrivalsFromFile = "file"

// file is a published experiment as an experiment file, but for its parts.
func (e experimentFile) file(w workloadFile, o event.StartOptions) customFile {
	f := newCustomFile()
	f.Name, f.Source = o.Name, e.Source
	f.Seed, f.TimeScale, f.Drain = o.Seed, o.TimeScale, o.Drain
	f.Quirks = experiment.Quirks(o.Quirks)
	f.GraceS = e.GraceS
	f.RequiredThroughputRPS, f.Headroom, f.RateWindowS = w.RequiredThroughputRPS, w.headroom(), o.RateWindowS
	f.Batching, f.BatchLimit, f.PoolDepth = experiment.Batching(o.Batching), e.BatchLimit, o.PoolDepth
	f.CommitIntervalTokens, f.MigrationBufferGiB = e.CommitIntervalTokens, e.MigrationBufferGiB
	f.Arrivals = arrivalSource{Kind: o.Arrivals, RateRPS: w.ArrivalRateRPS, CV: e.ArrivalCV}
	f.Arrivals.PromptTokens.Distribution = lengths.Distribution{Kind: lengths.Fixed, Tokens: e.PromptTokens}
	f.Arrivals.OutputTokens.Distribution = lengths.Distribution{Kind: lengths.Fixed, Tokens: e.OutputTokens}
	return f
}

// publishedProfile takes the profile from a file, else the catalogue's own for
// model and GPU. The model has the dimensions of its profile.
func (r *resolved) publishedProfile(lib *library, path string) error {
	if path == "" {
		r.profile = lib.profiles[lib.profile(r.model.Name, r.instance.GPU)]
		r.model = r.model.withProfile(r.profile).on(r.instance.GPU)
		return nil
	}
	var err error
	if r.profile, err = readFile(path, readProfile); err != nil {
		return fmt.Errorf("profile file: %w", err)
	}
	r.profile.Model, r.profile.GPU = r.model.Name, r.instance.GPU
	r.model = r.model.withProfile(r.profile).on(r.instance.GPU)
	if limit := r.file.BatchLimit; r.profile.maxBatch() < limit {
		return &FileError{File: path, Reason: fmt.Sprintf("the largest batch is %d, the experiment's batch limit is %d", r.profile.maxBatch(), limit)}
	}
	return nil
}

// publishedTrace takes the fleet from a file, else from the trace. How nodes
// were bought follows the trace's rule in both cases.
func (r *resolved) publishedTrace(lib *library, trace traceFile, path string) (err error) {
	r.trace = tracePart{label: trace.Name, source: trace.Source}
	if path == "" {
		r.trace.fleet, err = trace.availability()
	} else {
		r.trace.label, r.trace.source = path, path
		r.trace.fleet, err = newFiles().availability(path)
	}
	if err == nil {
		err = r.trace.fleet.checkEnd()
	}
	if err != nil {
		return fmt.Errorf("availability file: %w", err)
	}
	var parent Availability
	if trace.Market == mixed {
		if parent, err = lib.traces[trace.Parent].availability(); err != nil {
			return err
		}
	}
	r.trace.changes = r.trace.fleet.withMarkets(trace.Market, parent, r.instance.GPUs)
	return nil
}

// publishedArrivals takes the requests from a file, or plans to generate them.
// Only requests before the end of the trace are kept.
func (r *resolved) publishedArrivals(rates ratesFile, path string) error {
	f, end := &r.file.Arrivals, r.trace.fleet.End
	r.arrivals.prompts, r.arrivals.outputs = planned(f.PromptTokens.Distribution), planned(f.OutputTokens.Distribution)
	if path != "" {
		recorded, err := newFiles().arrivals(path)
		if err != nil {
			return fmt.Errorf("arrivals file: %w", err)
		}
		if err := r.arrivals.take(path, recorded, rescaleFile{}, end); err != nil {
			return err
		}
		f.File, f.RateRPS, f.CV = path, 0, 0
		return nil
	}
	f.RatesRPS = rates.RatesRPS
	if rates.Name != "" {
		f.Source = rates.Source
	}
	r.arrivals.process = arrival.Process{Kind: arrival.Kind(f.Kind), Rate: f.RateRPS, Rates: f.RatesRPS, CV: f.CV}
	r.arrivals.rate = r.arrivals.process.Mean(end)
	return nil
}
