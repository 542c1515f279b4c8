package actor

import (
	"context"
	"fmt"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// Begin publishes the first event of a run and returns its sequence. If the run
// has begun, its error wraps bus.ErrTaken.
func Begin(ctx context.Context, b bus.Appender, ev event.Event) (seq uint64, err error) {
	return appendEvent(ctx, b, ev, 0)
}

// appendEvent publishes an event if last is the sequence of the newest one of its
// subject.
func appendEvent(ctx context.Context, b bus.Appender, ev event.Event, last uint64) (seq uint64, err error) {
	subject, err := wire.Subject(ev)
	if err != nil {
		return 0, err
	}
	data, err := wire.Encode(ev)
	if err != nil {
		return 0, err
	}
	return b.Append(ctx, bus.Outgoing{Subject: subject, Data: data}, last)
}

// FindRun returns the beginning of a run; found is false if it has not begun.
func FindRun(ctx context.Context, b bus.Follower, run string) (begun Started, found bool, err error) {
	m, found, err := b.Newest(ctx, bus.Runs, wire.RunStartedFilter(run))
	if err != nil || !found {
		return begun, false, err
	}
	ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
	if err != nil {
		return begun, false, err
	}
	start, ok := ev.Body.(event.RunStarted)
	if !ok {
		return begun, false, fmt.Errorf("message %d on %s is a %T", m.Seq, m.Subject, ev.Body)
	}
	return Started{Run: run, Start: start, Seq: m.Seq}, true, nil
}
