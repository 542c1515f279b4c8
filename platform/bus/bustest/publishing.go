package bustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
)

var publishing = map[string]func(*testing.T, New){
	"PublishKeepsOrder":         publishKeepsOrder,
	"PublishersDoNotMix":        publishersDoNotMix,
	"PublishWaitReturnsSeq":     publishWaitReturnsSeq,
	"StreamsCountSeparately":    streamsCountSeparately,
	"FirstSeq":                  firstSeq,
	"RepeatedIDIsDropped":       repeatedIDIsDropped,
	"RepeatedIDAfterTheWindow":  repeatedIDAfterTheWindow,
	"AppendTakesAPlaceOnce":     appendTakesAPlaceOnce,
	"KeysChangeOneAtATime":      keysChangeOneAtATime,
	"SignalsAreHeardNow":        signalsAreHeardNow,
	"FlushStores":               flushStores,
	"BadSubjectIsRefused":       badSubjectIsRefused,
	"PublishWithEndedContext":   publishWithEndedContext,
	"PurgeRemovesWhatMatches":   purgeRemovesWhatMatches,
	"PurgeBeforeKeepsTheRest":   purgeBeforeKeepsTheRest,
	"PublishedIsTheTimeOfStore": publishedIsTheTimeOfStore,
	"TraceContextIsKept":        traceContextIsKept,
}

func publishKeepsOrder(t *testing.T, open New) {
	b := start(t, open, Options{})
	sub := follow(t, b, bus.Runs, bus.Position{})
	const n = 5000
	publish(t, b, "spot.run.r.fleet.x", 0, n)
	for i, m := range take(t, sub.C(), n) {
		if m.Seq != uint64(i+1) || text(m) != fmt.Sprintf("spot.run.r.fleet.x %d", i) {
			t.Fatalf("message %d is %q with sequence %d; want payload %d and sequence %d", i, text(m), m.Seq, i, i+1)
		}
	}
}

func publishersDoNotMix(t *testing.T, open New) {
	b := start(t, open, Options{})
	sub := follow(t, b, bus.Runs, bus.Position{})
	const publishers, n = 8, 300
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range n {
				if err := b.Publish(t.Context(), bus.Outgoing{Subject: fmt.Sprintf("spot.run.r.%d", p), Data: payload(i)}); err != nil {
					t.Errorf("publisher %d: %v", p, err)
					return
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for i, m := range take(t, sub.C(), publishers*n) {
		if m.Seq != uint64(i+1) {
			t.Fatalf("sequence %d follows %d", m.Seq, i)
		}
		if got, want := string(m.Data), string(payload(seen[m.Subject])); got != want {
			t.Fatalf("%s: payload %s; want %s", m.Subject, got, want)
		}
		seen[m.Subject]++
	}
}

func publishWaitReturnsSeq(t *testing.T, open New) {
	b := start(t, open, Options{})
	for i := range 3 {
		// A message that is only handed over keeps its place before the next.
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.a"}); err != nil {
			t.Fatal(err)
		}
		seq, err := b.PublishWait(within(t), bus.Outgoing{Subject: "spot.run.b"})
		if want := uint64(2*i + 2); err != nil || seq != want {
			t.Fatalf("sequence %d, %v; want %d", seq, err, want)
		}
	}
}

// appendTakesAPlaceOnce: of all who want the same place, one gets it, and the
// subjects around it do not matter.
func appendTakesAPlaceOnce(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.timer.x", 0, 2)
	elected := bus.Outgoing{Subject: "spot.run.r.timer.elected"}
	first, err := b.Append(within(t), elected, 0)
	if first != 3 || err != nil {
		t.Fatalf("the first has sequence %d, %v; want 3", first, err)
	}
	publish(t, b, "spot.run.r.timer.x", 2, 2)
	if seq, err := b.Append(within(t), elected, 0); !errors.Is(err, bus.ErrTaken) {
		t.Errorf("a second first has sequence %d, %v; want ErrTaken", seq, err)
	}
	var mu sync.Mutex
	var won []uint64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			seq, err := b.Append(within(t), elected, first)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, seq)
			} else if !errors.Is(err, bus.ErrTaken) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !slices.Equal(won, []uint64{6}) {
		t.Errorf("of eight, these got the second place: %v; want one, with sequence 6", won)
	}
	if m, found, err := b.Newest(within(t), bus.Runs, elected.Subject); m.Seq != 6 || !found || err != nil {
		t.Errorf("the newest has sequence %d, %t, %v; want 6", m.Seq, found, err)
	}
	publish(t, b, "spot.run.s.timer.elected", 0, 1)
	if m, found, err := b.Newest(within(t), bus.Runs, "spot.run.*.timer.elected"); m.Seq != 7 || m.Subject != "spot.run.s.timer.elected" || !found || err != nil {
		t.Errorf("the newest of all runs is %s with sequence %d, %t, %v; want that of run s with 7", m.Subject, m.Seq, found, err)
	}
	if _, found, err := b.Newest(within(t), bus.Runs, "spot.run.r.timer.other"); found || err != nil {
		t.Errorf("a subject without messages has a newest one: %t, %v", found, err)
	}
	if _, err := b.Append(within(t), bus.Outgoing{Subject: "elsewhere"}, 0); !errors.Is(err, bus.ErrSubject) {
		t.Errorf("a subject that no stream holds: %v; want ErrSubject", err)
	}
}

// keysChangeOneAtATime: who does not know the present value cannot replace it.
func keysChangeOneAtATime(t *testing.T, open New) {
	b := start(t, open, Options{})
	must := func(what string, wantValue string, wantRevision bool) uint64 {
		t.Helper()
		value, revision, err := b.Get(within(t), "planner")
		if string(value) != wantValue || (revision > 0) != wantRevision || err != nil {
			t.Fatalf("%s: %q, revision %d, %v; want %q", what, value, revision, err, wantValue)
		}
		return revision
	}
	must("before", "", false)
	first, err := b.Put(within(t), "planner", []byte("a"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := must("after the first", "a", true); got != first {
		t.Errorf("revision %d, the first put said %d", got, first)
	}
	for _, wrong := range []uint64{0, first + 7} {
		if _, err := b.Put(within(t), "planner", []byte("b"), wrong); !errors.Is(err, bus.ErrTaken) {
			t.Errorf("put at revision %d: %v; want ErrTaken", wrong, err)
		}
	}
	if _, err := b.Put(within(t), "collector", []byte("c"), 0); err != nil {
		t.Errorf("another key: %v", err)
	}
	second, err := b.Put(within(t), "planner", []byte("b"), first)
	if second <= first || err != nil {
		t.Errorf("revision %d follows %d, %v", second, first, err)
	}
	must("after the second", "b", true)
}

// signalsAreHeardNow, by those who listen, and by nobody later.
func signalsAreHeardNow(t *testing.T, open New) {
	b := start(t, open, Options{})
	signal := func(subject, text string) {
		t.Helper()
		if err := b.Signal(within(t), subject, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	signal("spot.signal.worker", "nobody hears this")
	all, err := b.Listen(t.Context(), "spot.signal.>")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Stop()
	workers, err := b.Listen(t.Context(), "spot.signal.worker")
	if err != nil {
		t.Fatal(err)
	}
	signal("spot.signal.planner", "p")
	signal("spot.signal.worker", "w")
	if m := next(t, all.C()); string(m.Data) != "p" || m.Subject != "spot.signal.planner" {
		t.Errorf("heard %q on %s, want p", m.Data, m.Subject)
	}
	if m := next(t, all.C()); string(m.Data) != "w" {
		t.Errorf("heard %q, want w", m.Data)
	}
	if m := next(t, workers.C()); string(m.Data) != "w" {
		t.Errorf("heard %q, want w", m.Data)
	}
	workers.Stop()
	for range workers.C() {
		t.Error("heard something after the end")
	}
	if workers.Err() != nil {
		t.Errorf("it ends with %v", workers.Err())
	}
	if err := b.Signal(within(t), "spot.run.r.x", nil); !errors.Is(err, bus.ErrSubject) {
		t.Errorf("a signal outside %s: %v; want ErrSubject", bus.Signals, err)
	}
	if seq, err := b.LastSeq(within(t), bus.Runs); seq != 0 || err != nil {
		t.Errorf("a stream has %d messages, %v", seq, err)
	}
}

func streamsCountSeparately(t *testing.T, open New) {
	b := start(t, open, Options{})
	for _, s := range []bus.Stream{bus.Control, bus.Runs} {
		if seq, err := b.LastSeq(within(t), s); seq != 0 || err != nil {
			t.Errorf("LastSeq of the empty %s = %d, %v; want 0", s, seq, err)
		}
	}
	publish(t, b, "spot.control.experiment.start", 0, 2)
	publish(t, b, "spot.run.r.x", 0, 5)
	for s, want := range map[bus.Stream]uint64{bus.Control: 2, bus.Runs: 5} {
		if seq, err := b.LastSeq(within(t), s); seq != want || err != nil {
			t.Errorf("LastSeq of %s = %d, %v; want %d", s, seq, err, want)
		}
	}
	if _, err := b.LastSeq(within(t), "SPOT_OTHER"); !errors.Is(err, bus.ErrSubject) {
		t.Errorf("LastSeq of an unknown stream: %v; want ErrSubject", err)
	}
}

func firstSeq(t *testing.T, open New) {
	b := start(t, open, Options{FirstSeq: 41})
	if seq, err := b.LastSeq(within(t), bus.Control); seq != 0 || err != nil {
		t.Errorf("LastSeq of an empty stream = %d, %v; want 0", seq, err)
	}
	seq, err := b.PublishWait(within(t), bus.Outgoing{Subject: "spot.control.experiment.start"})
	if seq != 41 || err != nil {
		t.Errorf("first sequence %d, %v; want 41", seq, err)
	}
	if m := next(t, follow(t, b, bus.Control, bus.Position{}).C()); m.Seq != 41 {
		t.Errorf("a follower sees sequence %d; want 41", m.Seq)
	}
	if seq, err := b.LastSeq(within(t), bus.Control); seq != 41 || err != nil {
		t.Errorf("LastSeq = %d, %v; want 41", seq, err)
	}
}

func repeatedIDIsDropped(t *testing.T, open New) {
	b := start(t, open, Options{})
	send := func(id, data string) uint64 {
		seq, err := b.PublishWait(within(t), bus.Outgoing{Subject: "spot.run.r.x", ID: id, Data: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	first := send("one", "a")
	if seq := send("one", "b"); seq != first {
		t.Errorf("the repeated message has sequence %d; want the first's, %d", seq, first)
	}
	send("two", "c")
	send("", "d")
	send("", "d") // no ID: never a repetition
	// IDs belong to a stream.
	if _, err := b.PublishWait(within(t), bus.Outgoing{Subject: "spot.control.x", ID: "one"}); err != nil {
		t.Fatal(err)
	}
	got := texts(take(t, follow(t, b, bus.Runs, bus.Position{}).C(), 4))
	if want := []string{"spot.run.r.x a", "spot.run.r.x c", "spot.run.r.x d", "spot.run.r.x d"}; !slices.Equal(got, want) {
		t.Errorf("stream has %q; want %q", got, want)
	}
	if seq, err := b.LastSeq(within(t), bus.Control); seq != 1 || err != nil {
		t.Errorf("the other stream ends at %d, %v; want 1", seq, err)
	}
}

func repeatedIDAfterTheWindow(t *testing.T, open New) {
	b := start(t, open, Options{DuplicateWindow: 100 * time.Millisecond})
	m := bus.Outgoing{Subject: "spot.run.r.x", ID: "one"}
	first, err := b.PublishWait(within(t), m)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; {
		seq, err := b.PublishWait(within(t), m)
		if err != nil {
			t.Fatal(err)
		}
		if seq > first {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the ID is never forgotten")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func flushStores(t *testing.T, open New) {
	b := start(t, open, Options{})
	if err := b.Flush(within(t)); err != nil {
		t.Fatalf("flush of nothing: %v", err)
	}
	for i := range 1000 {
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.r.x", Data: payload(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	if seq, err := b.LastSeq(within(t), bus.Runs); seq != 1000 || err != nil {
		t.Errorf("after Flush the stream ends at %d, %v; want 1000", seq, err)
	}
}

func badSubjectIsRefused(t *testing.T, open New) {
	b := start(t, open, Options{})
	for _, subject := range []string{"", "other.run.x", "spot.run", "spot.run.*", "spot.run.>", "spot.run..x", "spot.run.a b"} {
		m := bus.Outgoing{Subject: subject}
		if err := b.Publish(t.Context(), m); !errors.Is(err, bus.ErrSubject) {
			t.Errorf("Publish to %q: %v; want ErrSubject", subject, err)
		}
		if _, err := b.PublishWait(t.Context(), m); !errors.Is(err, bus.ErrSubject) {
			t.Errorf("PublishWait to %q: %v; want ErrSubject", subject, err)
		}
	}
	for _, filter := range []string{"", ">", "spot.control.>", "spot.run.a*", "spot.run.>.a"} {
		if _, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, filter); !errors.Is(err, bus.ErrSubject) {
			t.Errorf("Follow %q: %v; want ErrSubject", filter, err)
		}
		if _, err := b.Consume(t.Context(), bus.Runs, "d", filter); !errors.Is(err, bus.ErrSubject) {
			t.Errorf("Consume %q: %v; want ErrSubject", filter, err)
		}
		if err := b.Purge(t.Context(), bus.Runs, filter); !errors.Is(err, bus.ErrSubject) {
			t.Errorf("Purge %q: %v; want ErrSubject", filter, err)
		}
	}
	if _, err := b.Follow(t.Context(), "SPOT_OTHER", bus.Position{}); !errors.Is(err, bus.ErrSubject) {
		t.Errorf("Follow of an unknown stream: %v; want ErrSubject", err)
	}
	if _, err := b.Consume(t.Context(), bus.Runs, "a.b"); err == nil {
		t.Error("Consume under the name a.b succeeds; want an error")
	}
	if seq, err := b.LastSeq(within(t), bus.Runs); seq != 0 || err != nil {
		t.Errorf("LastSeq = %d, %v; want 0: nothing was to be stored", seq, err)
	}
}

func publishWithEndedContext(t *testing.T, open New) {
	b := start(t, open, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := bus.Outgoing{Subject: "spot.run.r.x"}
	if err := b.Publish(ctx, m); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish: %v; want context.Canceled", err)
	}
	if _, err := b.PublishWait(ctx, m); !errors.Is(err, context.Canceled) {
		t.Errorf("PublishWait: %v; want context.Canceled", err)
	}
}

func purgeRemovesWhatMatches(t *testing.T, open New) {
	b := start(t, open, Options{})
	for i := range 3 {
		publish(t, b, "spot.run.a.x", i, 1)
		publish(t, b, "spot.run.b.x", i, 1)
	}
	if err := b.Purge(within(t), bus.Runs, "spot.run.a.>"); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "spot.run.a.x", 3, 1)
	ms := take(t, follow(t, b, bus.Runs, bus.Position{}).C(), 4)
	want := []string{"spot.run.b.x 0", "spot.run.b.x 1", "spot.run.b.x 2", "spot.run.a.x 3"}
	if got := texts(ms); !slices.Equal(got, want) {
		t.Errorf("after the purge: %q; want %q", got, want)
	}
	if ms[3].Seq != 7 {
		t.Errorf("the first message after the purge has sequence %d; want 7", ms[3].Seq)
	}
	if err := b.Purge(within(t), bus.Runs, "spot.run.>"); err != nil {
		t.Fatal(err)
	}
	if seq, err := b.LastSeq(within(t), bus.Runs); seq != 7 || err != nil {
		t.Errorf("LastSeq of a purged stream = %d, %v; want 7", seq, err)
	}
}

func publishedIsTheTimeOfStore(t *testing.T, open New) {
	b := start(t, open, Options{})
	before := time.Now()
	publish(t, b, "spot.run.r.x", 0, 1)
	m := next(t, follow(t, b, bus.Runs, bus.Position{}).C())
	// A server's clock may be coarser than ours.
	if m.Published.Before(before.Add(-time.Second)) || m.Published.After(time.Now().Add(time.Second)) {
		t.Errorf("published at %v; want about %v", m.Published, before)
	}
}

func purgeBeforeKeepsTheRest(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.a.x", 0, 5)
	if err := b.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{0, 1, 4, 4} {
		if err := b.PurgeBefore(within(t), bus.Runs, seq); err != nil {
			t.Fatal(err)
		}
	}
	ms := take(t, follow(t, b, bus.Runs, bus.Position{}).C(), 2)
	if got := texts(ms); !slices.Equal(got, []string{"spot.run.a.x 3", "spot.run.a.x 4"}) || ms[0].Seq != 4 {
		t.Errorf("after the purge: %q from %d on; want 3 and 4, from 4 on", got, ms[0].Seq)
	}
}
