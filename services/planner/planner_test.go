package planner_test

import (
	"context"
	"errors"
	"log/slog"
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
	"github.com/spotserve/spotserve/platform/bus/bustest"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/planner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slowBus takes its time to say who leads.
type slowBus struct {
	planner.Bus
	delay time.Duration
}

func (b slowBus) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	time.Sleep(b.delay)
	return b.Bus.Get(ctx, key)
}

// start runs a planner until stop, which it must survive cleanly.
func start(t *testing.T, b planner.Bus, ready *obs.Readiness) (metrics *prometheus.Registry, stop func()) {
	t.Helper()
	var g run.Group
	metrics = prometheus.NewRegistry()
	err := planner.Setup(&g, planner.Options{
		Bus: b, Log: slog.New(slog.DiscardHandler), Metrics: metrics, Ready: ready, ReorderWait: planner.DefaultReorderWait, Holder: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(run.ContextHandler(ctx))
	ended := make(chan error, 1)
	go func() { ended <- g.Run() }()
	return metrics, func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the planner ends with %v", err)
		}
	}
}

// TestWhoAnswersIsReady: a planner that answers a roll call takes part in the
// run that called it, however slow its start is; and it says when it is ready.
func TestWhoAnswersIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		ready := new(obs.Readiness)
		began := time.Now()
		_, stop := start(t, slowBus{b, 5 * time.Second}, ready)
		if len(ready.Unmet()) == 0 {
			t.Error("ready before it follows anything")
		}
		present, err := rollcall.Call(t.Context(), b, time.Minute, func(p []event.ServicePresent) bool { return len(p) == 1 })
		if err != nil || len(present) != 1 || present[0].Service != "planner" {
			t.Fatalf("%v, %v", present, err)
		}
		if took := time.Since(began); took < 5*time.Second {
			t.Errorf("it answers after %s, when it neither leads nor stands by", took)
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

// TestTheBusIsAway at any call as it begins: it stands by and answers roll calls
// all the same.
func TestTheBusIsAway(t *testing.T) {
	for from := range int64(20) {
		synctest.Test(t, func(t *testing.T) {
			b := membus.New(membus.Options{})
			defer b.Close()
			ready := new(obs.Readiness)
			_, stop := start(t, &bustest.Flaky{Bus: b, Away: func(call int64) bool { return from < call && call <= from+10 }}, ready)
			if err := ready.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			present, err := rollcall.Call(t.Context(), b, time.Minute, func(p []event.ServicePresent) bool { return len(p) == 1 })
			if err != nil || len(present) != 1 {
				t.Errorf("away from call %d on: %v, %v", from+1, present, err)
			}
			stop()
		})
	}
}

// TestFinishesARun that is stopped, and ends in the midst of another.
func TestFinishesARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		ready := new(obs.Readiness)
		metrics, stop := start(t, b, ready)
		if err := ready.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		say := func(run string, seq uint64, at, watermark vtime.Time, body event.Body) {
			t.Helper()
			err := actor.Publish(t.Context(), b, event.Event{
				Run: run, Source: event.SourceReplayer, Seq: seq, Time: at, Watermark: watermark, Version: event.SchemaVersion, Body: body,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		begin := func(run string) {
			t.Helper()
			say(run, 1, 0, vtime.Seconds(1), event.RunStarted{WallStart: time.Now().UnixNano(), Spec: experiment.Spec{
				Kind: experiment.EndToEnd, Quirks: experiment.QuirksNone, Batching: experiment.Pooled, TimeScale: 60,
			}})
		}
		begin("e2e-1")
		say("e2e-1", 2, vtime.Seconds(1), vtime.Never, event.RunEnded{Reason: event.Stopped})
		sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, wire.RunFinishedFilter("e2e-1"))
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Stop()
		<-sub.C()
		begin("e2e-2")
		synctest.Wait()
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range families {
			names = append(names, f.GetName())
		}
		for _, want := range []string{"spotserve_planner_events_total", "spotserve_planner_active_runs", "spotserve_planner_step_seconds"} {
			if !strings.Contains(strings.Join(names, " "), want) {
				t.Errorf("no metric %s among %v", want, names)
			}
		}
		stop()
	})
}

// TestMetricsOfOnePlannerOnly: two in one registry would count for each other.
func TestMetricsOfOnePlannerOnly(t *testing.T) {
	o := planner.Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Ready: new(obs.Readiness)}
	if err := planner.Setup(new(run.Group), o); err != nil {
		t.Fatal(err)
	}
	if err := planner.Setup(new(run.Group), o); err == nil || !strings.Contains(err.Error(), "planner: metrics") {
		t.Errorf("a second planner in the registry: %v", err)
	}
}
