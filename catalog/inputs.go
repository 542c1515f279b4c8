package catalog

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/experiment"
)

// arrivalsFromFile is the arrivals kind of a run that reads them from a file.
const arrivalsFromFile = "file"

// loadProfile takes the profile from the file that the options name, else the
// catalogue's own for model and GPU.
func (r *resolved) loadProfile(lib *library) error {
	path := r.options.ProfileFile
	if path == "" {
		r.profile = lib.profiles[lib.profile(r.workload.Model, r.instance.GPU)]
		return nil
	}
	var err error
	if r.profile, err = readFile(path, readProfile); err != nil {
		return fmt.Errorf("profile file: %w", err)
	}
	r.profile.Model, r.profile.GPU = r.workload.Model, r.instance.GPU
	if r.profile.maxBatch() < r.settings.BatchLimit {
		return &FileError{File: path, Reason: fmt.Sprintf("the largest batch is %d, the experiment's batch limit is %d", r.profile.maxBatch(), r.settings.BatchLimit)}
	}
	return nil
}

// loadTrace takes the fleet from the file that the options name, else from the
// trace. How nodes were bought follows the trace's rule in both cases.
func (r *resolved) loadTrace(lib *library, trace traceFile) (err error) {
	r.trace = tracePart{source: trace.Source, rule: trace.Market, parent: trace.Parent}
	path := r.options.AvailabilityFile
	switch {
	case path == "":
		r.trace.fleet, err = trace.availability()
	case strings.EqualFold(filepath.Ext(path), ".csv"):
		r.trace.fleet, err = readFile(path, ReadAvailabilityCSV)
	default:
		r.trace.fleet, err = readFile(path, ReadAvailability)
	}
	if err != nil {
		return fmt.Errorf("availability file: %w", err)
	}
	if path != "" {
		r.trace.source = path
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

// loadArrivals takes the requests from the file that the options name, or
// generates them. Only requests before the end of the trace are kept.
func (r *resolved) loadArrivals(lib *library) error {
	end := r.trace.fleet.End
	process := arrival.Process{Kind: arrival.Kind(r.options.Arrivals), Rate: r.workload.ArrivalRateRPS, CV: r.settings.ArrivalCV}
	rates := lib.rates[r.workload.ArrivalRates]
	process.Rates = rates.RatesRPS
	r.arrivals.rate, r.arrivals.rates = process.Mean(end), rates.RatesRPS
	if path := r.options.ArrivalsFile; path != "" {
		all, err := readFile(path, ReadArrivals)
		if err != nil {
			return fmt.Errorf("arrivals file: %w", err)
		}
		for _, a := range all {
			if a.At < end {
				a.OutputTokens = r.settings.OutputTokens
				r.arrivals.list = append(r.arrivals.list, a)
			}
		}
		if len(r.arrivals.list) == 0 {
			return &FileError{File: path, Reason: fmt.Sprintf("no request arrives before the trace's end at %v", end)}
		}
		r.arrivals.source = path
		return nil
	}
	times, err := process.Times(r.options.Seed, end)
	if err != nil {
		return err
	}
	for _, at := range times {
		r.arrivals.list = append(r.arrivals.list, experiment.Arrival{At: at, PromptTokens: r.settings.PromptTokens, OutputTokens: r.settings.OutputTokens})
	}
	r.arrivals.source = "generated"
	if rates.Name != "" {
		r.arrivals.source += " at the rates of " + rates.Source
	}
	return nil
}

func readFile[T any](path string, read func(name string, r io.Reader) (T, error)) (T, error) {
	file, err := os.Open(path)
	if err != nil {
		var none T
		return none, err
	}
	defer func() { _ = file.Close() }() // only read from: nothing to lose
	return read(path, file)
}
