package collector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/collector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("the store is away")

// vault is a store in memory.
type vault struct {
	mu       sync.Mutex
	attempts int
	fail     func(attempt int) error
	largest  int // batch
	runs     map[string]store.Run
	rows     map[string]int // how often a row was written, by its key
}

func newVault() *vault {
	return &vault{
		fail: func(int) error { return nil },
		runs: make(map[string]store.Run), rows: make(map[string]int),
	}
}

func (v *vault) Write(_ context.Context, b store.Batch) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.attempts++
	v.largest = max(v.largest, b.Len())
	if err := v.fail(v.attempts); err != nil {
		return err
	}
	for _, r := range b.Runs {
		if r.Version >= v.runs[r.Run].Version {
			v.runs[r.Run] = r
		}
	}
	for _, r := range b.Requests {
		v.rows[fmt.Sprintf("%s request %d", r.Run, r.Request)]++
	}
	for _, r := range b.Fleet {
		v.rows[fmt.Sprintf("%s fleet %d %s", r.Run, r.Seq, r.Node)]++
	}
	for _, r := range b.Configs {
		v.rows[fmt.Sprintf("%s config %s", r.Run, r.Epoch)]++
	}
	for _, r := range b.Moves {
		v.rows[fmt.Sprintf("%s migration %s", r.Run, r.Epoch)]++
	}
	for _, r := range b.Nodes {
		v.rows[fmt.Sprintf("%s node %s %g", r.Run, r.Node, r.FromMS)]++
	}
	return nil
}

// run is the row of a run.
func (v *vault) run(name string) store.Run {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.runs[name]
}

// journal is a log that a test reads while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// desk is a bus in a bubble with a vault.
type desk struct {
	t       *testing.T
	bus     *membus.Bus
	vault   *vault
	log     journal
	ready   obs.Readiness
	metrics *prometheus.Registry
	over    func(collector.Bus) collector.Bus // what the collector sees of the bus
	store   collector.Store                   // what it sees of the vault; nil: the vault itself
	keep    collector.Retention
	stop    func() error // ends the collector
}

func atDesk(t *testing.T, test func(t *testing.T, d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{
			t: t, bus: membus.New(membus.Options{}), vault: newVault(),
			over: func(b collector.Bus) collector.Bus { return b }, stop: func() error { return context.Canceled },
		}
		defer d.bus.Close()
		defer func() {
			if err := d.stop(); !errors.Is(err, context.Canceled) {
				t.Errorf("the collector ends with %v", err)
			}
		}()
		test(t, d)
	})
}

// start starts a collector.
func (d *desk) start() {
	d.t.Helper()
	var g run.Group
	d.metrics = prometheus.NewRegistry()
	rows := d.store
	if rows == nil {
		rows = d.vault
	}
	err := collector.Setup(&g, collector.Options{
		Holder: fmt.Sprintf("%p", d.metrics), Bus: d.over(d.bus), Store: rows, Log: slog.New(slog.NewTextHandler(&d.log, nil)), Metrics: d.metrics, Ready: &d.ready,
		Retention: d.keep,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(run.ContextHandler(ctx))
	ended := make(chan error, 1)
	go func() { ended <- g.Run() }()
	d.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	synctest.Wait()
}

// publish puts events on the stream.
func (d *desk) publish(events ...event.Event) {
	d.t.Helper()
	for _, ev := range events {
		if err := actor.Publish(d.t.Context(), d.bus, ev); err != nil {
			d.t.Fatal(err)
		}
	}
}

// recorded waits for the word that a run's rows are stored, and finds them
// there, all of them.
func (d *desk) recorded(name string, requests int) event.RunRecorded {
	d.t.Helper()
	sub, err := d.bus.Follow(d.t.Context(), bus.Runs, bus.Position{}, wire.RecordFilter(name))
	if err != nil {
		d.t.Fatal(err)
	}
	defer sub.Stop()
	select {
	case m := <-sub.C():
		ev, err := wire.Decode(m.Data)
		if err != nil {
			d.t.Fatal(err)
		}
		d.mustHave(name, requests)
		return ev.Body.(event.RunRecorded)
	case <-time.After(24 * time.Hour):
		d.t.Fatalf("%s is not recorded; the log says\n%s", name, d.log.String())
	}
	return event.RunRecorded{}
}

// mustHave finds all rows of a run in the store.
func (d *desk) mustHave(name string, requests int) {
	d.t.Helper()
	d.vault.mu.Lock()
	defer d.vault.mu.Unlock()
	want := []string{name + " fleet 2 a", name + " config 1.1", name + " migration 1.1", name + " node a 0"}
	for i := range requests {
		want = append(want, fmt.Sprintf("%s request %d", name, i))
	}
	for _, key := range want {
		if d.vault.rows[key] == 0 {
			d.t.Errorf("there is no row %s", key)
		}
	}
	if got := d.vault.runs[name]; got.Status != collector.StatusFinished || got.Kind != "e2e" || got.Approach != "spotserve" ||
		got.Completed != requests || got.StartedUnixMS == 0 {
		d.t.Errorf("the row of the run is %+v", got)
	}
}

func TestStoresARunAndSaysSo(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.start()
		if unmet := d.ready.Unmet(); len(unmet) != 0 {
			t.Errorf("not ready: %v", unmet)
		}
		d.publish(history("e2e-1", 10)...)
		if told := d.recorded("e2e-1", 10); told.Run != "e2e-1" || told.Rows != 16 {
			t.Errorf("%+v is told, want 16 rows: 10 requests, fleet, configuration, migration, node, and the run twice", told)
		}
		if n := testutil.ToFloat64(d.counter("spotserve_collector_rows_total")); n != 16 {
			t.Errorf("%v rows counted, want 16", n)
		}
	})
}

// counter sums up a metric.
func (d *desk) counter(name string) prometheus.Collector {
	d.t.Helper()
	families, err := d.metrics.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	sum := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sum"})
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum.Add(m.GetCounter().GetValue() + m.GetGauge().GetValue())
			}
		}
	}
	return sum
}

// TestStoreIsAway: what cannot be stored is kept and tried again, and nothing is
// acknowledged or told before it is stored.
func TestStoreIsAway(t *testing.T) {
	for _, failures := range []int{1, 5, 12} {
		t.Run(fmt.Sprint(failures, " failures"), func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.vault.fail = func(n int) error {
					if n <= failures {
						return errAway
					}
					return nil
				}
				var acked sync.Map
				d.over = func(b collector.Bus) collector.Bus {
					return &watchedBus{Bus: b, acked: func(seq uint64) {
						acked.Store(seq, true)
						if d.vault.attempts <= failures {
							t.Errorf("message %d is acknowledged while the store is away", seq)
						}
					}}
				}
				d.start()
				events := history("e2e-1", 10)
				d.publish(events...)
				d.recorded("e2e-1", 10)
				synctest.Wait()
				for seq := range uint64(len(events)) {
					if _, ok := acked.Load(seq + 1); !ok {
						t.Errorf("message %d is not acknowledged", seq+1)
					}
				}
				begin, end := strings.Count(d.log.String(), "they wait in the stream"), strings.Count(d.log.String(), "the store takes rows again")
				if want := min(1, failures); begin != want || end != want {
					t.Errorf("the log has %d begins of an outage and %d ends, want %d", begin, end, want)
				}
				if n := testutil.ToFloat64(d.counter("spotserve_collector_write_failures_total")); n != float64(failures) {
					t.Errorf("%v failures are counted, want %d", n, failures)
				}
			})
		})
	}
}

// watchedBus tells of acknowledgements, and may deliver in an order of its own.
type watchedBus struct {
	collector.Bus
	acked   func(seq uint64)
	reorder func([]bus.Delivery) []bus.Delivery // of all there is at the beginning
}

func (b *watchedBus) Consume(ctx context.Context, s bus.Stream, durable string, filters ...string) (bus.Work, error) {
	work, err := b.Bus.Consume(ctx, s, durable, filters...)
	if err != nil || s != bus.Runs {
		return work, err
	}
	out := &watchedWork{Work: work, c: make(chan bus.Delivery)}
	go func() {
		defer close(out.c)
		var first []bus.Delivery
		for b.reorder != nil && len(first) < 64 {
			select {
			case d := <-work.C():
				first = append(first, d)
				continue
			case <-time.After(time.Millisecond):
			}
			break
		}
		if b.reorder != nil {
			first = b.reorder(first)
		}
		for _, d := range first {
			out.c <- d
		}
		for d := range work.C() {
			ack := d.Ack
			d.Ack = func() error {
				if b.acked != nil {
					b.acked(d.Seq)
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

type watchedWork struct {
	bus.Work
	c chan bus.Delivery
}

func (w *watchedWork) C() <-chan bus.Delivery { return w.c }

// TestAnotherCollectorGoesOn in mid-run, wherever the first one stopped.
func TestAnotherCollectorGoesOn(t *testing.T) {
	events := history("e2e-1", 10)
	for cut := range len(events) + 1 {
		t.Run(fmt.Sprint("after ", cut), func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.start()
				d.publish(events[:cut]...)
				time.Sleep(time.Minute)
				if err := d.stop(); !errors.Is(err, context.Canceled) {
					t.Errorf("the first collector ends with %v", err)
				}
				d.publish(events[cut:]...)
				time.Sleep(time.Minute)
				d.start()
				d.recorded("e2e-1", 10)
			})
		})
	}
}

// TestRunIsToldWhenAllIsStored, also where a crash of another collector has the
// end of a run come before what it had in hand.
func TestRunIsToldWhenAllIsStored(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.over = func(b collector.Bus) collector.Bus {
			return &watchedBus{Bus: b, reorder: func(all []bus.Delivery) []bus.Delivery {
				last := len(all) - 1
				return append([]bus.Delivery{all[last]}, all[:last]...)
			}}
		}
		d.publish(history("e2e-1", 10)...)
		d.start()
		if told := d.recorded("e2e-1", 10); told.Rows != 16 {
			t.Errorf("%d rows are told, want 16", told.Rows)
		}
		time.Sleep(time.Minute)
		d.mustHave("e2e-1", 10) // also when the rest has come
	})
}

// muteBus fails to publish what the collector says of runs.
type muteBus struct{ collector.Bus }

var errMute = errors.New("nothing can be published")

func (b muteBus) Publish(ctx context.Context, m bus.Outgoing) error {
	if strings.HasPrefix(m.Subject, "spot.run.") {
		return errMute
	}
	return b.Bus.Publish(ctx, m)
}

// TestRunIsToldByTheNextCollector if this one cannot.
func TestRunIsToldByTheNextCollector(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.over = func(b collector.Bus) collector.Bus { return muteBus{b} }
		d.start()
		d.publish(history("e2e-1", 10)...)
		time.Sleep(time.Minute)
		if err := d.stop(); !errors.Is(err, errMute) {
			t.Errorf("a collector that cannot speak ends with %v", err)
		}
		d.over = func(b collector.Bus) collector.Bus { return b }
		d.start()
		d.recorded("e2e-1", 10)
	})
}

// TestStopWithTheStoreAway: the collector ends, and leaves what it has in hand
// to the next one.
func TestStopWithTheStoreAway(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.vault.fail = func(int) error { return errAway }
		d.start()
		d.publish(history("e2e-1", 10)...)
		time.Sleep(time.Minute)
		began := time.Now()
		if err := d.stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it takes %s to end", took)
		}
		if len(d.vault.rows) != 0 {
			t.Errorf("rows %v", d.vault.rows)
		}
		d.vault.fail = func(int) error { return nil }
		d.start()
		d.recorded("e2e-1", 10)
	})
}

// TestWhatIsInHandIsStoredAtTheEnd: a stop does not wait for more rows.
func TestWhatIsInHandIsStoredAtTheEnd(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.start()
		d.publish(history("e2e-1", 10)[:5]...)
		synctest.Wait()
		if d.vault.attempts != 0 {
			t.Fatal("rows do not wait for more to be written with them")
		}
		if err := d.stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
		if len(d.vault.rows) == 0 {
			t.Error("what was in hand is not stored")
		}
	})
}

// TestARunOfTheNextVersionIsRecorded by a collector of the version before.
func TestARunOfTheNextVersionIsRecorded(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.start()
		for _, ev := range history("e2e-1", 3) {
			subject, err := wire.Subject(ev)
			if err != nil {
				t.Fatal(err)
			}
			data, err := wire.Encode(ev)
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, 7<<3, event.SchemaVersion+1) // of a field that is said twice the last one counts
			if err := d.bus.Publish(t.Context(), bus.Outgoing{Subject: subject, Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		d.recorded("e2e-1", 3)
	})
}

// TestWhatCannotBeReadIsSkipped, once: it does not come back.
func TestWhatCannotBeReadIsSkipped(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.start()
		for _, subject := range []string{"spot.run.e2e-1.plan.run_finished", wire.SubjectAccepted, wire.SubjectRefused} {
			if err := d.bus.Publish(t.Context(), bus.Outgoing{Subject: subject, Data: []byte("junk")}); err != nil {
				t.Fatal(err)
			}
		}
		d.publish(history("e2e-1", 10)...)
		d.recorded("e2e-1", 10)
		time.Sleep(24 * time.Hour)
		if n := strings.Count(d.log.String(), "cannot be read"); n != 3 {
			t.Errorf("%d messages are skipped, want 3:\n%s", n, d.log.String())
		}
	})
}

// TestAnswersToStarts: a run that waits for its turn is queued, a start that is
// refused is on record with its reason, and neither order nor repetition sets a
// run back.
func TestAnswersToStarts(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.start()
		for _, body := range []event.Body{
			event.ExperimentAccepted{StartSeq: 7, Run: "ondemand-7"},
			event.ExperimentRefused{StartSeq: 9, Reason: "no such trace", Allowed: []string{"As"}},
			event.ExperimentAccepted{StartSeq: 11, Run: "e2e-11"},
			event.ExperimentRefused{StartSeq: 11, Reason: "its file is gone", Run: "e2e-11"},
		} {
			if _, err := control.Publish(t.Context(), d.bus, body); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if got := d.vault.run("ondemand-7"); got.Status != collector.StatusQueued || got.Kind != "ondemand" {
			t.Errorf("the accepted run is %+v", got)
		}
		if got := d.vault.run("start-9"); got.Status != collector.StatusRefused || got.Reason != "no such trace" {
			t.Errorf("the refused start is %+v", got)
		}
		if got := d.vault.run("e2e-11"); got.Status != collector.StatusRefused || got.Reason != "its file is gone" || got.Kind != "e2e" {
			t.Errorf("the run that was accepted and then refused is %+v", got)
		}
		d.publish(history("e2e-1", 10)...)
		d.recorded("e2e-1", 10)
		if _, err := control.Publish(t.Context(), d.bus, event.ExperimentAccepted{StartSeq: 1, Run: "e2e-1"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := d.vault.run("e2e-1").Status; got != collector.StatusFinished {
			t.Errorf("a late answer makes a finished run %s", got)
		}
	})
}
