package actor_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/wire"
)

func begin(t *testing.T, b *membus.Bus, run string) {
	t.Helper()
	spec := experiment.Spec{
		Kind: experiment.EndToEnd, Quirks: experiment.QuirksNone, Batching: experiment.Pooled, Seed: 7, TimeScale: 60,
	}
	ev := event.Event{
		Run: run, Source: event.SourceReplayer, Seq: 1, Version: event.SchemaVersion,
		Body: event.RunStarted{Spec: spec, WallStart: 1},
	}
	if err := actor.Publish(t.Context(), b, ev); err != nil {
		t.Fatal(err)
	}
}

// TestEachRun: every run that is open or starts is played beside the others, from where it
// begins in the stream; the fault of one is not that of another; and the end
// waits for all of them.
func TestEachRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		begin(t, b, "over")
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: wire.RunFinishedFilter("over")}); err != nil {
			t.Fatal(err)
		}
		begin(t, b, "open")
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		ready := make(chan struct{})
		var mu sync.Mutex
		var played []actor.Started
		ended := 0
		done := make(chan error, 1)
		go func() {
			done <- actor.EachRun(ctx, b, slog.New(slog.NewTextHandler(&log, nil)), func() { close(ready) },
				func(ctx context.Context, r actor.Started) error {
					mu.Lock()
					played = append(played, r)
					mu.Unlock()
					if r.Run == "broken" {
						return errors.New("no good")
					}
					<-ctx.Done()
					time.Sleep(time.Minute) // it takes its time
					mu.Lock()
					defer mu.Unlock()
					ended++
					return ctx.Err()
				})
		}()
		<-ready
		begin(t, b, "broken")
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.x.fleet.run_started", Data: []byte("junk")}); err != nil {
			t.Fatal(err)
		}
		begin(t, b, "one")
		begin(t, b, "two")
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it ends with %v", err)
		}
		if ended != 3 {
			t.Errorf("it ends before %d of 3 runs", 3-ended)
		}
		var runs []string
		for _, r := range played {
			runs = append(runs, r.Run)
			if want := map[string]uint64{"open": 3, "broken": 4, "one": 6, "two": 7}[r.Run]; r.Seq != want || r.Start.Spec.Seed != 7 {
				t.Errorf("%s begins at %d with seed %d, want %d and 7", r.Run, r.Seq, r.Start.Spec.Seed, want)
			}
		}
		if slices.Sort(runs); !slices.Equal(runs, []string{"broken", "one", "open", "two"}) {
			t.Errorf("played %v", runs)
		}
		if said := log.String(); strings.Count(said, "run broken off") != 1 || !strings.Contains(said, "no good") || !strings.Contains(said, "cannot be read") {
			t.Errorf("the log says\n%s", said)
		}
	})
}

// TestEachRunEndsWithTheBus and says so.
func TestEachRunEndsWithTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		time.AfterFunc(time.Second, func() { b.Close() })
		err := actor.EachRun(t.Context(), b, slog.New(slog.DiscardHandler), func() {}, func(context.Context, actor.Started) error { return nil })
		if !errors.Is(err, bus.ErrClosed) {
			t.Errorf("it ends with %v", err)
		}
	})
}
