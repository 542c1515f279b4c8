package deploy_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/live"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/collector"
	"github.com/spotserve/spotserve/services/planner"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
	tracereplayer "github.com/spotserve/spotserve/services/trace-replayer"
	"github.com/spotserve/spotserve/services/worker"
)

// TestEveryServiceDoesItsWork: a published experiment, with every service on a
// connection of its own role and every node's worker on one of its node, from the
// start to the figure. Nobody is refused anything, and no secret is in a log.
func TestEveryServiceDoesItsWork(t *testing.T) {
	start := event.StartExperiment{
		Experiment: experiment.EndToEnd, Approach: string(experiment.SpotServe), Model: "20B", Trace: "As",
		Options: event.StartOptions{Seed: 1, TimeScale: 400},
	}
	spec, _, err := catalog.Resolve(start)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, spec.Nodes...)
	said, ready, drawn := new(lines), new(obs.Readiness), make(chan error, 1)
	log := slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	connect := func(name string) bus.Bus {
		t.Helper()
		b, err := natsbus.Connect(t.Context(), natsbus.Options{
			URL: s.server.URL(), Credentials: s.files(name), Name: name, Log: log,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		return b
	}
	url := "sqlite:" + t.TempDir() + "/store.db"
	rows, err := open.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	})
	var group run.Group
	var setups []error
	setup := func(err error) { setups = append(setups, err) }
	setup(collector.Setup(&group, collector.Options{
		Holder: "c", Bus: connect("collector"), Store: rows, Log: log, Metrics: prometheus.NewRegistry(), Ready: ready,
		Retention: collector.Retention{Runs: 1},
	}))
	setup(planner.Setup(&group, planner.Options{Holder: "p", Bus: connect("planner"), Log: log, Metrics: prometheus.NewRegistry(), Ready: ready}))
	setup(tracereplayer.Setup(&group, tracereplayer.Options{Holder: "t", Bus: connect("trace-replayer"), Log: log, Metrics: prometheus.NewRegistry(), Ready: ready}))
	setup(plotter.Setup(&group, plotter.Options{
		Bus: connect("plotter"), Log: log, Metrics: prometheus.NewRegistry(), Ready: ready, Folder: t.TempDir(), Formats: []figure.Format{figure.SVG},
		Open:  func(ctx context.Context) (store.Reader, error) { return open.OpenReader(ctx, url) },
		Drawn: func(_ string, _ []string, err error) { drawn <- err },
	}))
	for _, node := range spec.Nodes {
		setup(worker.Setup(&group, worker.Options{
			Bus: connect((access.User{Role: access.Worker, Node: node}).Name()), Nodes: []string{node}, Log: log,
			Metrics: prometheus.NewRegistry(), Ready: ready,
		}))
	}
	if err := errors.Join(setups...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	group.Add(run.ContextHandler(ctx))
	ended := make(chan error, 1)
	go func() { ended <- group.Run() }()
	defer func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the services end with %v", err)
		}
	}()
	if err := ready.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}

	completed := 0
	name, _, err := live.Run(t.Context(), connect("operator"), start, func(ev event.Event) {
		if _, ok := ev.Body.(event.RequestCompleted); ok {
			completed++
		}
	}, func(bool) {})
	if err != nil {
		t.Fatal(err)
	}
	if completed == 0 {
		t.Error("no request is completed")
	}
	if err := <-drawn; err != nil {
		t.Errorf("the figure: %v", err)
	}
	readAndAsk(t, connect("client"), name)
	exchangeAddresses(t, connect, spec.Nodes[:2])

	text := said.String()
	for line := range strings.Lines(text) {
		if strings.Contains(line, "not allowed") || strings.Contains(line, "level=ERROR") {
			t.Error(line)
		}
	}
	wantNoSecrets(t, text, s.keys)
	if !strings.Contains(text, "run finished") {
		t.Error("the log has nothing of the run")
	}
}

// readAndAsk does what a client may.
func readAndAsk(t *testing.T, b bus.Bus, run string) {
	t.Helper()
	plans, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, wire.PlanFilter(run))
	if err != nil {
		t.Fatal(err)
	}
	defer plans.Stop()
	if m, ok := <-plans.C(); !ok || !bus.Match(wire.PlanFilter(run), m.Subject) {
		t.Errorf("the client reads %q: %v", m.Subject, plans.Err())
	}
	if _, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: wire.UserRequests(run), Data: []byte("{}")}); err != nil {
		t.Error(err)
	}
}

// exchangeAddresses does what workers of runs that compute tokens do.
func exchangeAddresses(t *testing.T, connect func(string) bus.Bus, nodes []string) {
	t.Helper()
	for i, node := range nodes {
		b := connect((access.User{Role: access.Worker, Node: node}).Name())
		if _, err := b.Put(t.Context(), access.AddressKey(node), []byte(node), 0); err != nil {
			t.Error(err)
		}
		for _, other := range slices.Backward(nodes[:i+1]) {
			if value, _, err := b.Get(t.Context(), access.AddressKey(other)); err != nil || string(value) != other {
				t.Errorf("%s reads the address of %s: %q, %v", node, other, value, err)
			}
		}
	}
}
