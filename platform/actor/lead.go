package actor

import (
	"context"
	"errors"
	"fmt"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/failpoint"
	"github.com/spotserve/spotserve/platform/wire"
)

// ErrDeposed ends a planner when another one was elected.
var ErrDeposed = errors.New("another planner leads the run")

// LeadBus is the part of a bus that an election takes.
type LeadBus interface {
	bus.Appender
	bus.Follower
}

// Leadership is a planner's lead of a run, from its election on.
type Leadership struct {
	term uint64
	seq  uint64          // of the election in the stream
	said map[uint64]bool // numbers of the planner's events that the stream had before
}

// Term counts the leaderships of the run, from 1.
func (l Leadership) Term() uint64 { return l.term }

// Said reports whether the run's stream had the planner's event with this number
// before the election.
func (l Leadership) Said(seq uint64) bool { return l.said[seq] }

// Lead has this planner elected for a run. The stream is the arbiter: an election names the one before it, so of
// two planners that want the same term one gets ErrDeposed.
//
// All that earlier leaders said before the election stands. What they still say
// after it is what the new one says too, from the same messages, under the same
// names; only what they set off by their clocks is void.
func Lead(ctx context.Context, b LeadBus, r Started) (Leadership, error) {
	run := r.Run
	l := Leadership{said: make(map[uint64]bool)}
	elected := event.Event{Run: run, Source: event.SourcePlanner, Version: r.Start.Schema}
	before, found, err := newest(ctx, b, run)
	if err != nil {
		return l, err
	}
	if found {
		l.term = before.Term
	}
	l.term++
	elected.Seq, elected.Term, elected.Body = l.term, l.term, event.PlannerElected{Term: l.term}
	l.seq, err = appendEvent(ctx, b, elected, before.seq)
	if errors.Is(err, bus.ErrTaken) {
		return l, fmt.Errorf("run %s: %w", run, ErrDeposed)
	} else if err != nil {
		return l, err
	}
	failpoint.Hit(failpoint.Elected)
	if found {
		err = l.readSaid(ctx, b, run, r.Seq)
	}
	return l, err
}

// election is the newest one of a run.
type election struct {
	event.PlannerElected
	seq uint64
}

func newest(ctx context.Context, b LeadBus, run string) (e election, found bool, err error) {
	m, found, err := b.Newest(ctx, bus.Runs, wire.ElectionFilter(run))
	if err != nil || !found {
		return e, false, err
	}
	ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
	if err != nil {
		return e, false, err
	}
	e.PlannerElected, _ = ev.Body.(event.PlannerElected)
	e.seq = m.Seq
	return e, true, nil
}

// readSaid reads what earlier leaders said before the election.
func (l *Leadership) readSaid(ctx context.Context, b LeadBus, run string, from uint64) error {
	sub, err := b.Follow(ctx, bus.Runs, bus.Position{Seq: from},
		wire.FleetFilter(run), wire.PlanFilter(run), wire.CommandFilter(run, "*"), wire.CloudFilter(run), wire.ElectionFilter(run))
	if err != nil {
		return err
	}
	defer sub.Stop()
	for m := range sub.C() {
		if m.Seq >= l.seq {
			return nil
		}
		ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
		if err != nil || ev.Source != event.SourcePlanner {
			continue // not the planner's word
		}
		switch ev.Body.(type) {
		case event.PlannerElected, event.WatermarkAdvanced:
		default:
			l.said[ev.Seq] = true
		}
	}
	return errors.Join(ctx.Err(), sub.Err())
}
