package rollcall_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/bustest"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hall is a bus in a bubble, with services that answer.
func hall(t *testing.T, test func(t *testing.T, b *membus.Bus)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		test(t, b)
	})
}

// answer has a service answer after a pause, until the end of the test.
func answer(t *testing.T, b *membus.Bus, after time.Duration, who event.ServicePresent) {
	t.Helper()
	ctx := t.Context()
	time.AfterFunc(after, func() {
		if err := rollcall.Answer(ctx, b, who, func() {}); err != nil && !errors.Is(err, bus.ErrClosed) {
			t.Error(err)
		}
	})
}

func names(present []event.ServicePresent) (out []string) {
	for _, p := range present {
		out = append(out, p.Service)
	}
	slices.Sort(out)
	return out
}

func TestCallEndsWhenEnoughAreHere(t *testing.T) {
	hall(t, func(t *testing.T, b *membus.Bus) {
		answer(t, b, 0, event.ServicePresent{Service: "planner"})
		answer(t, b, 0, event.ServicePresent{Service: "worker", Nodes: []string{"a"}})
		answer(t, b, 0, event.ServicePresent{Service: "worker", Nodes: []string{"b"}})
		synctest.Wait()
		began := time.Now()
		present, err := rollcall.Call(t.Context(), b, time.Hour, func(p []event.ServicePresent) bool { return len(p) == 3 })
		if want := []string{"planner", "worker", "worker"}; err != nil || !slices.Equal(names(present), want) {
			t.Errorf("%v, %v; want %v", names(present), err, want)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it waits %s longer than it needs to", took)
		}
	})
}

// TestCallHearsThoseWhoAreJustStarting, and nobody twice.
func TestCallHearsThoseWhoAreJustStarting(t *testing.T) {
	hall(t, func(t *testing.T, b *membus.Bus) {
		answer(t, b, 0, event.ServicePresent{Service: "planner"})
		answer(t, b, 700*time.Millisecond, event.ServicePresent{Service: "worker", Nodes: []string{"*"}})
		began := time.Now()
		present, err := rollcall.Call(t.Context(), b, 3*time.Second, func(p []event.ServicePresent) bool { return len(p) == 2 })
		if want := []string{"planner", "worker"}; err != nil || !slices.Equal(names(present), want) {
			t.Errorf("%v, %v; want %v", names(present), err, want)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("the late one is heard after %s, want 1s", took)
		}
	})
}

func TestCallGivesUpAfterItsWait(t *testing.T) {
	hall(t, func(t *testing.T, b *membus.Bus) {
		answer(t, b, 0, event.ServicePresent{Service: "planner"})
		answer(t, b, 4*time.Second, event.ServicePresent{Service: "worker"})
		began := time.Now()
		present, err := rollcall.Call(t.Context(), b, 3*time.Second, func([]event.ServicePresent) bool { return false })
		if want := []string{"planner"}; err != nil || !slices.Equal(names(present), want) {
			t.Errorf("%v, %v; want %v", names(present), err, want)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it waits %s, want 3s", took)
		}
	})
}

// TestCallTakesNoAnswerToAnother: what is on the stream already tells of
// services that may be gone.
func TestCallTakesNoAnswerToAnother(t *testing.T) {
	hall(t, func(t *testing.T, b *membus.Bus) {
		stale, err := wire.EncodeControl(event.ServicePresent{Call: "another", Service: "planner"})
		if err != nil {
			t.Fatal(err)
		}
		say := func() {
			for _, data := range [][]byte{stale, []byte("junk")} {
				if err := b.Publish(t.Context(), bus.Outgoing{Subject: wire.SubjectPresent, Data: data}); err != nil {
					t.Error(err)
				}
			}
		}
		say()
		time.AfterFunc(time.Second, say)
		present, err := rollcall.Call(t.Context(), b, 3*time.Second, func(p []event.ServicePresent) bool { return len(p) > 0 })
		if err != nil || len(present) != 0 {
			t.Errorf("%v, %v; want nobody", present, err)
		}
	})
}

// TestCallThatIsCutShortKnowsNothing: nobody must be taken for missing because
// the one who asked was told to stop.
func TestCallThatIsCutShortKnowsNothing(t *testing.T) {
	hall(t, func(t *testing.T, b *membus.Bus) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := rollcall.Call(ctx, b, time.Hour, func([]event.ServicePresent) bool { return false })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
		time.AfterFunc(time.Second, func() { b.Close() })
		_, err = rollcall.Call(t.Context(), b, time.Hour, func([]event.ServicePresent) bool { return false })
		if !errors.Is(err, bus.ErrClosed) {
			t.Errorf("it ends with %v", err)
		}
	})
}

// TestAnswerOutlivesMistakes of others, and ends with its context.
func TestAnswerOutlivesMistakes(t *testing.T) {
	hall(t, func(t *testing.T, b *membus.Bus) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		ready := make(chan struct{})
		go func() {
			done <- rollcall.Answer(ctx, b, event.ServicePresent{Service: "planner"}, func() { close(ready) })
		}()
		<-ready
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: wire.SubjectRollCalled, Data: []byte("junk")}); err != nil {
			t.Fatal(err)
		}
		present, err := rollcall.Call(t.Context(), b, time.Hour, func(p []event.ServicePresent) bool { return len(p) == 1 })
		if err != nil || present[0].Service != "planner" {
			t.Errorf("%v, %v", present, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it ends with %v", err)
		}
	})
}

// TestABusThatIsAway is no answer: whoever asks is told so, and whoever answers
// goes on when it is back.
func TestABusThatIsAway(t *testing.T) {
	hall(t, func(t *testing.T, b *membus.Bus) {
		began := time.Now()
		flaky := &bustest.Flaky{Bus: b, Away: func(int64) bool { return time.Since(began) < time.Minute }}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			if err := rollcall.Answer(ctx, flaky, event.ServicePresent{Service: "planner"}, func() {}); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		one := func(p []event.ServicePresent) bool { return len(p) == 1 }
		if present, err := rollcall.Call(t.Context(), flaky, time.Second, one); !errors.Is(err, bus.ErrAway) {
			t.Errorf("%v, %v; want that the bus is away", names(present), err)
		}
		if present, err := rollcall.Call(t.Context(), mute{b}, time.Second, one); !errors.Is(err, bus.ErrAway) {
			t.Errorf("%v, %v; want that the bus is away when it says nothing", names(present), err)
		}
		if present, err := rollcall.Call(t.Context(), b, 2*time.Minute, one); err != nil || len(present) != 1 {
			t.Errorf("%v, %v; want the planner", names(present), err)
		}
	})
}

// mute is a bus that never answers.
type mute struct{ *membus.Bus }

func (mute) PublishWait(ctx context.Context, _ bus.Outgoing) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// TestACallerOfVersion1 hears one answer for all nodes, where it listens.
func TestACallerOfVersion1(t *testing.T) {
	hall(t, func(t *testing.T, b *membus.Bus) {
		answer(t, b, 0, event.ServicePresent{Service: "worker", Nodes: []string{"a", "b"}})
		synctest.Wait()
		heard, err := b.Follow(t.Context(), bus.Control, bus.Position{}, wire.SubjectPresent)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: wire.SubjectRollCalled, Data: []byte(`{"call":"c1"}`)}); err != nil {
			t.Fatal(err)
		}
		m := <-heard.C()
		got, err := wire.DecodeControl(m.Subject, m.Data)
		who, ok := got.(event.ServicePresent)
		if err != nil || !ok || who.Call != "c1" || !slices.Equal(who.Nodes, []string{"a", "b"}) || who.Schema != event.SchemaVersion || who.Build == "" {
			t.Errorf("%s: %v", m.Data, err)
		}
	})
}

// TestBuildsAreToldApart: of two planners of different builds both answers count.
func TestBuildsAreToldApart(t *testing.T) {
	hall(t, func(t *testing.T, b *membus.Bus) {
		answer(t, b, 0, event.ServicePresent{Service: "planner"})
		synctest.Wait()
		calls, err := b.Follow(t.Context(), bus.Control, bus.Position{New: true}, wire.SubjectRollCalled)
		if err != nil {
			t.Fatal(err)
		}
		go func() { // one of version 1
			for m := range calls.C() {
				called, err := wire.DecodeControl(m.Subject, m.Data)
				if err != nil {
					t.Error(err)
					return
				}
				data := []byte(`{"call":"` + called.(event.RollCalled).Call + `","service":"planner"}`)
				if err := b.Publish(t.Context(), bus.Outgoing{Subject: wire.SubjectPresent, Data: data}); err != nil {
					return
				}
			}
		}()
		present, err := rollcall.Call(t.Context(), b, time.Minute, func(p []event.ServicePresent) bool { return len(p) == 2 })
		if err != nil || len(present) != 2 || present[0].Schema+present[1].Schema != 1+event.SchemaVersion {
			t.Errorf("%+v, %v", present, err)
		}
		calls.Stop()
	})
}
