package actor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// Started is a run that begins, or goes on.
type Started struct {
	Run   string
	Start event.RunStarted
	Seq   uint64 // of the message in the stream: where the run's readers begin
	// Open: it had started before it was looked for.
	Open bool
}

// EachRun calls play, on a goroutine of its own, for every run that has not
// finished and for every run that starts, until the context ends; then it waits
// for all of them. ready is called when no start can be missed any more. An
// error of one run is logged and ends that run here, no other. A bus that is
// away before any run is played is asked again.
func EachRun(ctx context.Context, b bus.Follower, log *slog.Logger, ready func(), play func(context.Context, Started) error) error {
	return bus.Insist(ctx, log, func(ctx context.Context) error { return eachRun(ctx, b, log, ready, play) })
}

func eachRun(ctx context.Context, b bus.Follower, log *slog.Logger, ready func(), play func(context.Context, Started) error) error {
	last, err := b.LastSeq(ctx, bus.Runs)
	if err != nil {
		return fmt.Errorf("open runs: %w", err)
	}
	open, err := OpenRuns(ctx, b, log)
	if err != nil {
		return fmt.Errorf("open runs: %w", err)
	}
	sub, err := b.Follow(ctx, bus.Runs, bus.Position{Seq: last + 1}, wire.RunStartedFilter("*"))
	if err != nil {
		return fmt.Errorf("follow started runs: %w", err)
	}
	defer sub.Stop()
	ready()
	var runs sync.WaitGroup
	defer runs.Wait()
	begin := func(r Started) {
		runs.Go(func() {
			err := play(ctx, r)
			if err != nil && !errors.Is(err, context.Canceled) {
				log.Error("run broken off", "run", r.Run, "error", err)
			}
		})
	}
	for _, r := range open {
		if r.Seq <= last { // else it is followed
			r.Open = true
			begin(r)
		}
	}
	for m := range sub.C() {
		if r, ok := started(m, log); ok {
			begin(r)
		}
	}
	return sub.Err()
}

// OpenRuns returns the runs that have started and not finished, in the order of
// their starts.
func OpenRuns(ctx context.Context, b bus.Follower, log *slog.Logger) ([]Started, error) {
	open, _, err := ReadRuns(ctx, b, log)
	return open, err
}

// ReadRuns returns the open runs and the names of those that have finished.
func ReadRuns(ctx context.Context, b bus.Follower, log *slog.Logger) (open []Started, finished map[string]bool, err error) {
	filters := []string{wire.RunStartedFilter("*"), wire.RunFinishedFilter("*")}
	var last uint64
	for _, f := range filters {
		m, _, err := b.Newest(ctx, bus.Runs, f)
		if err != nil {
			return nil, nil, err
		}
		last = max(last, m.Seq)
	}
	finished = make(map[string]bool)
	if last == 0 {
		return nil, finished, nil
	}
	sub, err := b.Follow(ctx, bus.Runs, bus.Position{}, filters...)
	if err != nil {
		return nil, nil, err
	}
	defer sub.Stop()
	for m := range sub.C() {
		if r, ok := started(m, log); ok {
			open = append(open, r)
		} else if run, ok := wire.FinishedRun(m.Subject); ok {
			finished[run] = true
		}
		if m.Seq >= last {
			return slices.DeleteFunc(open, func(r Started) bool { return finished[r.Run] }), finished, nil
		}
	}
	return nil, nil, errors.Join(ctx.Err(), sub.Err())
}

// started reads the start of a run; ok is false for any other message.
func started(m bus.Message, log *slog.Logger) (r Started, ok bool) {
	if !bus.Match(wire.RunStartedFilter("*"), m.Subject) {
		return r, false
	}
	ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
	start, ok := ev.Body.(event.RunStarted)
	if err != nil || !ok {
		log.Error("skip a run whose start cannot be read", "subject", m.Subject, "seq", m.Seq, "error", err)
		return r, false
	}
	if start.Schema > event.SchemaVersion {
		log.Error("a run of a newer schema version is left to newer services: update this one", "run", ev.Run, "schema", start.Schema, "this_build", event.SchemaVersion)
		return r, false
	}
	return Started{Run: ev.Run, Start: start, Seq: m.Seq}, true
}
