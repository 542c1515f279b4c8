package cli

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/result"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/stack"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
)

// experimentFlags are the settings of one run.
type experimentFlags struct {
	options    event.StartOptions
	rateWindow time.Duration
	pace       pace
}

func (f *experimentFlags) add(cmd *cobra.Command, c experimentCommand) {
	f.addOptions(cmd, c)
	f.pace.add(cmd)
}

// addOptions adds the flags that say what the experiment is.
func (f *experimentFlags) addOptions(cmd *cobra.Command, c experimentCommand) {
	fs := cmd.Flags()
	fs.Float64Var(&f.options.TimeScale, "time-scale", 60, "experiment seconds a wall second")
	fs.Uint64Var(&f.options.Seed, "seed", 1, "seed of arrivals and jitter")
	fs.StringVar(&f.options.Arrivals, "arrivals", "", "arrival kind: "+list(catalog.ArrivalKinds())+" (default: the experiment's)")
	fs.StringVar(&f.options.Quirks, "quirks", "none", "known flaws of the published artifact: "+list(catalog.QuirkSettings()))
	fs.StringVar(&f.options.Batching, "batching", "", "who gets requests: "+list(catalog.Batchings())+" (default: the experiment's)")
	fs.IntVar(&f.options.PoolDepth, "pool-depth", 0, "batches that a pipeline's pool holds; the artifact has 2 for the baselines (default: the experiment's, 1)")
	fs.DurationVar(&f.rateWindow, "rate-window", 0, "require the arrival rate of this last while, with headroom, instead of what the script says (default: the script)")
	fs.StringVar(&f.options.Name, "name", "", "a name of yours for the run")
	fs.BoolVar(&f.options.Drain, "drain", false, "run on until every accepted request is answered")
	fs.StringVar(&f.options.AvailabilityFile, "availability-file", "", "replay this availability trace: JSON lines as the artifact has them, or CSV")
	fs.StringVar(&f.options.ArrivalsFile, "arrivals-file", "", "replay these arrivals: the artifact's format, or a CSV of requests")
	fs.StringVar(&f.options.ProfileFile, "profile-file", "", "use this latency profile, in the artifact's format")
	if c.flags != nil {
		c.flags(fs, &f.options)
	}
}

// startOptions are the options as a start carries them.
func (f *experimentFlags) startOptions() event.StartOptions {
	o := f.options
	o.RateWindowS = f.rateWindow.Seconds()
	return o
}

// check refuses what a start would take for "not given".
func (f *experimentFlags) check() error {
	switch {
	case f.options.Seed == 0:
		return usagef("--seed 0: allowed are whole numbers from 1 on")
	case f.options.TimeScale == 0:
		return usagef("--time-scale 0: allowed are numbers above 0; --virtual takes no time")
	}
	return nil
}

// experiment runs one experiment and prints its result.
func (a *app) experiment(ctx context.Context, start event.StartExperiment, f *experimentFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	start.Options = f.startOptions()
	// Paths mean this process's folder, whoever reads the files.
	for _, path := range []*string{&start.Options.AvailabilityFile, &start.Options.ArrivalsFile, &start.Options.ProfileFile} {
		if err := absolute(path); err != nil {
			return err
		}
	}
	if a.nats == "" || f.pace.virtual {
		// Nothing is opened or started for what is wrong. Services elsewhere
		// have a catalogue of their own.
		if _, _, err := catalog.Resolve(start); err != nil {
			return err
		}
	}
	runs, err := a.makeRuns(ctx, []event.StartExperiment{start}, f.pace)
	if err != nil && !errors.Is(err, errInterrupted) {
		return err
	}
	for _, m := range runs {
		if err := a.report(context.WithoutCancel(ctx), m); err != nil {
			return err
		}
	}
	return err
}

func absolute(path *string) (err error) {
	if *path != "" {
		*path, err = filepath.Abs(*path)
	}
	return err
}

// report prints the result of a run. A run without a figure gets one.
func (a *app) report(ctx context.Context, m made) error {
	return a.reader(ctx, func(r store.Reader) error {
		res, err := result.Load(ctx, r, m.run)
		if err != nil {
			return err
		}
		res.Store = redacted(a.storeURL)
		if m.figures == nil && res.Status == "finished" {
			if m.figures, err = a.draw(ctx, r, m.run); err != nil {
				return err
			}
		}
		res.Figures = append(res.Figures, m.figures...)
		return a.print(res)
	})
}

// draw saves the figures of a run; a run of a kind without one gets none.
func (a *app) draw(ctx context.Context, r store.Reader, run string) ([]string, error) {
	figures, err := plotter.ForRun(ctx, r, run)
	if refused, ok := errors.AsType[*plotter.RefusedError](err); ok {
		a.logger().Debug("no figure", "run", run, "reason", refused.Reason)
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	files, tasks := drawings(stack.Figures(a.data), figures)
	return files, save(ctx, tasks)
}

func (a *app) print(r result.Result) error {
	if a.output == "json" {
		return r.JSON(a.stdout)
	}
	return r.Text(a.stdout)
}
