package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/live"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/progress"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/result"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/stack"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/virtual"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/services/planner"
	"github.com/spotserve/spotserve/services/plotter"
)

// experimentFlags are the settings of one run.
type experimentFlags struct {
	options     event.StartOptions
	rateWindow  time.Duration
	virtual     bool
	reorderWait time.Duration
}

func (f *experimentFlags) add(cmd *cobra.Command, c experimentCommand) {
	f.addOptions(cmd, c)
	fs := cmd.Flags()
	fs.BoolVar(&f.virtual, "virtual", false, "run in virtual time, without a bus")
	fs.DurationVar(&f.reorderWait, "reorder-wait", planner.DefaultReorderWait, "wall time that an overdue event waits for a silent source")
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
	fs.StringVar(&f.options.AvailabilityFile, "availability-file", "", "replay this availability trace, in the artifact's format")
	fs.StringVar(&f.options.ArrivalsFile, "arrivals-file", "", "replay these arrivals, in the artifact's format")
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
	if a.nats == "" || f.virtual {
		// Nothing is opened or started for what is wrong. Services elsewhere
		// have a catalogue of their own.
		if _, _, err := catalog.Resolve(start); err != nil {
			return err
		}
	}
	var run string
	var figures []string
	var stopped bool
	var err error
	switch {
	case f.virtual:
		run, err = a.runVirtual(ctx, start)
	case a.nats != "":
		run, stopped, err = a.runElsewhere(ctx, start)
	default:
		run, figures, stopped, err = a.runHere(ctx, start, f)
	}
	if err != nil {
		return err
	}
	if err := a.report(context.WithoutCancel(ctx), run, figures); err != nil {
		return err
	}
	if stopped {
		return errInterrupted
	}
	return nil
}

func absolute(path *string) (err error) {
	if *path != "" {
		*path, err = filepath.Abs(*path)
	}
	return err
}

func (a *app) runVirtual(ctx context.Context, start event.StartExperiment) (run string, err error) {
	w, err := open.Open(ctx, a.storeURL)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return virtual.Run(ctx, start, w)
}

// runElsewhere starts the run on services that others run.
func (a *app) runElsewhere(ctx context.Context, start event.StartExperiment) (run string, stopped bool, err error) {
	b, err := natsbus.Connect(ctx, natsbus.Options{URL: a.nats, Name: "spotserve-cli", Log: a.logger()})
	if err != nil {
		return "", false, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return a.follow(ctx, b, start)
}

// follow runs the experiment on the bus with its progress on the terminal.
func (a *app) follow(ctx context.Context, b live.Bus, start event.StartExperiment) (run string, stopped bool, err error) {
	show := func(event.Event) {}
	if f, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		state, line := progress.NewState(), progress.NewLine(f)
		show = func(ev event.Event) {
			state.Take(ev)
			line.Show(state)
		}
		defer line.Clear()
	}
	log := a.logger()
	unrecorded := time.AfterFunc(time.Hour, func() {
		log.Warn("the run has finished, but its rows are not stored yet: is a collector running, and its store?")
	})
	unrecorded.Stop()
	defer unrecorded.Stop()
	return live.Run(ctx, b, start, func(ev event.Event) {
		show(ev)
		if _, finished := ev.Body.(event.RunFinished); finished {
			unrecorded.Reset(recordNotice)
		}
	})
}

// drawn is what the plotter says of a run.
type drawn struct {
	run   string
	files []string
	err   error
}

// recordNotice is how long a finished run waits for its rows, in wall time,
// until the user is told what it waits for.
const recordNotice = 10 * time.Second

// drawWait bounds, in wall time, the wait for a run's figure.
const drawWait = time.Minute

// runHere runs all services in this process for the length of one run.
func (a *app) runHere(ctx context.Context, start event.StartExperiment, f *experimentFlags) (run string, figures []string, stopped bool, err error) {
	alive, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	figuresDrawn := make(chan drawn, 64)
	ready := new(obs.Readiness)
	log := a.logger()
	s, err := stack.New(alive, stack.Options{
		Data: a.data, Store: a.storeURL, ReorderWait: f.reorderWait,
		Log: log, Metrics: obs.NewRegistry(), Ready: ready,
		Drawn: func(run string, files []string, err error) {
			select {
			case figuresDrawn <- drawn{run, files, err}:
			default: // nobody waits for that many
			}
		},
	})
	if err != nil {
		return "", nil, false, err
	}
	running := make(chan error, 1)
	go func() {
		err := s.Run(alive, nil)
		if err != nil {
			cancel(fmt.Errorf("services: %w", err))
		}
		running <- err
	}()
	run, figures, stopped, err = a.runOn(ctx, alive, s, ready, start, figuresDrawn)
	if cause := context.Cause(alive); err != nil && cause != nil {
		err = cause
	}
	cancel(nil)
	return run, figures, stopped, errors.Join(err, <-running, s.Close())
}

// runOn runs the experiment on the stack and waits for its figure.
func (a *app) runOn(ctx, alive context.Context, s *stack.Stack, ready *obs.Readiness, start event.StartExperiment, figures <-chan drawn) (run string, files []string, stopped bool, err error) {
	if err := ready.Wait(alive); err != nil {
		return "", nil, false, err
	}
	b, err := s.Connect(alive, "cli")
	if err != nil {
		return "", nil, false, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	// The user's wish ends the run; the end of the services ends the wait.
	wish, done := context.WithCancel(ctx)
	defer done()
	defer context.AfterFunc(alive, done)()
	if run, stopped, err = a.follow(wish, b, start); err != nil || stopped {
		return run, nil, stopped, err
	}
	timeout := time.After(drawWait)
	for {
		select {
		case d := <-figures:
			if d.run == run {
				return run, d.files, false, nil
			}
		case <-timeout:
			return run, nil, false, nil
		case <-ctx.Done():
			return run, nil, true, nil
		}
	}
}

// report prints the result of a run. A run without a figure gets one.
func (a *app) report(ctx context.Context, run string, figures []string) error {
	return a.reader(ctx, func(r store.Reader) error {
		res, err := result.Load(ctx, r, run)
		if err != nil {
			return err
		}
		res.Store = redacted(a.storeURL)
		if figures == nil && res.Status == "finished" {
			if figures, err = a.draw(ctx, r, run); err != nil {
				return err
			}
		}
		res.Figures = append(res.Figures, figures...)
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
	var files []string
	for _, figure := range figures {
		for _, format := range []string{"png", "svg", "pdf"} {
			file := filepath.Join(stack.Figures(a.data), figure.Name+"."+format)
			if err := figure.Save(file); err != nil {
				return nil, err
			}
			files = append(files, file)
		}
	}
	return files, nil
}

func (a *app) print(r result.Result) error {
	if a.output == "json" {
		return r.JSON(a.stdout)
	}
	return r.Text(a.stdout)
}
