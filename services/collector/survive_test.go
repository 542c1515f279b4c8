package collector_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/alarm"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/collector"
)

var errKilled = errors.New("this process is dead")

// life is what a process still does: write to its store, and acknowledge.
type life struct {
	mu   sync.Mutex
	left int
}

func (l *life) spend() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 {
		return errKilled
	}
	l.left--
	return nil
}

// connection is a process's own to the vault.
type connection struct {
	*vault
	life *life
}

func (c connection) Write(ctx context.Context, b store.Batch) error {
	if err := c.life.spend(); err != nil {
		return err
	}
	return c.vault.Write(ctx, b)
}

// mortalBus acknowledges nothing more after the process's end.
type mortalBus struct {
	collector.Bus
	life *life
}

func (b mortalBus) Consume(ctx context.Context, s bus.Stream, durable string, filters ...string) (bus.Work, error) {
	work, err := b.Bus.Consume(ctx, s, durable, filters...)
	if err != nil {
		return nil, err
	}
	out := &watchedWork{Work: work, c: make(chan bus.Delivery)}
	go func() {
		defer close(out.c)
		for d := range work.C() {
			ack := d.Ack
			d.Ack = func() error {
				if err := b.life.spend(); err != nil {
					return err
				}
				return ack()
			}
			select {
			case out.c <- d:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (b mortalBus) Publish(ctx context.Context, m bus.Outgoing) error {
	if err := b.life.spend(); err != nil {
		return err
	}
	return b.Bus.Publish(ctx, m)
}

// TestKilledAnywhere: a collector is killed before or after any write and any
// acknowledgement, and the next one, on a connection of its own, stores what is
// missing.
func TestKilledAnywhere(t *testing.T) {
	events := history("e2e-1", 10)
	for cut := range len(events) + 4 {
		t.Run(fmt.Sprint("after ", cut), func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				l := &life{left: cut}
				d.store = connection{d.vault, l}
				d.over = func(b collector.Bus) collector.Bus { return mortalBus{b, l} }
				d.start()
				d.publish(events[:8]...)
				time.Sleep(time.Second)
				d.publish(events[8:]...)
				time.Sleep(time.Minute)
				if err := d.stop(); !errors.Is(err, context.Canceled) && !errors.Is(err, errKilled) {
					t.Errorf("it ends with %v", err)
				}
				d.store, d.over = nil, func(b collector.Bus) collector.Bus { return b }
				d.start()
				d.recorded("e2e-1", 10)
				time.Sleep(time.Hour)
				if n, err := d.bus.Waiting(t.Context(), bus.Runs, "collector-runs"); n != 0 || err != nil {
					t.Errorf("%d messages wait, %v", n, err)
				}
				if rows := len(d.vault.rows); rows != 14 {
					t.Errorf("%d rows, want 14: 10 requests, fleet, configuration, migration, node", rows)
				}
			})
		})
	}
}

// TestTwoCollectorsAtOnce: one works, the other stands by, and nothing is missing
// when a run is said to be recorded.
func TestTwoCollectorsAtOnce(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.start()
		first := d.stop
		d.start()
		for i := range 5 {
			d.publish(history(fmt.Sprintf("e2e-%d", i+1), 50)...)
		}
		for i := range 5 {
			d.recorded(fmt.Sprintf("e2e-%d", i+1), 50)
		}
		time.Sleep(time.Hour)
		if n, err := d.bus.Waiting(t.Context(), bus.Runs, "collector-runs"); n != 0 || err != nil {
			t.Errorf("%d messages wait, %v", n, err)
		}
		if rows := len(d.vault.rows); rows != 5*54 {
			t.Errorf("%d rows, want %d", rows, 5*54)
		}
		if err := first(); !errors.Is(err, context.Canceled) {
			t.Errorf("the first ends with %v", err)
		}
	})
}

// TestWhatIsSaidTwiceCountsOnce: a planner or replayer that was thought dead says
// again what its successor said, long after, also behind the run's end.
func TestWhatIsSaidTwiceCountsOnce(t *testing.T) {
	events := history("e2e-1", 10)
	for _, cut := range []int{1, 7, len(events)} {
		t.Run(fmt.Sprint("after ", cut), func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.start()
				d.publish(events[:cut]...)
				time.Sleep(time.Hour) // longer than the stream knows a message by its ID
				d.publish(events...)
				d.recorded("e2e-1", 10)
				time.Sleep(time.Hour)
				d.publish(events[2:]...)
				time.Sleep(time.Hour)
				d.mustHave("e2e-1", 10)
				if rows := len(d.vault.rows); rows != 14 {
					t.Errorf("%d rows, want 14", rows)
				}
			})
		})
	}
}

// TestStoreIsAwayForLong: ten minutes and thousands of messages. What is in hand
// stays small, what waits is told, and nothing is lost.
func TestStoreIsAwayForLong(t *testing.T) {
	const requests = 3000
	atDesk(t, func(t *testing.T, d *desk) {
		began := time.Now()
		d.vault.fail = func(int) error {
			if time.Since(began) < 10*time.Minute {
				return errAway
			}
			return nil
		}
		alarms, err := alarm.Listen(t.Context(), d.bus, alarm.StoreAway)
		if err != nil {
			t.Fatal(err)
		}
		d.start()
		for i := range 3 {
			d.publish(history(fmt.Sprintf("e2e-%d", i+1), requests)...)
		}
		if !<-alarms {
			t.Error("the alarm is over before it begins")
		}
		time.Sleep(9 * time.Minute)
		if n := testutil.ToFloat64(d.counter("spotserve_collector_lag_messages")); n < 3*requests {
			t.Errorf("%v messages wait by the metric, want all %d", n, 3*requests)
		}
		if n := strings.Count(d.log.String(), "messages wait in the streams"); n != 9 {
			t.Errorf("after 9 minutes %d log lines say that messages wait", n)
		}
		if on := <-alarms; on || time.Since(began) < 10*time.Minute {
			t.Errorf("%s after the store went the alarm is on: %t", time.Since(began), on)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for i := range 3 {
			d.recorded(fmt.Sprintf("e2e-%d", i+1), requests)
		}
		if n := testutil.ToFloat64(d.counter("spotserve_collector_lag_messages")); n != 0 {
			t.Errorf("%v messages wait when all is stored", n)
		}
		if d.vault.largest > 2100 {
			t.Errorf("a batch had %d rows", d.vault.largest)
		}
	})
}

// runs starts, answers and plays experiments, with an hour between them.
func (d *desk) runs(from, to int) {
	d.t.Helper()
	for i := from; i <= to; i++ {
		name := d.accept()
		d.publish(history(name, 10)...)
		d.recorded(name, 10)
		time.Sleep(time.Hour)
	}
}

// accept puts a start and its answer on the control stream.
func (d *desk) accept() string {
	d.t.Helper()
	seq, err := d.bus.PublishWait(d.t.Context(), bus.Outgoing{Subject: wire.SubjectStart, Data: []byte("{}")})
	if err != nil {
		d.t.Fatal(err)
	}
	name := fmt.Sprintf("e2e-%d", seq)
	data, err := wire.EncodeControl(event.ExperimentAccepted{StartSeq: seq, Run: name})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.bus.Publish(d.t.Context(), bus.Outgoing{Subject: wire.SubjectAccepted, Data: data}); err != nil {
		d.t.Fatal(err)
	}
	return name
}

// left counts the messages of a stream that a filter selects.
func left(t *testing.T, b *membus.Bus, s bus.Stream, filter string) (n int) {
	t.Helper()
	sub, err := b.Follow(t.Context(), s, bus.Position{}, filter)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	for {
		select {
		case <-sub.C():
			n++
		case <-time.After(time.Second):
			return n
		}
	}
}

// TestRetention: runs that are stored and old are purged, with their starts;
// what is not stored, or waits for its turn, is not, and the rows stay.
func TestRetention(t *testing.T) {
	for name, c := range map[string]struct {
		keep collector.Retention
		kept int // of five runs
	}{
		"everything":       {collector.Retention{}, 5},
		"by age":           {collector.Retention{Age: 150 * time.Minute}, 2},
		"by number":        {collector.Retention{Runs: 3}, 3},
		"by both":          {collector.Retention{Age: 210 * time.Minute, Runs: 2}, 2},
		"at least the one": {collector.Retention{Age: time.Minute}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.keep = c.keep
				d.start()
				d.runs(1, 5)
				if n := left(t, d.bus, bus.Runs, wire.RunStartedFilter("*")); n != c.kept {
					t.Errorf("%d runs are kept, want %d", n, c.kept)
				}
				for _, subject := range []string{wire.SubjectStart, wire.SubjectAccepted} {
					if n := left(t, d.bus, bus.Control, subject); n != c.kept {
						t.Errorf("%d messages %s are kept, want %d", n, subject, c.kept)
					}
				}
				if n := left(t, d.bus, bus.Runs, "spot.run.>"); n != c.kept*len(history("x", 10))+c.kept {
					t.Errorf("%d messages of runs are kept, want %d runs whole", n, c.kept)
				}
				for i := range 5 {
					d.mustHave(fmt.Sprintf("e2e-%d", 2*i+1), 10)
				}
			})
		})
	}
}

// TestRetentionKeepsWhatIsOpen: a run that goes on or waits keeps its start, and
// with it all later ones; so a replayer takes none of them for one that waits.
func TestRetentionKeepsWhatIsOpen(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.keep = collector.Retention{Age: time.Minute}
		d.start()
		d.runs(1, 1)
		waits := d.accept()
		d.runs(2, 4)
		if n := left(t, d.bus, bus.Control, wire.SubjectStart); n != 4 {
			t.Errorf("%d starts are kept, want that of %s and the three behind it", n, waits)
		}
		if n := left(t, d.bus, bus.Runs, wire.RunStartedFilter("*")); n != 3 {
			t.Errorf("%d runs are kept, want 3", n)
		}
		d.publish(history(waits, 10)...)
		d.recorded(waits, 10)
		d.runs(5, 5)
		if n := left(t, d.bus, bus.Control, wire.SubjectStart); n != 1 {
			t.Errorf("%d starts are kept when the run has finished, want the newest", n)
		}
		if n := left(t, d.bus, bus.Runs, wire.RunStartedFilter("*")); n != 1 {
			t.Errorf("%d runs are kept, want the newest", n)
		}
	})
}
