package look_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor/look/looktest"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/alarm"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/store"
)

func TestWorkers(t *testing.T) {
	t.Parallel()
	s := newSite(t, server.Options{})
	s.options.Nodes = []string{node, "node-b"}
	mustFind(t, s.look(), "node node-b", doctor.Failed, "no worker answers for it", "start its worker")

	// It answers the roll call, and its heart does not beat.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	answered := make(chan struct{})
	b := s.bus("mute")
	go func() {
		defer close(answered)
		_ = rollcall.Answer(ctx, b, event.ServicePresent{Service: "worker", Nodes: []string{"node-b"}}, func() {}) // until it is stopped
	}()
	mustFind(t, s.look(), "node node-b", doctor.Failed, "answers and does not beat", "look into its log")
	stop()
	<-answered

	s.options.Nodes = nil
	second := &site{t: t, options: s.options, stop: make(map[string]func())}
	second.start("worker")
	mustFind(t, s.look(), "node "+node, doctor.Failed, "2 workers stand for it", "stop all but one")
	second.stop["worker"]()
	s.stop["worker"]()
	mustFind(t, s.look(), "service worker", doctor.Failed, "none answers", "start a worker for each node")
}

func TestLeases(t *testing.T) {
	t.Parallel()
	s := newSite(t, server.Options{})
	s.stop["planner"]()
	r := s.look()
	mustFind(t, r, "lease planner", doctor.Failed, "nobody leads", "start a planner", "service planner")
	b := s.bus("test")
	_, revision, err := b.Get(t.Context(), "planner")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "planner", []byte("host/1"), revision); err != nil {
		t.Fatal(err)
	}
	mustFind(t, s.look(), "lease planner", doctor.OK, "host/1 leads", "", "service planner")
	time.Sleep(4 * time.Second) // it is not renewed: by the server's clock, which no test sets
	mustFind(t, s.look(), "lease planner", doctor.Failed, "host/1 held it last", "or mend the one that stands by", "service planner")
}

// begin says on the bus that a run has begun.
func (s *site) begin(run string, skew time.Duration) {
	s.t.Helper()
	spec, _, err := catalog.Resolve(event.StartExperiment{Experiment: experiment.OnDemand, Nodes: 3})
	if err != nil {
		s.t.Fatal(err)
	}
	s.say(run, event.RunStarted{Spec: spec, WallStart: time.Now().Add(skew).UnixNano()}, event.SourceReplayer)
}

func (s *site) say(run string, body event.Body, source string) {
	s.t.Helper()
	ev := event.Event{Run: run, Source: source, Seq: 1, Version: event.SchemaVersion, Body: body}
	b := s.bus("test")
	if err := actor.Publish(s.t.Context(), b, ev); err != nil {
		s.t.Fatal(err)
	}
	if err := b.Flush(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// record puts a run into the store.
func (s *site) record(run, status string, began time.Time) {
	s.t.Helper()
	w := s.writer()
	defer w.Close()
	if err := w.Write(s.t.Context(), store.Batch{Runs: []store.Run{{Run: run, Kind: "e2e", Status: status, StartedUnixMS: began.UnixMilli(), Version: 1}}}); err != nil {
		s.t.Fatal(err)
	}
}

// alone is a site without the services that would take part in a run.
func alone(t *testing.T) *site {
	s := newSite(t, server.Options{})
	for _, name := range services {
		s.stop[name]()
	}
	s.options.Nodes = nil
	return s
}

// gone is what is wrong where all services are stopped.
var gone = []string{
	"consumer collector-control", "consumer collector-runs", "consumer plotter", "lease trace-replayer", "lease planner", "lease collector",
	"service trace-replayer", "service planner", "service collector", "service worker",
}

func TestRuns(t *testing.T) {
	t.Parallel()
	s := alone(t)
	s.record("e2e-1", "running", time.Now())
	mustFind(t, s.look(), "run e2e-1", doctor.Warning, "the bus has nothing of it", "purged", gone...)
	s.begin("e2e-1", -time.Minute)
	r := s.look()
	also := append([]string{"nodes of e2e-1", "clock of the trace-replayer of e2e-1"}, gone...)
	mustFind(t, r, "nodes of e2e-1", doctor.Warning, "no worker answers for node-0, node-1, node-2", "start their workers", also...)
	mustFind(t, r, "clock of the trace-replayer of e2e-1", doctor.Failed, "-1m0", "NTP", also...)
}

func TestQueuedRuns(t *testing.T) {
	t.Parallel()
	s := alone(t)
	s.record("e2e-2", "queued", time.Now().Add(-time.Hour))
	mustFind(t, s.look(), "run e2e-2", doctor.Failed, "it waits since 1h0m", "start a trace-replayer", gone...)
}

func TestStoreTakesNoRows(t *testing.T) {
	t.Parallel()
	s := newSite(t, server.Options{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = alarm.Sound(ctx, s.bus("alarm"), quiet, alarm.StoreAway, func() bool { return true }) }() // its error is nil
	mustFind(t, s.look(), "service collector", doctor.Failed, "the store takes no rows", "start the store")
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	s := newSite(t, server.Options{})
	ready := new(obs.Readiness)
	waits := ready.Add("planner: bus")
	o, err := obs.Listen("127.0.0.1:0", prometheus.NewRegistry(), ready, quiet)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- o.Serve() }()
	defer func() {
		o.Interrupt(nil)
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	away := looktest.Closed(t)

	s.options.Metrics = []string{o.Addr()}
	mustFind(t, s.look(), "metrics http://"+o.Addr(), doctor.Failed, "it is not ready: planner: bus", "look into the log")
	waits.Met()
	mustFind(t, s.look(), "metrics http://"+o.Addr(), doctor.Failed, "none of them is of SpotServe", "is this a service")
	// One that takes longer than all the rest is waited for.
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(4 * time.Second) }))
	defer slow.Close()
	s.options.Metrics = []string{slow.URL}
	mustFind(t, s.look(), "metrics "+slow.URL, doctor.Failed, "not as a service of SpotServe does", "start the service")
	s.options.Metrics = []string{stranger.URL, "http://" + away + "/metrics"}
	r := s.look()
	mustFind(t, r, "metrics "+stranger.URL, doctor.Failed, "answers with status 404", "start the service", "metrics http://"+away)
	mustFind(t, r, "metrics http://"+away, doctor.Failed, "connection refused", "--metrics-listen", "metrics "+stranger.URL)
}
