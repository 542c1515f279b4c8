package tracereplayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/wire"
)

// CloseBus is the part of a bus that CloseOpen takes.
type CloseBus interface {
	bus.Publisher
	bus.Follower
}

// CloseOpen ends what earlier processes left open on a bus on which no
// trace-replayer plays, and returns the names of the runs. A run that has begun
// ends where its processes did, one that waits for its turn when it begins, and a
// start without an answer is refused. The services that come next finish the
// runs, as stopped, and no other run waits for that.
func CloseOpen(ctx context.Context, b CloseBus, log *slog.Logger) (runs []string, err error) {
	_, finished, err := actor.ReadRuns(ctx, b, log)
	if err != nil {
		return nil, fmt.Errorf("read the runs: %w", err)
	}
	l, starts, err := follow(ctx, b, &ledger{log: log, skips: skip.New(log, nil), limits: newLimits(), finished: finished})
	if err != nil {
		return nil, err
	}
	starts.Stop()
	for _, x := range l.excess {
		if _, err := control.Publish(ctx, b, *refusal(x.seq, errors.New(x.reason))); err != nil {
			return nil, fmt.Errorf("refuse start %d: %w", x.seq, err)
		}
	}
	for _, e := range l.entries {
		if err := closeOne(ctx, b, e); err != nil {
			return runs, fmt.Errorf("close run %s of start %d: %w", e.run, e.seq, err)
		}
		if e.run != "" {
			log.Info("close a run that an earlier process left open", "run", e.run)
			runs = append(runs, e.run)
		}
	}
	return runs, b.Flush(ctx)
}

var errGone = errors.New("the process that was to play it has ended: send the start again")

func closeOne(ctx context.Context, b CloseBus, e *entry) error {
	if e.run == "" {
		_, err := control.Publish(ctx, b, *refusal(e.seq, errGone))
		return err
	}
	begun, found, err := actor.FindRun(ctx, b, e.run)
	if err != nil {
		return err
	}
	if found {
		text, err := readStart(ctx, b, e.seq)
		if err != nil {
			return err
		}
		_, _, timeline, wrong := resolve(text)
		c, err := resume(ctx, b, begun, timeline, wrong)
		if err != nil {
			return err
		}
		last, _, err := b.Newest(ctx, bus.Runs, wire.RunFilter(e.run))
		if err != nil {
			return err
		}
		if c.stoppable() {
			wall := last.Published.Sub(time.Unix(0, begun.Start.WallStart))
			if err := actor.Publish(ctx, b, c.stop(vtime.Time(float64(wall)*begun.Start.Spec.TimeScale))); err != nil {
				return err
			}
		}
	}
	_, err = control.Publish(ctx, b, event.StopExperiment{Run: e.run})
	return err
}
