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

	"github.com/spotserve/spotserve/cmd/spotserve/internal/batch"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/live"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/progress"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/stack"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/virtual"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/services/planner"
)

// pace is how runs are made: in virtual time, or by services.
type pace struct {
	virtual     bool
	reorderWait time.Duration // of the services in this process
	threads     int           // of each worker process that computes tokens
}

func (p *pace) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.virtual, "virtual", false, "run in virtual time, without a bus")
	p.addReorderWait(cmd)
}

func (p *pace) addReorderWait(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&p.reorderWait, "reorder-wait", planner.DefaultReorderWait, "wall time that an overdue event waits for a silent source")
}

// made is a run with all its rows in the store.
type made struct {
	run     string
	figures []string // that the plotter drew; nil: nobody has
}

// makeRuns makes runs: in virtual time as many at once as there are cores, on
// services one after the other. It returns those that it made, in the order of
// starts. If the user ends it, these are fewer, the last one may have been
// stopped on the way, and the error is errInterrupted.
func (a *app) makeRuns(ctx context.Context, starts []event.StartExperiment, p pace) ([]made, error) {
	switch {
	case p.virtual:
		return a.makeVirtual(ctx, starts)
	case a.nats != "":
		return a.makeElsewhere(ctx, starts)
	default:
		return a.makeHere(ctx, starts, p)
	}
}

func (a *app) makeVirtual(ctx context.Context, starts []event.StartExperiment) (all []made, err error) {
	w, err := open.As(a.credentials).Open(ctx, a.storeURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	var bar *progress.Bar
	if terminal := a.terminal(); terminal != nil && len(starts) > 1 {
		bar = progress.NewBar(terminal, len(starts))
		defer bar.Clear()
	}
	runs := make([]string, len(starts))
	err = batch.Run(ctx, virtual.NewRunner(w), starts, func(i int, run string) {
		runs[i] = run
		bar.Done()
	})
	err = interruptedOr(ctx, err)
	for _, run := range runs {
		if run != "" {
			all = append(all, made{run: run})
		}
	}
	return all, err
}

// terminal is where progress is shown; nil if nobody would see it.
func (a *app) terminal() *os.File {
	if f, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// makeElsewhere makes the runs on services that others run.
func (a *app) makeElsewhere(ctx context.Context, starts []event.StartExperiment) (all []made, err error) {
	b, err := natsbus.Connect(ctx, natsbus.Options{URL: a.nats, Credentials: a.credentials, Name: "spotserve-cli", Log: a.logger()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return a.followAll(ctx, b, starts)
}

// followAll makes the runs on a bus, one after the other.
func (a *app) followAll(ctx context.Context, b live.Bus, starts []event.StartExperiment) (all []made, err error) {
	began := time.Now()
	for i, start := range starts {
		prefix := ""
		if len(starts) > 1 {
			prefix = fmt.Sprintf("%d/%d, %s left  ", i+1, len(starts), progress.Left(i, len(starts), time.Since(began)))
		}
		run, stopped, err := a.follow(ctx, b, start, prefix)
		if err != nil {
			return all, err
		}
		all = append(all, made{run: run})
		if stopped {
			return all, errInterrupted
		}
	}
	return all, nil
}

// follow makes a run on the bus with its progress on the terminal, after prefix.
func (a *app) follow(ctx context.Context, b live.Bus, start event.StartExperiment, prefix string) (run string, stopped bool, err error) {
	show, away := func(event.Event) {}, func(bool) {}
	if terminal := a.terminal(); terminal != nil {
		state, line := progress.NewState(), progress.NewLine(terminal)
		line.Prefix = prefix
		show = func(ev event.Event) {
			state.Take(ev)
			line.Show(state)
		}
		away = func(now bool) {
			state.StoreAway = now
			line.ShowNow(state)
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
	}, away)
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

// makeHere runs all services in this process for the length of the runs.
func (a *app) makeHere(ctx context.Context, starts []event.StartExperiment, p pace) (all []made, err error) {
	workers, err := staffOf(starts, p.threads)
	if err != nil {
		return nil, err
	}
	listen := ""
	if workers != nil {
		listen = "127.0.0.1:0"
	}
	alive, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	figuresDrawn := make(chan drawn, 64)
	ready := new(obs.Readiness)
	log := a.logger()
	s, err := stack.New(alive, stack.Options{
		Data: a.data, Store: a.storeURL, ReorderWait: p.reorderWait, CloseOpen: true, Listen: listen, NoWorker: workers != nil,
		Log: log, Metrics: obs.NewRegistry(), Ready: ready, Trace: a.trace,
		Drawn: func(run string, files []string, err error) {
			select {
			case figuresDrawn <- drawn{run, files, err}:
			default: // nobody waits for that many
			}
		},
	})
	if err != nil {
		return nil, err
	}
	running := make(chan error, 1)
	go func() {
		err := s.Run(alive, nil)
		if err != nil {
			cancel(fmt.Errorf("services: %w", err))
		}
		running <- err
	}()
	all, err = a.makeOn(ctx, alive, s, ready, workers, starts, figuresDrawn)
	if cause := context.Cause(alive); err != nil && cause != nil {
		err = cause
	}
	cancel(nil)
	return all, errors.Join(err, <-running, s.Close())
}

// makeOn makes the runs on the stack, with worker processes where they need
// some. If it is one run, it waits for its figure.
func (a *app) makeOn(ctx, alive context.Context, s *stack.Stack, ready *obs.Readiness, workers *staff, starts []event.StartExperiment, figures <-chan drawn) (all []made, err error) {
	if err := ready.Wait(alive); err != nil {
		return nil, err
	}
	b, err := s.Connect(alive, "cli")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if workers != nil {
		c, err := workers.start(a, s.URL())
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		if err := workers.joined(ctx, b, c); err != nil {
			return nil, interruptedOr(ctx, err)
		}
		a.say("%d worker processes, one a node, and NATS at %s; logs in %s", len(workers.nodes), s.URL(), filepath.Join(a.data, "workers"))
		var cancel context.CancelCauseFunc
		alive, cancel = context.WithCancelCause(alive)
		defer cancel(nil)
		defer context.AfterFunc(c.Broken(), func() { cancel(context.Cause(c.Broken())) })()
	}
	// The user's wish ends the run; the end of the services ends the wait.
	wish, done := context.WithCancel(ctx)
	defer done()
	defer context.AfterFunc(alive, done)()
	if all, err = a.followAll(wish, b, starts); err != nil || len(starts) > 1 {
		return all, err
	}
	timeout := time.After(drawWait)
	for {
		select {
		case d := <-figures:
			if d.run == all[0].run {
				all[0].figures = d.files
				return all, nil
			}
		case <-timeout:
			return all, nil
		case <-ctx.Done():
			return all, errInterrupted
		}
	}
}
