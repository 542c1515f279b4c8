package tracereplayer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/replay"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/trace/spans"
	"github.com/spotserve/spotserve/platform/wire"
)

// play emits a run's events at their times, from where the stream has them on,
// and waits until the planner has finished the run. A stop ends the input early.
func (s *service) play(ctx context.Context, e *entry) error {
	run, schema := e.run, e.schema

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	log := s.Log.With("run", run)
	text, err := readStart(ctx, s.Bus, e.seq)
	if err != nil {
		return err
	}
	_, spec, timeline, wrong := resolve(text)
	begun, found, err := actor.FindRun(ctx, s.Bus, run)
	if schema == 1 {
		spec.Limits = experiment.Limits{} // its planners know of none
	}
	switch {
	case err != nil:
	case found:
		log.Info("run goes on")
	case wrong != nil:
		log.Error("an accepted run cannot begin any more", "error", wrong)
		refused := refusal(e.seq, fmt.Errorf("it was accepted, but cannot begin any more: %w", wrong))
		refused.Run = run
		_, err := control.Publish(ctx, s.Bus, *refused)
		return err
	default:
		log.Info("run begins", "nodes", len(spec.Nodes), "requests", len(timeline.Arrivals), "end", timeline.End, "schema", schema)
		begun, err = s.begin(ctx, run, event.RunStarted{Spec: spec, Schema: schema}, timeline)
	}
	if err != nil {
		return fmt.Errorf("trace-replayer: begin run %s: %w", run, err)
	}
	finished, err := s.Bus.Follow(ctx, bus.Runs, bus.Position{Seq: begun.Seq}, wire.RunFinishedFilter(run))
	if err != nil {
		return fmt.Errorf("trace-replayer: follow run %s: %w", run, err)
	}
	defer finished.Stop()
	pace, err := clock.New(time.Unix(0, begun.Start.WallStart), begun.Start.Spec.TimeScale)
	if err != nil {
		return err
	}
	c, err := resume(ctx, s.Bus, begun, timeline, wrong)
	if err != nil {
		return fmt.Errorf("trace-replayer: read run %s: %w", run, err)
	}
	if c.wrong != nil && !c.over() {
		log.Error("a run that began cannot go on and is stopped", "error", c.wrong)
		if err := s.publish(ctx, c.stop(pace.Now()), pace); err != nil {
			return err
		}
	}
	if begun.Start.Spec.Provision == experiment.ClosedLoop && c.wrong == nil {
		wait, err := s.openCloud(ctx, begun, timeline, pace, cancel)
		if err != nil {
			return err
		}
		defer wait()
	}
	return s.goOn(ctx, c, pace, e.stopped, finished)
}

// begin is the first word of a run; only one replayer has it.
func (s *service) begin(ctx context.Context, run string, start event.RunStarted, t experiment.Timeline) (actor.Started, error) {
	start.WallStart = time.Now().UnixNano()
	first, _ := replay.NewPlayer(run, start, t).Next()
	seq, err := actor.Begin(ctx, s.Bus, first)
	if errors.Is(err, bus.ErrTaken) {
		begun, _, err := actor.FindRun(ctx, s.Bus, run)
		return begun, err
	}
	s.metrics.events.Inc()
	return actor.Started{Run: run, Start: start, Seq: seq}, err
}

// goOn plays what is left and waits for the planner.
func (s *service) goOn(ctx context.Context, c *course, pace clock.Clock, stopped <-chan struct{}, finished bus.Subscription) error {
	log := s.Log.With("run", c.last.Run)
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for {
		next := c.next()
		wake.Reset(pace.Until(next))
		select {
		case <-stopped: // before all that is due
			stopped = nil
			if c.stoppable() {
				log.Info("run is stopped", "at", pace.Now())
				if err := s.publish(ctx, c.stop(pace.Now()), pace); err != nil {
					return err
				}
			}
			continue
		default:
		}
		select {
		case <-wake.C:
			for next := c.next(); next != vtime.Never && next <= pace.Now(); next = c.next() {
				if err := s.publish(ctx, c.play(), pace); err != nil {
					return err
				}
			}
		case <-stopped:
			// The loop deals with it; a closed channel stays ready.
		case _, ok := <-finished.C():
			if !ok {
				return errors.Join(context.Cause(ctx), finished.Err())
			}
			log.Info("run is finished")
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *service) publish(ctx context.Context, ev event.Event, pace clock.Clock) error {
	err := spans.Publish(s.Tracer, ev, pace.Wall(ev.Time), func(t bus.TraceContext) error {
		return actor.PublishIn(ctx, s.Bus, ev, t)
	})
	if err != nil {
		return fmt.Errorf("trace-replayer: run %s: %w", ev.Run, err)
	}
	s.metrics.events.Inc()
	s.metrics.played(pace.Until(ev.Time))
	return nil
}
