package actor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// Started is a run that begins.
type Started struct {
	Run   string
	Start event.RunStarted
	Seq   uint64 // of the message in the stream: where the run's readers begin
}

// EachRun calls play, on a goroutine of its own, for every run that starts
// from now on, until the context ends; then it waits for all of them. ready is
// called when no start can be missed any more. An error of one run is logged
// and ends that run here, no other.
func EachRun(ctx context.Context, b bus.Follower, log *slog.Logger, ready func(), play func(context.Context, Started) error) error {
	sub, err := b.Follow(ctx, bus.Runs, bus.Position{New: true}, wire.RunStartedFilter("*"))
	if err != nil {
		return fmt.Errorf("follow started runs: %w", err)
	}
	defer sub.Stop()
	ready()
	var runs sync.WaitGroup
	defer runs.Wait()
	for m := range sub.C() {
		ev, err := wire.Decode(m.Data)
		start, ok := ev.Body.(event.RunStarted)
		if err != nil || !ok {
			log.Error("skip a run whose start cannot be read", "subject", m.Subject, "seq", m.Seq, "error", err)
			continue
		}
		runs.Go(func() {
			err := play(ctx, Started{Run: ev.Run, Start: start, Seq: m.Seq})
			if err != nil && !errors.Is(err, context.Canceled) {
				log.Error("run broken off", "run", ev.Run, "error", err)
			}
		})
	}
	return sub.Err()
}
