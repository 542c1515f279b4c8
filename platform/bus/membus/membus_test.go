package membus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/bustest"
	"github.com/spotserve/spotserve/platform/bus/membus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(_ *testing.T, o bustest.Options) bus.Bus {
	return membus.New(membus.Options{FirstSeq: o.FirstSeq, AckWait: o.AckWait, DuplicateWindow: o.DuplicateWindow})
}

func TestConformance(t *testing.T) { bustest.Run(t, open) }

// In a bubble the waits of the bus take no time, and it can be seen that
// something did not happen.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, "spot.run.a")
		if err != nil {
			t.Fatal(err)
		}
		work, err := b.Consume(t.Context(), bus.Runs, "collector")
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.b", ID: "one"}); err != nil {
			t.Fatal(err)
		}
		<-work.C()
		synctest.Wait()
		if len(sub.C()) > 0 {
			t.Error("a follower of spot.run.a gets spot.run.b")
		}

		time.Sleep(30*time.Second - 1)
		synctest.Wait()
		if len(work.C()) > 0 {
			t.Error("a message comes again before its ack wait is over")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if len(work.C()) != 1 {
			t.Fatal("a message does not come again when its ack wait is over")
		}
		if err := (<-work.C()).Ack(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(work.C()) > 0 {
			t.Error("an acknowledged message comes again")
		}

		// The window of the ID is over by now.
		if seq, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.b", ID: "one"}); seq != 2 || err != nil {
			t.Errorf("a repetition after an hour has sequence %d, %v; want 2", seq, err)
		}
	})
}

// A consumer with too many open deliveries gets nothing new until it
// acknowledges one.
func TestPendingLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{AckWait: time.Hour})
		defer b.Close()
		const limit = 10_000
		for range limit + 1 {
			if err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.a"}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		work, err := b.Consume(ctx, bus.Runs, "collector")
		if err != nil {
			t.Fatal(err)
		}
		first := <-work.C()
		for range limit - 1 {
			<-work.C()
		}
		synctest.Wait()
		if len(work.C()) > 0 {
			t.Fatalf("%d deliveries are open; want at most %d", limit+1, limit)
		}
		if err := first.Ack(); err != nil {
			t.Fatal(err)
		}
		if d := <-work.C(); d.Seq != limit+1 {
			t.Errorf("sequence %d follows; want %d", d.Seq, limit+1)
		}
	})
}
