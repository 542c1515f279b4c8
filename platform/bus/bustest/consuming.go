package bustest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
)

var consuming = map[string]func(*testing.T, New){
	"ConsumeDeliversInOrder":       consumeDeliversInOrder,
	"ConsumeGoesOnWhereItStopped":  consumeGoesOnWhereItStopped,
	"UnackedComesToTheNext":        unackedComesToTheNext,
	"UntakenComesToTheNext":        untakenComesToTheNext,
	"UnackedComesAfterTheAckWait":  unackedComesAfterTheAckWait,
	"AckTwice":                     ackTwice,
	"AckAfterStop":                 ackAfterStop,
	"DurablesAreIndependent":       durablesAreIndependent,
	"WorkersShare":                 workersShare,
	"ConsumeEndsWithItsContext":    consumeEndsWithItsContext,
	"PurgeRemovesFromTheConsumers": purgeRemovesFromTheConsumers,
	"WaitingIsWhatIsLeft":          waitingIsWhatIsLeft,
}

func ack(t *testing.T, ds ...bus.Delivery) {
	t.Helper()
	for _, d := range ds {
		if err := d.Ack(); err != nil {
			t.Fatalf("ack of %d: %v", d.Seq, err)
		}
	}
}

func seqs(ds []bus.Delivery) []uint64 {
	s := make([]uint64, len(ds))
	for i, d := range ds {
		s[i] = d.Seq
	}
	return s
}

func consumeDeliversInOrder(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 0, 500)
	publish(t, b, "spot.run.r.y", 0, 500)
	w := consume(t, b, "collector", "spot.run.r.y")
	publish(t, b, "spot.run.r.y", 500, 500)
	for i := range 1000 {
		d := next(t, w.C())
		if d.Seq != uint64(501+i) || text(d.Message) != "spot.run.r.y "+string(payload(i)) {
			t.Fatalf("delivery %d is %q with sequence %d", i, text(d.Message), d.Seq)
		}
		ack(t, d)
	}
}

func consumeGoesOnWhereItStopped(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 0, 10)
	w := consume(t, b, "collector")
	ack(t, take(t, w.C(), 10)...)
	w.Stop()
	ended(t, w.C())
	if err := w.Err(); err != nil {
		t.Errorf("Err after Stop = %v; want nil", err)
	}
	publish(t, b, "spot.run.r.x", 10, 5)
	if got, want := seqs(take(t, consume(t, b, "collector").C(), 5)), []uint64{11, 12, 13, 14, 15}; !slices.Equal(got, want) {
		t.Errorf("the next worker gets %v; want %v", got, want)
	}
}

// Of ten deliveries, the even ones are acknowledged before the worker stops.
func unackedComesToTheNext(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 0, 10)
	w := consume(t, b, "collector")
	for _, d := range take(t, w.C(), 10) {
		if d.Seq%2 == 0 {
			ack(t, d)
		}
	}
	w.Stop()
	ended(t, w.C())
	publish(t, b, "spot.run.r.x", 10, 1)
	got := seqs(take(t, consume(t, b, "collector").C(), 6))
	slices.Sort(got)
	if want := []uint64{1, 3, 5, 7, 9, 11}; !slices.Equal(got, want) {
		t.Errorf("the next worker gets %v; want %v", got, want)
	}
}

// Messages on their way to a worker that stops need not wait for their ack wait.
func untakenComesToTheNext(t *testing.T, open New) {
	b := start(t, open, Options{AckWait: time.Hour})
	const n = 1000
	publish(t, b, "spot.run.r.x", 0, n)
	w := consume(t, b, "collector")
	ack(t, next(t, w.C()))
	w.Stop()
	ended(t, w.C())
	got := seqs(take(t, consume(t, b, "collector").C(), n-1))
	slices.Sort(got)
	for i, seq := range got {
		if seq != uint64(i+2) {
			t.Fatalf("sequence %d at place %d", seq, i)
		}
	}
}

func unackedComesAfterTheAckWait(t *testing.T, open New) {
	b := start(t, open, Options{AckWait: 300 * time.Millisecond})
	publish(t, b, "spot.run.r.x", 0, 2)
	w := consume(t, b, "collector")
	ds := take(t, w.C(), 2)
	ack(t, ds[1])
	for range 2 {
		if d := next(t, w.C()); d.Seq != 1 {
			t.Fatalf("sequence %d comes again; want 1", d.Seq)
		}
	}
	ack(t, ds[0]) // of the first delivery: good for all
}

func ackTwice(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 0, 2)
	w := consume(t, b, "collector")
	ds := take(t, w.C(), 2)
	ack(t, ds[0], ds[0], ds[0], ds[1], ds[0])
}

func ackAfterStop(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 0, 1)
	w := consume(t, b, "collector")
	d := next(t, w.C())
	w.Stop()
	ended(t, w.C())
	ack(t, d, d)
}

func durablesAreIndependent(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 0, 3)
	for _, name := range []string{"collector", "auditor"} {
		ds := take(t, consume(t, b, name).C(), 3)
		if got, want := seqs(ds), []uint64{1, 2, 3}; !slices.Equal(got, want) {
			t.Errorf("%s gets %v; want %v", name, got, want)
		}
		ack(t, ds...)
	}
}

// Two workers under one name get every message once between them.
func workersShare(t *testing.T, open New) {
	b := start(t, open, Options{})
	w, v := consume(t, b, "collector"), consume(t, b, "collector")
	const n = 1000
	publish(t, b, "spot.run.r.x", 0, n)
	got := make([]uint64, 0, n)
	for range n {
		var d bus.Delivery
		select {
		case d = <-w.C():
		case d = <-v.C():
		case <-time.After(patience):
			t.Fatalf("%d messages came; want %d", len(got), n)
		}
		got = append(got, d.Seq)
		ack(t, d)
	}
	slices.Sort(got)
	for i, seq := range got {
		if seq != uint64(i+1) {
			t.Fatalf("sequence %d at place %d", seq, i)
		}
	}
}

func consumeEndsWithItsContext(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 0, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := b.Consume(ctx, bus.Runs, "collector")
	if err != nil {
		t.Fatal(err)
	}
	next(t, w.C())
	cancel()
	ended(t, w.C())
	if err := w.Err(); err != nil {
		t.Errorf("Err = %v; want nil", err)
	}
}

// A purge may make what is left to deliver again wait for its ack wait.
func purgeRemovesFromTheConsumers(t *testing.T, open New) {
	b := start(t, open, Options{AckWait: time.Second})
	publish(t, b, "spot.run.a.x", 0, 3)
	publish(t, b, "spot.run.b.x", 0, 1)
	w := consume(t, b, "collector")
	take(t, w.C(), 4)
	w.Stop()
	ended(t, w.C())
	if err := b.Purge(within(t), bus.Runs, "spot.run.a.>"); err != nil {
		t.Fatal(err)
	}
	if d := next(t, consume(t, b, "collector").C()); d.Seq != 4 {
		t.Errorf("sequence %d comes again; want 4, the others were purged", d.Seq)
	}
}

func waitingIsWhatIsLeft(t *testing.T, open New) {
	b := start(t, open, Options{})
	wait := func(want uint64) {
		t.Helper()
		for n, ctx := want+1, within(t); n != want; { // both publication and acknowledgement are on their way for a moment
			var err error
			if n, err = b.Waiting(ctx, bus.Runs, "collector"); err != nil {
				t.Fatalf("%d messages wait, want %d: %v", n, want, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	publish(t, b, "spot.run.r.x", 0, 10)
	publish(t, b, "spot.run.r.y", 0, 7)
	wait(0) // nobody has asked for them
	w := consume(t, b, "collector", "spot.run.r.x")
	ds := take(t, w.C(), 10)
	wait(10)
	ack(t, ds[:4]...)
	wait(6)
	publish(t, b, "spot.run.r.x", 10, 3)
	publish(t, b, "spot.run.r.y", 7, 3)
	ack(t, ds[4:]...)
	ack(t, take(t, w.C(), 3)...)
	wait(0)
	w.Stop()
	ended(t, w.C())
	publish(t, b, "spot.run.r.x", 13, 5)
	if err := b.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	wait(5)
}
