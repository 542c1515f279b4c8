package live_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/live"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/alarm"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = event.StartExperiment{Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20B", Trace: "As"}

// services stand for those that answer, run, stop and record.
type services struct {
	t   *testing.T
	bus *membus.Bus
	// answer to a start; nil: none.
	answer func(startSeq uint64) event.Body
	// records: rows are stored once the run is told to stop.
	records bool
}

// with runs the test beside the services, in a bubble.
func with(t *testing.T, s services, test func(t *testing.T, b *membus.Bus)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.t, s.bus = t, membus.New(membus.Options{})
		defer s.bus.Close()
		sub, err := s.bus.Follow(t.Context(), bus.Control, bus.Position{}, wire.SubjectStart, wire.SubjectStop)
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		go func() {
			for m := range sub.C() {
				switch {
				case m.Subject == wire.SubjectStart && s.answer != nil:
					if _, err := control.Publish(ctx, s.bus, s.answer(m.Seq)); err != nil {
						t.Error(err)
					}
				case m.Subject == wire.SubjectStop && s.records:
					time.Sleep(5 * time.Second)
					publish(ctx, t, s.bus, event.RunFinished{Reason: event.Stopped})
					publish(ctx, t, s.bus, event.RunRecorded{Run: "e2e-1", Rows: 3})
				}
			}
		}()
		test(t, s.bus)
	})
}

func publish(ctx context.Context, t *testing.T, b *membus.Bus, body event.Body) {
	t.Helper()
	source := event.SourcePlanner
	if _, rows := body.(event.RunRecorded); rows {
		source = "collector"
	}
	if _, begin := body.(event.RunEnded); begin {
		source = event.SourceReplayer
	}
	err := actor.Publish(ctx, b, event.Event{Run: "e2e-1", Source: source, Seq: 1, Version: event.SchemaVersion, Body: body})
	if err != nil {
		t.Error(err)
	}
}

func accept(seq uint64) event.Body { return event.ExperimentAccepted{StartSeq: seq, Run: "e2e-1"} }

func TestRunFollowsToTheLastRow(t *testing.T) {
	with(t, services{answer: accept}, func(t *testing.T, b *membus.Bus) {
		// An old run of this name, on a stream that outlived its store.
		publish(t.Context(), t, b, event.RunRecorded{Run: "e2e-1", Rows: 9})
		time.AfterFunc(time.Minute, func() {
			publish(t.Context(), t, b, event.RunEnded{Reason: event.EndOfTrace})
			if err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.e2e-1.plan.junk", Data: []byte("junk")}); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		var seen []event.Kind
		done := time.AfterFunc(2*time.Minute, func() {
			err := actor.Publish(t.Context(), b, event.Event{
				Run: "e2e-1", Source: "collector", Seq: 2, Version: event.SchemaVersion, Body: event.RunRecorded{Run: "e2e-1"},
			})
			if err != nil {
				t.Error(err)
			}
		})
		defer done.Stop()
		var away []string
		time.AfterFunc(time.Minute, func() { _ = b.Signal(t.Context(), alarm.StoreAway, nil) })
		run, stopped, err := live.Run(t.Context(), b, start, func(ev event.Event) { seen = append(seen, ev.Body.Kind()) }, func(on bool) {
			away = append(away, fmt.Sprint(time.Since(began), on))
		})
		if want := []string{"1m0s true", "1m3s false"}; !slices.Equal(away, want) {
			t.Errorf("it hears of the store %q, want %q", away, want)
		}
		if run != "e2e-1" || stopped || err != nil {
			t.Errorf("%s, stopped %t, %v", run, stopped, err)
		}
		if took := time.Since(began); took != 2*time.Minute || len(seen) != 2 {
			t.Errorf("after %s it has seen %v", took, seen)
		}
	})
}

func TestRunIsRefused(t *testing.T) {
	refuse := func(seq uint64) event.Body {
		return event.ExperimentRefused{StartSeq: seq, Reason: "no worker stands for a"}
	}
	with(t, services{answer: refuse}, func(t *testing.T, b *membus.Bus) {
		_, _, err := live.Run(t.Context(), b, start, func(event.Event) {}, func(bool) {})
		if refused, ok := errors.AsType[*live.RefusedError](err); !ok || refused.Reason != "no worker stands for a" {
			t.Errorf("it ends with %v", err)
		}
	})
}

// TestRunIsRefusedBeforeItsTurn: it was accepted, and cannot begin any more.
func TestRunIsRefusedBeforeItsTurn(t *testing.T) {
	with(t, services{answer: accept}, func(t *testing.T, b *membus.Bus) {
		time.AfterFunc(time.Second, func() {
			for _, run := range []string{"e2e-99", "e2e-1"} {
				refused := event.ExperimentRefused{StartSeq: 1, Run: run, Reason: run + "'s file is gone"}
				if _, err := control.Publish(t.Context(), b, refused); err != nil {
					t.Error(err)
				}
			}
		})
		run, _, err := live.Run(t.Context(), b, start, func(event.Event) {}, func(bool) {})
		if refused, ok := errors.AsType[*live.RefusedError](err); !ok || run != "e2e-1" || refused.Reason != "e2e-1's file is gone" {
			t.Errorf("%s ends with %v", run, err)
		}
	})
}

// TestOtherAnswersAreNotOurs: others start experiments too.
func TestOtherAnswersAreNotOurs(t *testing.T) {
	other := func(seq uint64) event.Body { return accept(seq + 1) }
	with(t, services{answer: other}, func(t *testing.T, b *membus.Bus) {
		_, _, err := live.Run(t.Context(), b, start, func(event.Event) {}, func(bool) {})
		if err == nil || !strings.Contains(err.Error(), "no trace-replayer answered the start within") {
			t.Errorf("it ends with %v", err)
		}
	})
}

// TestStopWaitsForTheRows of what was measured.
func TestStopWaitsForTheRows(t *testing.T) {
	with(t, services{answer: accept, records: true}, func(t *testing.T, b *membus.Bus) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		run, stopped, err := live.Run(ctx, b, start, func(event.Event) {}, func(bool) {})
		if run != "e2e-1" || !stopped || err != nil {
			t.Errorf("%s, stopped %t, %v", run, stopped, err)
		}
		if took := time.Since(began); took != time.Minute+5*time.Second {
			t.Errorf("it ends after %s", took)
		}
	})
}

// TestStopGivesUp when the rows do not come, and says where they are.
func TestStopGivesUp(t *testing.T) {
	with(t, services{answer: accept}, func(t *testing.T, b *membus.Bus) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		run, stopped, err := live.Run(ctx, b, start, func(event.Event) {}, func(bool) {})
		if run != "e2e-1" || !stopped || err == nil || !strings.Contains(err.Error(), "they wait in the stream") {
			t.Errorf("%s, stopped %t, %v", run, stopped, err)
		}
	})
}

func TestRunEndsWithTheBus(t *testing.T) {
	with(t, services{answer: accept}, func(t *testing.T, b *membus.Bus) {
		time.AfterFunc(time.Minute, func() { b.Close() })
		if _, _, err := live.Run(t.Context(), b, start, func(event.Event) {}, func(bool) {}); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("it ends with %v", err)
		}
	})
}
