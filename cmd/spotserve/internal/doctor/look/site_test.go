package look_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/oklog/run"
	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor/look"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/services/collector"
	"github.com/spotserve/spotserve/services/planner"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
	tracereplayer "github.com/spotserve/spotserve/services/trace-replayer"
	"github.com/spotserve/spotserve/services/worker"
)

func TestMain(m *testing.M) {
	// The tests listen far more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "10"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// A server of a cluster leaves some of NATS's own behind for a moment.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*Server).startGoRoutine.func1"))
}

var quiet = slog.New(slog.DiscardHandler)

// node is what the worker of a site stands for.
const node = "node-a"

// site is a whole deployment in this process, on a NATS server of its own.
type site struct {
	t       *testing.T
	options look.Options
	stop    map[string]func() // services, by name
	// replicas is what services that are started ask for.
	replicas int
}

// services are all of a deployment.
var services = []string{"collector", "plotter", "planner", "trace-replayer", "worker"}

// newServer starts a NATS server of the given settings, on any port.
func newServer(t *testing.T, o *server.Options) (url string) {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog, o.StoreDir = "127.0.0.1", server.RANDOM_PORT, true, true, t.TempDir()
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready")
	}
	return s.ClientURL()
}

// newSite starts a deployment with everything in it, and waits until it is ready.
func newSite(t *testing.T, o server.Options) *site {
	t.Helper()
	o.JetStream = true
	s := &site{t: t, stop: make(map[string]func())}
	s.options = look.Options{
		NATS: newServer(t, &o), Store: "sqlite:" + filepath.Join(t.TempDir(), "store.db"), Timeout: 5 * time.Second, Nodes: []string{node},
	}
	for _, name := range services {
		s.start(name)
	}
	return s
}

// bus is a connection of the test's own.
func (s *site) bus(name string) bus.Bus {
	s.t.Helper()
	b, err := natsbus.Connect(s.t.Context(), natsbus.Options{URL: s.options.NATS, Name: name, Replicas: s.replicas, Log: quiet})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = b.Close() }) // the server may be gone
	return b
}

// start starts a service and waits until it is ready.
func (s *site) start(name string) {
	s.t.Helper()
	b, ready, metrics := s.bus(name), new(obs.Readiness), obs.NewRegistry()
	var g run.Group
	var err error
	ended := func() {}
	switch name {
	case "collector":
		w := s.writer()
		ended = func() { _ = w.Close() }
		err = collector.Setup(&g, collector.Options{Holder: "here", Bus: b, Store: w, Log: quiet, Metrics: metrics, Ready: ready})
	case "plotter":
		err = plotter.Setup(&g, plotter.Options{
			Bus: b, Log: quiet, Metrics: metrics, Ready: ready, Folder: s.t.TempDir(), Formats: []figure.Format{figure.SVG},
			Open: func(ctx context.Context) (store.Reader, error) { return open.OpenReader(ctx, s.options.Store) },
		})
	case "planner":
		err = planner.Setup(&g, planner.Options{Bus: b, Log: quiet, Metrics: metrics, Ready: ready, Holder: "here"})
	case "trace-replayer":
		err = tracereplayer.Setup(&g, tracereplayer.Options{Bus: b, Log: quiet, Metrics: metrics, Ready: ready, Holder: "here"})
	case "worker":
		err = worker.Setup(&g, worker.Options{Bus: b, Nodes: []string{node}, Log: quiet, Metrics: metrics, Ready: ready})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(run.ContextHandler(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Run(); err != nil && ctx.Err() == nil {
			s.t.Errorf("%s: %v", name, err)
		}
	}()
	s.stop[name] = func() {
		cancel()
		<-done
		_ = b.Close() // the server may be gone
		ended()
		s.stop[name] = func() {}
	}
	s.t.Cleanup(func() { s.stop[name]() })
	if err := ready.Wait(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// writer opens the store to write.
func (s *site) writer() store.Writer {
	s.t.Helper()
	w, err := open.Open(s.t.Context(), s.options.Store)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// look is what the doctor says of the site.
func (s *site) look() doctor.Report { return doctor.Judge(look.All(s.t.Context(), s.options)) }

// await looks until the report is as it has to become.
func (s *site) await(is func(doctor.Report) bool) (r doctor.Report) {
	s.t.Helper()
	for range 40 {
		if r = s.look(); is(r) {
			return r
		}
	}
	s.t.Fatalf("it never becomes so: %+v", r.Findings)
	return r
}

// mustFind fails the test unless the report says one thing about a check, in some
// words, and what to do; and unless whatever else is wrong is among those allowed.
func mustFind(t *testing.T, r doctor.Report, check string, status doctor.Status, found, mend string, besides ...string) {
	t.Helper()
	hit := slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool {
		return f.Check == check && f.Status == status && strings.Contains(f.Found, found) && strings.Contains(f.Mend, mend)
	})
	if !hit {
		t.Errorf("no finding %q, %s, %q, to mend by %q", check, status, found, mend)
	}
	for _, f := range r.Findings {
		if f.Status == doctor.OK && f.Mend != "" || f.Status != doctor.OK && f.Mend == "" {
			t.Errorf("%+v: want what to mend where something is wrong, and nowhere else", f)
		}
		if f.Status != doctor.OK && f.Check != check && !slices.Contains(besides, f.Check) {
			hit = false
			t.Errorf("besides it says %+v", f)
		}
	}
	if !hit {
		for _, f := range r.Findings {
			t.Logf("%s\t%s\t%s\t%s", f.Status, f.Check, f.Found, f.Mend)
		}
	}
}

// mustBeWell fails the test if anything is wrong.
func mustBeWell(t *testing.T, r doctor.Report) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Status != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
}

func TestADeploymentThatIsWell(t *testing.T) {
	t.Parallel()
	s := newSite(t, server.Options{})
	r := s.look()
	mustBeWell(t, r)
	for _, check := range []string{
		"nats " + s.options.NATS, "nats user", "jetstream", "stream SPOT_CONTROL", "stream SPOT_RUNS", "stream KV_SPOT_KEYS",
		"consumer collector-control", "consumer collector-runs", "consumer plotter",
		"lease trace-replayer", "lease planner", "lease collector",
		"service planner", "service collector", "service worker", "node " + node, "clock of this host", "store", "runs",
	} {
		if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.Check == check }) {
			t.Errorf("it says nothing about %s", check)
		}
	}
}
