// Package virtual runs experiments in virtual time and stores their rows
// through the collector's own mapping.
package virtual

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/collector"
)

// Runner plays experiments and writes their rows into one store. It may be used
// by several goroutines: their simulations run side by side, names are given one
// by one, and the store takes one chunk of rows after the other.
type Runner struct {
	store store.Writer

	mu   sync.Mutex
	last uint64 // number of the run that was named last; 0 before the first
}

// NewRunner returns a runner that writes to w. While it is in use, nobody else
// plays virtual runs into that store: those that the store takes for running by
// then were left behind by a process that was killed, and are closed.
func NewRunner(w store.Writer) *Runner { return &Runner{store: w} }

// Run plays an experiment and stores its rows, a large run's in chunks while it
// goes on. It returns the name of the run, kind-v<n>, also with an error if the
// run has a name by then.
//
// When ctx is done, the run ends like a live one that is stopped: every open
// request ends as unfinished, what was measured is kept, the run's status is
// stopped, and the error is that of ctx. A run that fails is closed with
// status stopped too, the error as its reason, and keeps the rows so far. Only
// where the store itself fails, a run may be left as running.
func (r *Runner) Run(ctx context.Context, start event.StartExperiment) (run string, err error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	spec, timeline, err := catalog.Resolve(start)
	if err != nil {
		return "", err
	}
	spec, timeline = Simulated(spec, timeline)
	n, err := r.number(ctx)
	if err != nil {
		return "", err
	}
	run = fmt.Sprintf("%s-v%d", spec.Kind, n)
	rows := newRecorder(ctx, r.store, time.Now())
	if err := sim.Run(run, spec, timeline, rows.take); err != nil {
		return run, errors.Join(err, rows.abandon(run, err))
	}
	if err := rows.close(); err != nil || !rows.stopped {
		return run, err
	}
	return run, ctx.Err()
}

// Simulated is an experiment as it is played in virtual time. Where workers would
// compute tokens, it takes the durations of the profile.
func Simulated(spec experiment.Spec, timeline experiment.Timeline) (experiment.Spec, experiment.Timeline) {
	spec.Virtual, spec.TimeScale = true, 0
	if !spec.Measured() {
		return spec, timeline
	}
	spec.Compute, spec.Transformer = experiment.Profiled, nil
	timeline.Arrivals = slices.Clone(timeline.Arrivals)
	for i := range timeline.Arrivals {
		timeline.Arrivals[i].Prompt = nil // of which only the length counts
	}
	return spec, timeline
}

// number gives the next number of a virtual run.
func (r *Runner) number(ctx context.Context) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == 0 {
		next, err := r.store.NextRun(ctx, "v")
		if err != nil {
			return 0, err
		}
		if err := r.closeLeftBehind(ctx); err != nil {
			return 0, err
		}
		r.last = next - 1
	}
	r.last++
	return r.last, nil
}

// closeLeftBehind closes the virtual runs that no process plays any more.
func (r *Runner) closeLeftBehind(ctx context.Context) error {
	runs, err := store.ListRuns(ctx, r.store)
	if err != nil {
		return err
	}
	var left store.Batch
	for _, run := range runs {
		if run.Virtual && run.Status == collector.StatusRunning {
			run.Status, run.Reason = collector.StatusStopped, "the process that played it was killed"
			run.Version++
			left.Runs = append(left.Runs, run)
		}
	}
	if left.Len() == 0 {
		return nil
	}
	return r.store.Write(ctx, left)
}
