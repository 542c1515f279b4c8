// Package watch asks again and again, at a pace that a failing server cannot
// turn into a storm.
package watch

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// The waits after failures double from the first to the last, or to the poll
// interval where that is longer: a grace period may be as short as 30 s, so the
// last is well below it.
const (
	firstWait = 200 * time.Millisecond
	lastWait  = 5 * time.Second
)

// Every calls ask until the context ends: poll after it has succeeded, and after
// failures by Wait. Of failures in a row the first is logged, and that they are
// over.
func Every(ctx context.Context, poll time.Duration, log *slog.Logger, ask func(context.Context) error) {
	failures := 0
	for ctx.Err() == nil {
		err := ask(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := poll
		switch {
		case err != nil:
			if failures == 0 {
				log.Warn("notice source fails, and is asked again", "error", err)
			}
			failures++
			wait = Wait(failures, poll)
		case failures > 0:
			log.Info("notice source answers again", "after_failures", failures)
			failures = 0
		}
		pause(ctx, wait)
	}
}

// Wait is how long to wait after the n-th failure in a row, n from 1: half of
// the doubled wait, and a random part of the other half, so that the workers of
// a fleet do not ask in step.
func Wait(n int, poll time.Duration) time.Duration {
	longest := max(lastWait, poll)
	wait := firstWait
	for i := 1; i < n && wait < longest; i++ {
		wait *= 2
	}
	wait = min(wait, longest)
	return wait/2 + rand.N(wait/2+1)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
