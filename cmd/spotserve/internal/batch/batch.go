// Package batch makes many runs in virtual time, as many at once as there are
// cores.
package batch

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/spotserve/spotserve/core/event"
)

// Runner makes one run and returns its name, if it got one, also with an error.
// Several goroutines call it.
type Runner interface {
	Run(ctx context.Context, start event.StartExperiment) (run string, err error)
}

// Run makes all runs and tells done of each that has ended, by its place in
// starts; several goroutines call done. The first error ends all. So does the
// end of ctx, whose error it then returns. Runs that were under way by then are
// told too, if they have a name: their rows are kept.
func Run(ctx context.Context, r Runner, starts []event.StartExperiment, done func(i int, run string)) error {
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, start := range starts {
		group.Go(func() error {
			if err := within.Err(); err != nil {
				return err
			}
			run, err := r.Run(within, start)
			if run != "" {
				done(i, run)
			}
			if err != nil && len(starts) > 1 {
				err = fmt.Errorf("run %d of %d: %w", i+1, len(starts), err)
			}
			return err
		})
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
