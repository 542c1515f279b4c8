package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slowBus takes its time to begin to follow runs.
type slowBus struct {
	worker.Bus
	delay time.Duration
}

func (b slowBus) Follow(ctx context.Context, s bus.Stream, from bus.Position, filters ...string) (bus.Subscription, error) {
	if s == bus.Runs {
		time.Sleep(b.delay)
	}
	return b.Bus.Follow(ctx, s, from, filters...)
}

// start runs a worker for nodes until stop, which it must survive cleanly.
func start(t *testing.T, b worker.Bus, ready *obs.Readiness, nodes ...string) (stop func()) {
	t.Helper()
	var g run.Group
	err := worker.Setup(&g, worker.Options{
		Bus: b, Nodes: nodes, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Ready: ready,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(run.ContextHandler(ctx))
	ended := make(chan error, 1)
	go func() { ended <- g.Run() }()
	return func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the worker ends with %v", err)
		}
	}
}

// TestWhoAnswersIsReady: a worker that answers a roll call takes part in the run
// that called it, however slow its start is; and it says for which nodes.
func TestWhoAnswersIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		ready := new(obs.Readiness)
		began := time.Now()
		stop := start(t, slowBus{b, 5 * time.Second}, ready, "a", "b")
		if len(ready.Unmet()) == 0 {
			t.Error("ready before it follows anything")
		}
		present, err := rollcall.Call(t.Context(), b, time.Minute, func(p []event.ServicePresent) bool { return len(p) == 2 })
		var nodes []string
		for _, p := range present {
			if p.Service != "worker" || p.Schema != event.SchemaVersion {
				t.Errorf("%+v answers", p)
			}
			nodes = append(nodes, p.Nodes...)
		}
		if slices.Sort(nodes); err != nil || !slices.Equal(nodes, []string{"a", "b"}) {
			t.Fatalf("%v, %v", present, err)
		}
		if took := time.Since(began); took < 5*time.Second {
			t.Errorf("it answers after %s, when it could still miss a run", took)
		}
		if unmet := ready.Unmet(); len(unmet) != 0 {
			t.Errorf("it answers, and is not ready: %v", unmet)
		}
		stop()
		if len(ready.Unmet()) == 0 {
			t.Error("ready after its end")
		}
	})
}

// TestStandsForItsNodes and for no other; what its nodes say ends with the run.
func TestStandsForItsNodes(t *testing.T) {
	for _, c := range []struct {
		nodes []string
		want  []string
	}{
		{[]string{"*"}, []string{"a", "b", "c"}},
		{[]string{"a", "c", "x"}, []string{"a", "c"}},
		{[]string{"x"}, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := membus.New(membus.Options{})
			defer b.Close()
			ready := new(obs.Readiness)
			stop := start(t, b, ready, c.nodes...)
			if err := ready.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			say := func(source string, seq uint64, body event.Body) {
				t.Helper()
				err := actor.Publish(t.Context(), b, event.Event{
					Run: "e2e-1", Source: source, Seq: seq, Watermark: vtime.Seconds(1), Version: event.SchemaVersion, Body: body,
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			say(event.SourceReplayer, 1, event.RunStarted{WallStart: time.Now().UnixNano(), Spec: experiment.Spec{
				Kind: experiment.EndToEnd, Quirks: experiment.QuirksNone, Batching: experiment.Pooled, TimeScale: 60,
				Nodes: []string{"a", "b", "c"},
			}})
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := speakers(t, b); !slices.Equal(got, c.want) {
				t.Errorf("a worker for %v speaks for %v, want %v", c.nodes, got, c.want)
			}
			say(event.SourcePlanner, 1, event.RunFinished{Reason: event.EndOfTrace})
			synctest.Wait()
			before, err := b.LastSeq(t.Context(), bus.Runs)
			if err != nil {
				t.Fatal(err)
			}
			say(event.SourcePlanner, 2, event.WatermarkAdvanced{})
			time.Sleep(time.Minute)
			if last, err := b.LastSeq(t.Context(), bus.Runs); err != nil || last != before+1 {
				t.Errorf("%d messages after the end of the run, %v; want the one that was sent", last-before, err)
			}
			stop()
		})
	}
}

// speakers lists the nodes that have published anything.
func speakers(t *testing.T, b *membus.Bus) (out []string) {
	t.Helper()
	sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, wire.WorkerFacts("*"))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	synctest.Wait()
	for len(sub.C()) > 0 {
		ev, err := wire.Decode((<-sub.C()).Data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ev.Source)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestEndsInMidRun with all its nodes.
func TestEndsInMidRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		ready := new(obs.Readiness)
		stop := start(t, b, ready, worker.AllNodes)
		if err := ready.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := actor.Publish(t.Context(), b, event.Event{
			Run: "e2e-1", Source: event.SourceReplayer, Seq: 1, Version: event.SchemaVersion,
			Body: event.RunStarted{WallStart: 1, Spec: experiment.Spec{
				Kind: experiment.EndToEnd, Quirks: experiment.QuirksNone, Batching: experiment.Pooled, TimeScale: 60, Nodes: []string{"a", "b"},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stop() // the bubble ends only if all goroutines do
	})
}

func TestRefusesToStandForNobody(t *testing.T) {
	err := worker.Setup(new(run.Group), worker.Options{
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Ready: new(obs.Readiness),
	})
	if err == nil || !strings.Contains(err.Error(), "--node names no node") || !strings.Contains(err.Error(), "'*'") {
		t.Errorf("%v, want what is allowed", err)
	}
}

// TestMetricsOfOneWorkerOnly: two in one registry would count for each other.
func TestMetricsOfOneWorkerOnly(t *testing.T) {
	o := worker.Options{
		Nodes: []string{"a"}, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Ready: new(obs.Readiness),
	}
	if err := worker.Setup(new(run.Group), o); err != nil {
		t.Fatal(err)
	}
	if err := worker.Setup(new(run.Group), o); err == nil || !strings.Contains(err.Error(), "worker: metrics") {
		t.Errorf("a second worker in the registry: %v", err)
	}
}
