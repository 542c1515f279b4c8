package heartbeat_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/heartbeat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// muted is a bus on which one side can be cut off.
type muted struct {
	bus.Signaller
	mu  sync.Mutex
	cut bool
}

func (m *muted) Signal(ctx context.Context, subject string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut {
		return errors.New("no connection")
	}
	return m.Signaller.Signal(ctx, subject, data)
}

func (m *muted) set(cut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut = cut
}

// TestSilence: a worker is silent when it has not beaten for the time that it is
// given, also from the start; and not while the watch does not hear itself.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		log := slog.New(slog.DiscardHandler)
		ctx, cancel := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		worker, watcher := &muted{Signaller: b}, &muted{Signaller: b}
		ended.Go(func() { _ = heartbeat.Beat(ctx, worker, log, []string{"a", "b"}, never) })
		w := heartbeat.NewWatch(watcher, log, "one", 5*time.Second)
		ended.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		nodes := map[string]time.Time{"a": began, "b": began, "c": began}
		at := func(second float64, want ...string) {
			t.Helper()
			time.Sleep(time.Until(began.Add(time.Duration(second * float64(time.Second)))))
			got := w.Silent(nodes)
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("after %.1f s %v are silent, want %v", second, got, want)
			}
		}
		at(4.5)
		at(6.5, "c")
		worker.set(true)
		at(10.5, "c")
		at(12.5, "a", "b", "c")
		worker.set(false)
		at(14.5, "c")
		// The watch is cut off, and so is all that it would hear.
		watcher.set(true)
		worker.set(true)
		at(24.5)
		watcher.set(false)
		at(26.5)
		at(32.5, "a", "b", "c")
		cancel()
		ended.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestOneProcessForAllNodes beats for every one of them.
func TestOneProcessForAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		log := slog.New(slog.DiscardHandler)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = heartbeat.Beat(ctx, b, log, []string{"*"}, never) }()
		w := heartbeat.NewWatch(b, log, "one", 5*time.Second)
		go func() { _ = w.Run(ctx) }()
		nodes := map[string]time.Time{"x": time.Now()}
		time.Sleep(20 * time.Second)
		if got := w.Silent(nodes); len(got) != 0 {
			t.Errorf("%v are silent", got)
		}
	})
}

func never() bool { return false }

// TestWorkersOfOtherVersions: the watch hears a worker that beats for all of its
// nodes at once, as before version 2; and one beats like that too while it is in a
// run of version 1.
func TestWorkersOfOtherVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		log := slog.New(slog.DiscardHandler)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := heartbeat.NewWatch(b, log, "one", 5*time.Second)
		go func() { _ = w.Run(ctx) }()
		go func() {
			for ctx.Err() == nil {
				_ = b.Signal(ctx, "spot.signal.heartbeat.worker", []byte("old-1 old-2"))
				_ = b.Signal(ctx, "spot.signal.heartbeat.worker.not%2a", nil) // no node's token
				select {
				case <-time.After(time.Second):
				case <-ctx.Done(): // time stands still once the test is over
				}
			}
		}()
		nodes := map[string]time.Time{"old-1": time.Now(), "old-2": time.Now(), "not*": time.Now()}
		time.Sleep(20 * time.Second)
		if got := w.Silent(nodes); !slices.Equal(got, []string{"not*"}) {
			t.Errorf("%v are silent", got)
		}
		heard, err := b.Listen(ctx, "spot.signal.heartbeat.worker.>")
		if err != nil {
			t.Fatal(err)
		}
		old, err := b.Listen(ctx, "spot.signal.heartbeat.worker")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = heartbeat.Beat(ctx, b, log, []string{"a.b", "c"}, func() bool { return true }) }()
		for _, want := range []string{"a%2Eb", "c"} {
			m := <-heard.C()
			for m.Subject == "spot.signal.heartbeat.worker.not%2a" {
				m = <-heard.C()
			}
			if m.Subject != "spot.signal.heartbeat.worker."+want {
				t.Errorf("a worker beats on %s, want %s", m.Subject, want)
			}
		}
		for m := range old.C() {
			if string(m.Data) == "a.b c" {
				break
			}
		}
	})
}
