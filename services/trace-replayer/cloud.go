package tracereplayer

import (
	"context"
	"fmt"
	"time"

	"github.com/spotserve/spotserve/core/cloud"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/wire"
)

// openCloud drives the cloud of a closed loop beside the player, until the
// planner has finished the run. A new cloud reads the run from its start and
// comes to the state of the one before it; what that one has said, it says
// under the same names, and counts once. A cloud that fails cancels the run with
// its error. wait cancels it and returns when it has ended.
func (s *service) openCloud(
	ctx context.Context, r actor.Started, t experiment.Timeline, pace clock.Clock, cancel context.CancelCauseFunc,
) (wait func(), err error) {
	input, err := s.Bus.Follow(ctx, bus.Runs, bus.Position{Seq: r.Seq},
		wire.RunStartedFilter(r.Run), wire.CloudFilter(r.Run), wire.PlannerWatermarks(r.Run), wire.RunFinishedFilter(r.Run))
	if err != nil {
		return nil, fmt.Errorf("trace-replayer: follow run %s: %w", r.Run, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := actor.RunWorker(ctx, actor.Options{
			Run: r.Run, Name: event.SourceCloud, Core: cloud.New(t), Bus: s.Bus, Input: input, Clock: pace,
			Log: s.Log.With("run", r.Run, "node", event.SourceCloud), ReorderWait: time.Hour, Skips: s.skips,
			Observe: func(event.Event) { s.metrics.events.Inc() },
		}, actor.Joining{}, r.Start.Spec.Delays)
		if err != nil {
			cancel(fmt.Errorf("trace-replayer: cloud of run %s: %w", r.Run, err))
		}
	}()
	return func() { cancel(nil); <-ended }, nil
}
