//go:build unix

package upgrade

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/test/internal/program"
	"github.com/spotserve/spotserve/test/internal/runs"
)

// site is NATS and the services, each a process of either version.
type site struct {
	t     *testing.T
	dir   string
	store string
	url   string
	bus   bus.Bus
	watch *runs.Watch
	all   map[string]*process
}

// process is a service under a name, which it keeps when it is replaced.
type process struct {
	*program.Process
	service string
	args    []string
}

// version picks the program of a service.
type version bool

const (
	now  version = true
	then version = false
)

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), all: make(map[string]*process)}
	s.store = "sqlite:" + filepath.Join(s.dir, "store.db")
	server, err := natsserver.Start(natsserver.Options{Listen: "127.0.0.1:0", StoreDir: filepath.Join(s.dir, "jetstream")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	s.url = server.URL()
	return s
}

// connect follows what happens. The streams are there by then, as the version
// before makes them.
func (s *site) connect() {
	s.t.Helper()
	b, err := natsbus.Connect(s.t.Context(), natsbus.Options{URL: s.url, Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.bus = b
	s.t.Cleanup(func() {
		if err := b.Close(); err != nil {
			s.t.Error(err)
		}
	})
	s.watch = runs.NewWatch(s.t, b)
}

// start runs a service under a name, and waits until it is ready.
func (s *site) start(v version, name, service string, args ...string) {
	s.t.Helper()
	file, old := programs(s.t, service)
	if v == then {
		file = old
	}
	p := &process{service: service, args: args}
	p.Process = program.Start(s.t, s.dir, nil, file, append(slices.Clone(args), "--nats", s.url, "--metrics-listen", "127.0.0.1:0")...)
	s.all[name] = p
	p.awaitReady(s.t)
}

// replace ends a service as an operator does, and starts it again in another
// version.
func (s *site) replace(v version, name string) {
	s.t.Helper()
	p := s.all[name]
	p.Signal(s.t, syscall.SIGTERM)
	if exit := p.Wait(s.t); exit.Code != 0 {
		s.t.Errorf("%s ends with code %d", name, exit.Code)
	}
	s.start(v, name, p.service, p.args...)
	s.t.Logf("%s is replaced (today's: %t)", name, v)
}

// roll replaces services one after the other, with requests answered in between.
func (s *site) roll(v version, names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.replace(v, name)
		s.watch.AwaitMore(1, event.RequestCompleted{})
	}
}

// leader is the one of a service's two processes that holds its lease, standby the
// other one.
func (s *site) leader(service string) (leader, standby string) {
	s.t.Helper()
	for timeout := time.After(runs.Patience); ; {
		value, _, err := s.bus.Get(s.t.Context(), service)
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range 2 {
			name := fmt.Sprintf("%s-%d", service, i)
			if strings.HasSuffix(string(value), fmt.Sprintf("/%d", s.all[name].PID())) {
				return name, fmt.Sprintf("%s-%d", service, 1-i)
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-timeout:
			s.t.Fatalf("nobody of those who run holds the lease %s: %q", service, value)
		}
	}
}

var httpAt = regexp.MustCompile(`url=(http://\S+)`)

func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	p.Await(t, "url=http://")
	url := httpAt.FindStringSubmatch(p.Stderr.String())[1]
	for timeout := time.After(runs.Patience); ; {
		said := "no answer"
		if r, err := http.Get(url + "/readyz"); err == nil {
			text, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if said = string(text); r.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-timeout:
			t.Fatalf("%s is not ready: %s", p.service, said)
		}
	}
}

// experimentOf is one of endS/20 s, on nodes 0 to 3; one joins and one goes. It
// drains: in the end every request is done.
func experimentOf(endS int) string {
	return fmt.Sprintf(`name: upgrade
seed: 1
time_scale: 20
drain: true
grace_s: 120
model: 20B
instance: g4dn.12xlarge
profile: T4-20B
trace:
  end_s: %d
  changes:
    - {at_s: 0, add_spot: [node-0, node-1, node-2]}
    - {at_s: 130, add_spot: [node-3]}
    - {at_s: 180, remove: [node-1]}
arrivals: {kind: poisson, rate_rps: 0.3, prompt_tokens: 512, output_tokens: 128}
`, endS)
}

// begin starts an experiment, and waits until its run begins.
func (s *site) begin(yaml string) (run string, start event.RunStarted) {
	s.t.Helper()
	answers, err := s.bus.Follow(s.t.Context(), bus.Control, bus.Position{New: true}, wire.SubjectAccepted, wire.SubjectRefused)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answers.Stop()
	for range 10 { // on a busy machine a roll call may be too short for all
		if _, err := control.Publish(s.t.Context(), s.bus, event.StartExperiment{Experiment: experiment.Custom, YAML: yaml}); err != nil {
			s.t.Fatal(err)
		}
		m := <-answers.C()
		body, err := wire.DecodeControl(m.Subject, m.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		if accepted, ok := body.(event.ExperimentAccepted); ok {
			return accepted.Run, s.watch.AwaitStart(accepted.Run)
		}
		s.t.Logf("start refused: %s", m.Data)
	}
	s.t.Fatal("no start is accepted")
	return "", start
}

// TestOneServiceAtATime: every service is replaced by today's, one after the other,
// while a run goes on, some of them by those of the version before again; and
// nothing is lost. When all are of today, so are new runs.
func TestOneServiceAtATime(t *testing.T) {
	s := newSite(t)
	s.start(then, "collector", "collector", "--store", s.store)
	for i := range 2 {
		s.start(then, fmt.Sprintf("planner-%d", i), "planner")
		s.start(then, fmt.Sprintf("trace-replayer-%d", i), "trace-replayer")
	}
	var workers []string
	for i := range 4 {
		node := fmt.Sprintf("node-%d", i)
		s.start(then, node, "worker", "--node", node)
		workers = append(workers, node)
	}
	s.connect()
	run, start := s.begin(experimentOf(1000))
	lower := schemaBefore(t) // of a release, perhaps today's
	if start.Schema != lower {
		t.Fatalf("a run of services of version %d has version %d", lower, start.Schema)
	}
	s.watch.AwaitMore(5, event.RequestCompleted{})

	s.roll(now, "collector")
	leads, standby := s.leader("planner")
	s.roll(now, standby, leads)
	leads, standby = s.leader("trace-replayer")
	s.roll(now, standby, leads)
	s.roll(now, workers...)
	// Back again: one of each kind.
	leads, _ = s.leader("planner")
	s.roll(then, leads, "node-0", "collector")
	leads, _ = s.leader("trace-replayer")
	s.roll(then, leads)
	if s.watch.Over(run) {
		t.Error("the run was over before all were replaced: it proves nothing")
	}
	s.watch.AwaitEnd(run)
	r := runs.MustBeWhole(t, s.bus, s.store, run)
	if r.Totals.UnfinishedAtEnd != 0 || r.Totals.Refused != 0 {
		t.Errorf("%d requests are unfinished and %d refused", r.Totals.UnfinishedAtEnd, r.Totals.Refused)
	}

	// A run with services of both versions is of the lower one, also where it is a
	// trace-replayer of today that asks.
	for _, name := range []string{"trace-replayer-0", "trace-replayer-1"} {
		s.replace(now, name)
	}
	mixed, start := s.begin(experimentOf(240))
	if start.Schema != lower {
		t.Errorf("a run of services of both versions has version %d, want %d", start.Schema, lower)
	}
	s.watch.AwaitEnd(mixed)
	runs.MustBeWhole(t, s.bus, s.store, mixed)

	for _, name := range slices.Sorted(maps.Keys(s.all)) {
		s.replace(now, name)
	}
	last, start := s.begin(experimentOf(240))
	if start.Schema != event.SchemaVersion {
		t.Errorf("a run of services of today has version %d, want %d", start.Schema, event.SchemaVersion)
	}
	s.watch.AwaitEnd(last)
	runs.MustBeWhole(t, s.bus, s.store, last)
}
