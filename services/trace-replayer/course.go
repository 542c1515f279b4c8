package tracereplayer

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/replay"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// course is how far a run's timeline is played.
type course struct {
	player *replay.Player
	drain  bool
	last   event.Event // that was played
	ended  event.EndReason
	wrong  error // why the timeline is not the one that was played so far
}

// resume returns the course of a run behind all that its stream has.
func resume(ctx context.Context, b bus.Follower, begun actor.Started, t experiment.Timeline, wrong error) (*course, error) {
	filters := []string{wire.FleetFilter(begun.Run), wire.RequestFilter(begun.Run)}
	last, err := newest(ctx, b, bus.Runs, filters...)
	if err != nil {
		return nil, err
	}
	played, err := b.Follow(ctx, bus.Runs, bus.Position{Seq: begun.Seq}, filters...)
	if err != nil {
		return nil, err
	}
	defer played.Stop()
	c := &course{player: replay.NewPlayer(begun.Run, begun.Start, t), drain: begun.Start.Spec.Drain, wrong: wrong}
	for m := range played.C() {
		ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
		if err == nil && ev.Source == event.SourceReplayer {
			c.pass(ev)
		}
		if m.Seq >= last {
			return c, nil
		}
	}
	return nil, errors.Join(ctx.Err(), played.Err())
}

// pass goes past an event that is on the stream.
func (c *course) pass(said event.Event) {
	_, mark := said.Body.(event.WatermarkAdvanced)
	if mark || said.Seq <= c.last.Seq || c.ended == event.Stopped {
		return // a repetition, or void
	}
	c.last = said
	if ended, ok := said.Body.(event.RunEnded); ok {
		c.ended = ended.Reason
	}
	if c.wrong != nil || c.ended == event.Stopped {
		return
	}
	if next, ok := c.player.Next(); !ok || !alike(next, said) {
		c.wrong = fmt.Errorf("its start gives other events than those that were played, from %s at %s on: has a file changed?", said.ID(), said.Time)
	}
}

// alike reports whether two events are on the wire the same.
func alike(a, b event.Event) bool {
	x, errX := wire.Encode(a)
	y, errY := wire.Encode(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func (c *course) over() bool { return c.ended != "" }

// next is the time of the next event; vtime.Never if there is none.
func (c *course) next() vtime.Time {
	if c.over() {
		return vtime.Never
	}
	return c.player.PeekTime()
}

// play returns the next event.
func (c *course) play() event.Event {
	c.last, _ = c.player.Next()
	if ended, ok := c.last.Body.(event.RunEnded); ok {
		c.ended = ended.Reason
	}
	return c.last
}

// stoppable: a run whose input is over finishes by itself, unless it drains.
func (c *course) stoppable() bool { return !c.over() || c.drain && c.ended != event.Stopped }

// stop ends the run's input at now, or as soon after as what was promised
// allows.
func (c *course) stop(now vtime.Time) event.Event {
	if !c.over() && c.wrong == nil {
		c.player.Stop(max(0, now))
		return c.play()
	}
	end := c.last
	end.Seq++
	end.Time = max(end.Time, now)
	if end.Watermark != vtime.Never {
		end.Time = max(end.Time, end.Watermark)
	}
	end.Watermark, end.Body = vtime.Never, event.RunEnded{Reason: event.Stopped}
	c.last, c.ended = end, event.Stopped
	return end
}
