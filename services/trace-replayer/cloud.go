package tracereplayer

import (
	"context"
	"fmt"
	"time"

	"github.com/spotserve/spotserve/core/cloud"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/wire"
)

// openCloud drives the cloud of a closed loop beside the player, from before the
// run's start until the planner has finished the run. A cloud that fails cancels
// the run with its error. wait cancels it and returns when it has ended.
func (s *service) openCloud(ctx context.Context, q queued, pace clock.Clock, cancel context.CancelCauseFunc) (wait func(), err error) {
	input, err := s.Bus.Follow(ctx, bus.Runs, bus.Position{New: true},
		wire.RunStartedFilter(q.run), wire.CloudFilter(q.run), wire.PlannerWatermarks(q.run), wire.RunFinishedFilter(q.run))
	if err != nil {
		return nil, fmt.Errorf("trace-replayer: follow run %s: %w", q.run, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := actor.RunWorker(ctx, actor.Options{
			Run: q.run, Name: event.SourceCloud, Core: cloud.New(q.timeline), Bus: s.Bus, Input: input, Clock: pace,
			Log: s.Log.With("run", q.run, "node", event.SourceCloud), ReorderWait: time.Hour,
			Observe: func(event.Event) { s.events.Inc() },
		}, actor.Joining{}, q.spec.Delays)
		if err != nil {
			cancel(fmt.Errorf("trace-replayer: cloud of run %s: %w", q.run, err))
		}
	}()
	return func() { cancel(nil); <-ended }, nil
}
