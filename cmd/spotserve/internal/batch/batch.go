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

// Runner makes one run and returns its name. Several goroutines call it.
type Runner interface {
	Run(ctx context.Context, start event.StartExperiment) (run string, err error)
}

// Run makes all runs and tells done of each that has ended, by its place in
// starts; several goroutines call done. The first error ends all. So does the
// end of ctx, whose error it then returns: what is done by then is kept.
func Run(ctx context.Context, r Runner, starts []event.StartExperiment, done func(i int, run string)) error {
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, start := range starts {
		group.Go(func() error {
			if err := within.Err(); err != nil {
				return err
			}
			run, err := r.Run(within, start)
			if err != nil {
				return fmt.Errorf("run %d of %d: %w", i+1, len(starts), err)
			}
			done(i, run)
			return nil
		})
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
