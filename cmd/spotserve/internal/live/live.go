// Package live starts an experiment on the bus and follows it to its end.
package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/alarm"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/wire"
)

// Bus is the part of a bus that a user takes.
type Bus interface {
	bus.Publisher
	bus.Follower
	bus.Signaller
}

// RefusedError is a start that was refused.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// answerWait is how long a replayer may take to answer, in wall time.
const answerWait = 20 * time.Second

// stopWait is how long a stopped run may take until its rows are stored.
const stopWait = 30 * time.Second

// Run publishes the start event, hands every event of the run to take, tells
// storeAway when the store ceases to take rows and when it takes them again, and
// returns the run's name when all of them are in the store. When the context
// ends, the run is stopped, and Run waits for the rows of what was measured;
// stopped is then true.
func Run(ctx context.Context, b Bus, start event.StartExperiment, take func(event.Event), storeAway func(bool)) (run string, stopped bool, err error) {
	// The user's wish to stop must not cut the connection that carries it.
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	last, err := b.LastSeq(alive, bus.Runs)
	if err != nil {
		return "", false, err
	}
	lastControl, err := b.LastSeq(alive, bus.Control)
	if err != nil {
		return "", false, err
	}
	run, err = request(alive, b, start)
	if err != nil {
		return "", false, err
	}
	events, err := b.Follow(alive, bus.Runs, bus.Position{Seq: last + 1}, wire.RunFilter(run))
	if err != nil {
		return run, false, fmt.Errorf("follow run %s: %w", run, err)
	}
	defer events.Stop()
	refusals, err := b.Follow(alive, bus.Control, bus.Position{Seq: lastControl + 1}, wire.SubjectRefused)
	if err != nil {
		return run, false, fmt.Errorf("follow refusals: %w", err)
	}
	defer refusals.Stop()
	alarms, err := alarm.Listen(alive, b, alarm.StoreAway)
	if err != nil {
		return run, false, fmt.Errorf("listen to alarms: %w", err)
	}
	wish := ctx.Done()
	var giveUp <-chan time.Time
	for {
		select {
		case m, ok := <-events.C():
			if !ok {
				return run, stopped, fmt.Errorf("follow run %s: %w", run, errors.Join(events.Err(), ctx.Err()))
			}
			ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
			if err != nil {
				continue // the services have logged it
			}
			take(ev)
			if _, done := ev.Body.(event.RunRecorded); done {
				return run, stopped, nil
			}
		case m, ok := <-refusals.C():
			if !ok {
				return run, stopped, fmt.Errorf("follow refusals: %w", errors.Join(refusals.Err(), ctx.Err()))
			}
			// An accepted run may turn out to be impossible when it is to begin.
			if b, err := wire.DecodeControl(m.Subject, m.Data); err == nil {
				if refused, ok := b.(event.ExperimentRefused); ok && refused.Run == run {
					return run, stopped, &RefusedError{refused.Reason}
				}
			}
		case away, ok := <-alarms:
			if !ok {
				alarms = nil // the other channels say why
				continue
			}
			storeAway(away)
		case <-wish:
			wish, stopped, giveUp = nil, true, time.After(stopWait)
			if err := Stop(alive, b, run); err != nil {
				return run, true, err
			}
		case <-giveUp:
			return run, true, fmt.Errorf("run %s was told to stop, but its rows are not stored after %s; they wait in the stream", run, stopWait)
		}
	}
}

// Stop asks for the end of a run.
func Stop(ctx context.Context, b bus.Publisher, run string) error {
	_, err := control.Publish(ctx, b, event.StopExperiment{Run: run})
	return err
}

// request publishes a start and waits for the answer to it.
func request(ctx context.Context, b Bus, start event.StartExperiment) (run string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	answers, err := b.Follow(ctx, bus.Control, bus.Position{New: true}, wire.SubjectAccepted, wire.SubjectRefused)
	if err != nil {
		return "", fmt.Errorf("follow answers to the start: %w", err)
	}
	defer answers.Stop()
	seq, err := control.Publish(ctx, b, start)
	if err != nil {
		return "", err
	}
	for m := range answers.C() {
		body, err := wire.DecodeControl(m.Subject, m.Data)
		if err != nil {
			continue // not an answer to anything
		}
		switch answer := body.(type) {
		case event.ExperimentAccepted:
			if answer.StartSeq == seq {
				return answer.Run, nil
			}
		case event.ExperimentRefused:
			if answer.StartSeq == seq {
				return "", &RefusedError{answer.Reason}
			}
		}
	}
	if err := answers.Err(); err != nil {
		return "", err
	}
	return "", fmt.Errorf("no trace-replayer answered the start within %s: is one running on this NATS server? the start waits for it in the stream", answerWait)
}
