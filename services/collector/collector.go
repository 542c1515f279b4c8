// Package collector is the collector as a service: it sinks every fact of the
// runs to SQL, once.
//
// It acknowledges a message only when its rows are stored, and every row has a
// key. So a store that is away, or a collector that dies, costs time but no
// row: the rows wait in the stream, and what is written twice counts once.
package collector

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/failpoint"
	"github.com/spotserve/spotserve/platform/lease"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/trace"
	"github.com/spotserve/spotserve/platform/trace/spans"
	"github.com/spotserve/spotserve/platform/wire"
)

// Bus is the part of a bus that the collector takes.
type Bus interface {
	rollcall.Bus
	bus.Consumer
	bus.KeyValue
	bus.Purger
	bus.Signaller
}

// Store is the part of a store that the collector takes.
type Store interface {
	// Write stores the batch: all of it, or it returns an error and may be
	// called again with the same batch.
	Write(ctx context.Context, b store.Batch) error
}

// Options are what the service needs.
type Options struct {
	Bus Bus
	// Holder names this process in the lease that one of several collectors
	// holds.
	Holder  string
	Store   Store
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Ready   *obs.Readiness
	Tracer  *trace.Tracer // nil says nothing
	// Linger is how long, in wall time, rows may wait for more to be written
	// with them. 0: DefaultLinger.
	Linger time.Duration
	// Retention says which runs the streams keep; the zero value: all.
	Retention Retention
}

// DefaultLinger keeps the store's transactions few and the tables fresh.
const DefaultLinger = 100 * time.Millisecond

// Setup adds the service to the group.
func Setup(g *run.Group, o Options) error {
	if o.Linger <= 0 {
		o.Linger = DefaultLinger
	}
	s := &service{Options: o, metrics: newMetrics()}
	if err := o.Retention.Check(); err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	if err := s.metrics.register(o.Metrics); err != nil {
		return err
	}
	var err error
	if s.skips, err = skip.Register(o.Metrics, "collector", o.Log); err != nil {
		return fmt.Errorf("collector: metrics: %w", err)
	}
	writing, calls := o.Ready.Add("collector: bus"), o.Ready.Add("collector: roll calls")
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			// One at a time: who says that a run is recorded has to know that
			// nobody else has rows of it in hand.
			err := lease.Hold(ctx, lease.Options{
				Name: access.LeaseCollector, Holder: o.Holder, Keys: o.Bus, Log: o.Log, Ready: writing.Met,
			}, s.metrics.leading.While(s.run))
			writing.NotMet("stopped")
			return err
		}, func(error) { cancel() })
	}
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			err := rollcall.Answer(ctx, o.Bus, event.ServicePresent{Service: "collector"}, calls.Met)
			calls.NotMet("stopped")
			return err
		}, func(error) { cancel() })
	}
	for _, upkeep := range []func(context.Context) error{s.backlog, s.retain, s.alarm} {
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error { return upkeep(ctx) }, func(error) { cancel() })
	}
	return nil
}

type service struct {
	Options
	mapper   *Mapper
	recorded map[string]int // rows of runs in progress
	metrics  *metrics
	skips    *skip.Teller
	away     atomic.Bool // the store did not take the last batch
}

// filters are the facts of a run that become rows; "*" is every run.
func filters(run string) []string {
	kind := func(place string, b event.Body) string {
		return "spot.run." + run + "." + place + "." + string(b.Kind())
	}
	return append(wire.NoticeFilters(run, "*"),
		kind("fleet", event.RunStarted{}), kind("fleet", event.AcquisitionNoticed{}), kind("fleet", event.InstanceAcquired{}),
		kind("fleet", event.PreemptionNoticed{}), kind("fleet", event.InstanceLost{}),
		kind("fleet", event.PreemptionCancelled{}), kind("fleet", event.RebalanceRecommended{}),
		kind("fleet", event.SpotCapacityOffered{}), kind("fleet", event.SpotCapacityWithdrawn{}), kind("fleet", event.InstanceLaunched{}),
		kind("plan", event.ConfigChosen{}), kind("plan", event.MigrationPlanned{}), kind("plan", event.RequestCompleted{}),
		kind("plan", event.RequestUnfinished{}), kind("plan", event.RequestRefused{}),
		kind("plan", event.NodeTimeAccounted{}), kind("plan", event.RunFinished{}),
	)
}

// maxBatch bounds the rows of one write, and with it the memory in hand.
const maxBatch = 2000

// run returns nil when its context ends; what is in hand is written first.
func (s *service) run(ctx context.Context) error {
	// What an earlier turn knew of a run may have gaps since.
	s.mapper, s.recorded = NewMapper(), make(map[string]int)
	facts, err := s.Bus.Consume(ctx, bus.Runs, access.CollectorRuns.Name, filters("*")...)
	if err != nil {
		return fmt.Errorf("collector: consume facts: %w", err)
	}
	defer facts.Stop()
	control, err := s.Bus.Consume(ctx, bus.Control, access.CollectorControl.Name, wire.SubjectAccepted, wire.SubjectRefused)
	if err != nil {
		return fmt.Errorf("collector: consume answers to starts: %w", err)
	}
	defer control.Stop()

	h := &hand{traced: spans.Stored{Tracer: s.Tracer}}
	linger := time.NewTimer(time.Hour)
	defer linger.Stop()
	for {
		select {
		case d, ok := <-facts.C():
			if !ok {
				return s.end(ctx, h, facts.Err())
			}
			if err := s.take(ctx, h, d); err != nil {
				return s.end(ctx, h, err)
			}
			s.metrics.holds(h)
		case d, ok := <-control.C():
			if !ok {
				return s.end(ctx, h, control.Err())
			}
			s.takeControl(h, d)
			s.metrics.holds(h)
		case <-linger.C:
			if err := s.flush(ctx, h); err != nil {
				return s.end(ctx, h, err)
			}
		}
		switch {
		case len(h.finished) > 0 || h.batch.Len() >= maxBatch:
			if err := s.flush(ctx, h); err != nil {
				return s.end(ctx, h, err)
			}
		case len(h.deliveries) == 1:
			linger.Reset(s.Linger)
		}
	}
}

// hand is what was taken and is not stored yet.
type hand struct {
	batch      store.Batch
	deliveries []bus.Delivery
	finished   []event.Event // of the runs that end with this batch
	traced     spans.Stored
}

// take maps a fact. What cannot be read is logged and acknowledged: it would
// come back for ever.
func (s *service) take(ctx context.Context, h *hand, d bus.Delivery) error {
	ev, err := wire.DecodeMessage(d.Subject, d.Seq, d.Data)
	if err != nil {
		s.skips.Message(d.Message, err)
		h.deliveries = append(h.deliveries, d)
		return nil
	}
	if finished, ok := ev.Body.(event.RunFinished); ok {
		if !s.mapper.Knows(ev.Run) {
			before, err := s.readAgain(ctx, ev.Run, d.Seq)
			if err != nil {
				return err
			}
			if before {
				s.Log.Debug("a run is finished again", "run", ev.Run, "seq", d.Seq)
				s.metrics.again.Inc()
				delete(s.recorded, ev.Run)
				h.deliveries = append(h.deliveries, d)
				return nil
			}
		}
		h.finished = append(h.finished, ev)
		s.Log.Info("run ends", "run", ev.Run, "completed", finished.Completed, "late_facts", finished.LateFacts)
	}
	h.deliveries = append(h.deliveries, d)
	h.traced.Take(ev, d.Message)
	before := h.batch.Len()
	s.mapper.Take(ev, d.Published, &h.batch)
	s.recorded[ev.Run] += h.batch.Len() - before
	return nil
}

// readAgain stores all of a run up to its end, at seq. Where another collector
// took the run's beginning, nobody knows which of its rows are stored: some
// facts may come again only after the run's end. finished reports that the run
// had an end before this one, which then is a repetition.
func (s *service) readAgain(ctx context.Context, run string, seq uint64) (finished bool, err error) {
	s.Log.Info("read a run from its beginning, which another collector took", "run", run)
	facts, err := s.Bus.Follow(ctx, bus.Runs, bus.Position{}, filters(run)...)
	if err != nil {
		return false, fmt.Errorf("collector: follow run %s: %w", run, err)
	}
	defer facts.Stop()
	var rows store.Batch
	s.recorded[run] = 0
	for m := range facts.C() {
		if m.Seq >= seq {
			return finished, s.write(ctx, rows)
		}
		ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
		if err != nil {
			continue // logged when it was delivered
		}
		_, end := ev.Body.(event.RunFinished)
		if end && finished {
			continue
		}
		finished = finished || end
		before := rows.Len()
		s.mapper.Take(ev, m.Published, &rows)
		s.recorded[run] += rows.Len() - before
		if rows.Len() >= maxBatch {
			if err := s.write(ctx, rows); err != nil {
				return finished, err
			}
			rows = store.Batch{}
		}
	}
	if err := ctx.Err(); err != nil {
		return finished, err
	}
	return finished, fmt.Errorf("collector: follow run %s: %w", run, facts.Err())
}

func (s *service) takeControl(h *hand, d bus.Delivery) {
	h.deliveries = append(h.deliveries, d)
	body, err := wire.DecodeControl(d.Subject, d.Data)
	if err != nil {
		s.skips.Message(d.Message, err)
		return
	}
	s.mapper.TakeControl(body, d.Published, &h.batch)
}

// The pauses between attempts to write, in wall time.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// write stores rows, however long the store takes to come back. It fails only
// when the context ends.
func (s *service) write(ctx context.Context, rows store.Batch) error {
	var outage obs.Outage
	for wait := firstRetry; rows.Len() > 0; wait = min(2*wait, lastRetry) {
		began := time.Now()
		err := s.Store.Write(ctx, rows)
		s.metrics.write.Observe(time.Since(began).Seconds())
		s.away.Store(err != nil)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.metrics.failures.Inc()
		outage.Failed(s.Log, "the store does not take rows; they wait in the stream", err, "rows", rows.Len(), "retry_in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	outage.Over(s.Log, "the store takes rows again", "rows", rows.Len())
	s.metrics.count(rows)
	return nil
}

// flush stores what is in hand, tells of the runs that are complete, and
// acknowledges it: if telling fails, the end of the run comes again. It fails
// only when the context ends or the bus does.
func (s *service) flush(ctx context.Context, h *hand) error {
	if err := s.write(ctx, h.batch); err != nil {
		return err
	}
	if h.batch.Len() > 0 {
		failpoint.Hit(failpoint.Stored)
	}
	h.traced.Done()
	for _, ev := range h.finished {
		if err := s.tell(ctx, ev); err != nil {
			return err
		}
	}
	if len(h.finished) > 0 {
		if err := s.Bus.Flush(ctx); err != nil {
			return err
		}
	}
	for _, d := range h.deliveries {
		if err := d.Ack(); err != nil {
			// It comes again and its rows replace themselves.
			s.Log.Debug("acknowledgement lost", "seq", d.Seq, "error", err)
		}
	}
	*h = hand{traced: h.traced}
	s.metrics.holds(h)
	return nil
}

// finalWrite bounds what a stopping collector still tries.
const finalWrite = 5 * time.Second

// end makes a last attempt to store what is in hand. What it cannot store comes
// again to the next collector.
func (s *service) end(ctx context.Context, h *hand, err error) error {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalWrite)
	defer cancel()
	defer s.metrics.holds(new(hand))
	if flushErr := s.flush(last, h); flushErr != nil {
		s.Log.Warn("rows left in the stream for the next collector", "rows", h.batch.Len(), "error", flushErr)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// tell publishes that all rows of a run are in the store.
func (s *service) tell(ctx context.Context, finished event.Event) error {
	rows := s.recorded[finished.Run]
	delete(s.recorded, finished.Run)
	ev := event.Event{
		Run: finished.Run, Source: event.SourceCollector, Seq: 1, Time: finished.Time, Cause: finished.ID(),
		// A run of the next version is read, and told of in this build's.
		Version: min(finished.Version, event.SchemaVersion), Body: event.RunRecorded{Run: finished.Run, Rows: rows},
	}
	return actor.Publish(ctx, s.Bus, ev)
}
