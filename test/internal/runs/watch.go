package runs

import (
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// Patience is far longer than anything in these runs takes, also on a busy machine.
const Patience = 3 * time.Minute

// Watch follows what happens in the runs.
type Watch struct {
	t testing.TB

	mu      sync.Mutex
	more    chan struct{} // closed at the next event
	counts  map[event.Kind]int
	newest  map[event.Kind]event.Event
	started map[string]event.RunStarted
	ended   map[string]bool // all rows are stored
}

// NewWatch follows the runs of a bus until the test ends.
func NewWatch(t testing.TB, b bus.Follower) *Watch {
	t.Helper()
	w := &Watch{
		t: t, more: make(chan struct{}), counts: make(map[event.Kind]int), newest: make(map[event.Kind]event.Event),
		started: make(map[string]event.RunStarted), ended: make(map[string]bool),
	}
	sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, wire.RunFilter("*"))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for m := range sub.C() {
			if ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data); err == nil {
				w.take(ev)
			}
		}
	}()
	return w
}

func (w *Watch) take(ev event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kind := ev.Body.Kind()
	w.counts[kind]++
	w.newest[kind] = ev
	switch b := ev.Body.(type) {
	case event.RunStarted:
		w.started[ev.Run] = b
	case event.RunRecorded:
		w.ended[ev.Run] = true
	}
	close(w.more)
	w.more = make(chan struct{})
}

// await waits until holds, which is called with the lock held.
func (w *Watch) await(what string, holds func() bool) {
	w.t.Helper()
	timeout := time.After(Patience)
	for {
		w.mu.Lock()
		ok, more := holds(), w.more
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-more:
		case <-timeout:
			w.t.Fatalf("%s: not within %v; so far %v", what, Patience, w.counts)
		}
	}
}

// AwaitEnd waits until a run is finished and stored.
func (w *Watch) AwaitEnd(run string) {
	w.t.Helper()
	w.await("the end of run "+run, func() bool { return w.ended[run] })
}

// AwaitStart waits until a run begins.
func (w *Watch) AwaitStart(run string) (start event.RunStarted) {
	w.t.Helper()
	w.await("the start of run "+run, func() bool {
		var ok bool
		start, ok = w.started[run]
		return ok
	})
	return start
}

// Counts is how many events there were so far, by kind.
func (w *Watch) Counts() map[event.Kind]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.counts)
}

// AwaitMore waits for n more events of a kind than there are now.
func (w *Watch) AwaitMore(n int, b event.Body) {
	w.t.Helper()
	kind := b.Kind()
	w.mu.Lock()
	want := w.counts[kind] + n
	w.mu.Unlock()
	w.await("more of "+string(kind), func() bool { return w.counts[kind] >= want })
}

// Last is the newest event of a kind.
func (w *Watch) Last(kind event.Kind) event.Event {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	ev, ok := w.newest[kind]
	if !ok {
		w.t.Fatalf("there was no %s yet", kind)
	}
	return ev
}

// Now is the experiment time of a run by the clock.
func (w *Watch) Now(run string) vtime.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	start := w.started[run]
	return vtime.Time(float64(time.Since(time.Unix(0, start.WallStart))) * start.Spec.TimeScale)
}

// Over reports whether a run is finished and stored.
func (w *Watch) Over(run string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended[run]
}
