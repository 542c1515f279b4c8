package parity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/trace"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/planner"
	tracereplayer "github.com/spotserve/spotserve/services/trace-replayer"
	"github.com/spotserve/spotserve/services/worker"
	"github.com/spotserve/spotserve/test/internal/history"
)

// cast is how a live run is set up.
type cast struct {
	// workers lists the nodes of each worker process; nil: one for all nodes.
	workers [][]string
	// over gives a service the bus that it sees; nil: the bus itself.
	over        func(b bus.Bus, service string, nodes []string) bus.Bus
	reorderWait time.Duration // 0: the planner's default
	// planners and replayers are the buses of those that compete for the lease,
	// the first before the others; nil: one.
	planners, replayers []func(bus.Bus) bus.Bus
	// laterWorkers are processes that start when the run has gone on for some
	// wall time.
	laterWorkers []laterWorker
	// spans is where a service's process sends its spans, in the order in which the
	// processes are set up; nil: nothing is traced.
	spans func(service string) sdk.SpanExporter
}

type laterWorker struct {
	nodes []string
	after time.Duration
}

// play runs experiments, which are started at once, on the services in a bubble,
// where waiting takes no time. It returns the events of the streams in the order
// of the stream, and the wall time that the runs would have taken.
func (c cast) play(t *testing.T, starts ...event.StartExperiment) (events []event.Event, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		ready := new(obs.Readiness)
		g := c.group(t, b, ready)
		ctx, cancel := context.WithCancel(t.Context())
		g.Add(run.ContextHandler(ctx))
		ended := make(chan error, 1)
		go func() { ended <- g.Run() }()
		defer func() {
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the services end with %v", err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := ready.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		events = follow(t, b, starts)
		took = time.Since(began)
	})
	return events, took
}

// group sets up all services that take part in a run.
func (c cast) group(t *testing.T, b bus.Bus, ready *obs.Readiness) *run.Group {
	t.Helper()
	g := new(run.Group)
	over := c.over
	if over == nil {
		over = func(b bus.Bus, _ string, _ []string) bus.Bus { return b }
	}
	wait := c.reorderWait
	if wait == 0 {
		wait = planner.DefaultReorderWait
	}
	workers := c.workers
	if workers == nil {
		workers = [][]string{{worker.AllNodes}}
	}
	log := slog.New(slog.DiscardHandler)
	tracer := func(service string) *trace.Tracer {
		if c.spans == nil {
			return nil
		}
		tracer := trace.New(c.spans(service), trace.Service{Name: service}, 1, log)
		t.Cleanup(func() { _ = tracer.Close() }) // it has no error to tell of
		return tracer
	}
	setUp := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, nodes := range workers {
		// Processes of their own have metrics and conditions of their own. The
		// roll call waits for them.
		alone(g, 0, func(g *run.Group) {
			setUp(worker.Setup(g, worker.Options{
				Bus: over(b, "worker", nodes), Nodes: nodes, Log: log, Metrics: prometheus.NewRegistry(), Ready: new(obs.Readiness),
				Tracer: tracer("worker"),
			}))
		})
	}
	for _, later := range c.laterWorkers {
		alone(g, later.after, func(g *run.Group) {
			setUp(worker.Setup(g, worker.Options{
				Bus: b, Nodes: later.nodes, Log: log, Metrics: prometheus.NewRegistry(), Ready: new(obs.Readiness),
			}))
		})
	}
	// Those that compete fail alone, as processes of their own do.
	compete := func(service string, buses []func(bus.Bus) bus.Bus, setup func(*run.Group, bus.Bus, string) error) {
		if buses == nil {
			buses = []func(bus.Bus) bus.Bus{func(b bus.Bus) bus.Bus { return over(b, service, nil) }}
		}
		for i, of := range buses {
			// The first leads first.
			alone(g, time.Duration(i)*time.Second, func(g *run.Group) { setUp(setup(g, of(b), fmt.Sprint(i))) })
		}
	}
	compete("planner", c.planners, func(g *run.Group, b bus.Bus, holder string) error {
		return planner.Setup(g, planner.Options{
			Bus: b, Log: log, Metrics: prometheus.NewRegistry(), Ready: ready, ReorderWait: wait, Holder: holder,
			Tracer: tracer("planner"),
		})
	})
	compete("trace-replayer", c.replayers, func(g *run.Group, b bus.Bus, holder string) error {
		return tracereplayer.Setup(g, tracereplayer.Options{
			Bus: b, Log: log, Metrics: prometheus.NewRegistry(), Ready: ready, Holder: holder,
			Tracer: tracer("trace-replayer"),
		})
	})
	return g
}

// alone adds a process that starts after a while. One that fails takes nobody
// along.
func alone(g *run.Group, after time.Duration, setUp func(*run.Group)) {
	process := new(run.Group)
	setUp(process)
	ctx, cancel := context.WithCancel(context.Background())
	process.Add(run.ContextHandler(ctx))
	g.Add(func() error {
		select {
		case <-time.After(after):
		case <-ctx.Done():
			return ctx.Err()
		}
		err := process.Run()
		<-ctx.Done()
		return err
	}, func(error) { cancel() })
}

// follow starts experiments and reads the stream until all runs have finished.
func follow(t *testing.T, b bus.Bus, starts []event.StartExperiment) (events []event.Event) {
	t.Helper()
	sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, wire.RunFilter("*"))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	for _, start := range starts {
		if _, err := control.Publish(t.Context(), b, start); err != nil {
			t.Fatal(err)
		}
	}
	finished := make(map[string]bool)
	// Nothing in a bubble takes longer than the longest run at its scale.
	timeout := time.After(24 * time.Hour)
	for {
		select {
		case m := <-sub.C():
			ev, err := wire.Decode(m.Data)
			if err != nil {
				t.Fatalf("message %d on %s: %v", m.Seq, m.Subject, err)
			}
			events = append(events, ev)
			if _, done := ev.Body.(event.RunFinished); done {
				if finished[ev.Run] = true; len(finished) == len(starts) {
					return events
				}
			}
		case <-timeout:
			t.Fatalf("only %v have finished after a day; the last event is %+v", finished, events[len(events)-1])
		}
	}
}

// simulate runs the same experiment in virtual time.
func simulate(t *testing.T, run string, start event.StartExperiment) []event.Event {
	t.Helper()
	events, err := history.Virtual(run, start)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// finished returns the totals of a run.
func finished(t *testing.T, events []event.Event) event.RunFinished {
	t.Helper()
	totals, ok := history.Finished(events)
	if !ok {
		t.Fatal("the run has not finished")
	}
	return totals
}
