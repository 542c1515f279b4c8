package tracereplayer

import (
	"context"
	"fmt"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/replay"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/wire"
)

// begin plays an experiment on a goroutine of its own. done gets its outcome
// when the planner has finished it; stop ends its input early if the run has
// the name.
func (s *service) begin(ctx context.Context, q queued) (done chan error, stop func(run string) bool) {
	done = make(chan error, 1)
	stopped := make(chan struct{})
	var once bool
	go func() { done <- s.play(ctx, q, stopped) }()
	return done, func(run string) bool {
		if run != q.run {
			return false
		}
		if !once {
			once = true
			close(stopped)
		}
		return true
	}
}

// play emits a run's events at their times and waits until the planner has
// finished it.
func (s *service) play(ctx context.Context, q queued, stopped <-chan struct{}) error {
	finished, err := s.Bus.Follow(ctx, bus.Runs, bus.Position{New: true}, wire.RunFinishedFilter(q.run))
	if err != nil {
		return fmt.Errorf("trace-replayer: follow run %s: %w", q.run, err)
	}
	defer finished.Stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	wallStart := time.Now()
	pace, err := clock.New(wallStart, q.spec.TimeScale)
	if err != nil {
		return err
	}
	log := s.Log.With("run", q.run)
	log.Info("run begins", "nodes", len(q.spec.Nodes), "requests", len(q.timeline.Arrivals), "end", q.timeline.End)
	if q.spec.Provision == experiment.ClosedLoop {
		wait, err := s.openCloud(ctx, q, pace, cancel)
		if err != nil {
			return err
		}
		defer wait()
	}
	player := replay.NewPlayer(q.run, event.RunStarted{Spec: q.spec, WallStart: wallStart.UnixNano()}, q.timeline)
	var last event.Event
	wake := time.NewTimer(0)
	defer wake.Stop()
	for player.PeekTime() != vtime.Never {
		wake.Reset(pace.Until(player.PeekTime()))
		select {
		case <-wake.C:
		case <-stopped:
			stopped = nil
			player.Stop(max(0, pace.Now()))
			log.Info("run is stopped", "at", player.PeekTime())
			// What is not promised to come later need not wait for its time.
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for player.PeekTime() <= pace.Now() || stopped == nil && player.PeekTime() != vtime.Never {
			last, _ = player.Next()
			if err := s.publish(ctx, last); err != nil {
				return err
			}
		}
	}
	for {
		select {
		case _, ok := <-finished.C():
			if !ok {
				return finished.Err()
			}
			log.Info("run is finished")
			return nil
		case <-stopped:
			stopped = nil
			if !q.spec.Drain {
				continue // it is about to finish by itself
			}
			log.Info("run is stopped while it drains")
			end := last
			end.Seq++
			end.Time = max(last.Time, pace.Now())
			end.Body = event.RunEnded{Reason: event.Stopped}
			if err := s.publish(ctx, end); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *service) publish(ctx context.Context, ev event.Event) error {
	if err := actor.Publish(ctx, s.Bus, ev); err != nil {
		return fmt.Errorf("trace-replayer: run %s: %w", ev.Run, err)
	}
	s.events.Inc()
	return nil
}
