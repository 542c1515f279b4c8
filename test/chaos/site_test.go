//go:build unix

package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/linktest"
	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/test/internal/runs"
)

// options are what differs between sites.
type options struct {
	nodes   int    // worker processes, one a node
	store   string // URL; "": SQLite in the site's folder
	linked  bool   // a link between each service and NATS
	servers int    // of the NATS cluster; 0: one server on its own
	server  natsserver.Options
	env     map[string][]string   // of services, by name
	endS    int                   // of the experiment, in its seconds; 0: 400
	apart   map[string]*namespace // where services live, by name; else with the test
}

// site is NATS, two planners, two trace-replayers, a collector and one worker a
// node, all of them processes.
type site struct {
	t       testing.TB
	dir     string
	store   string
	servers []*proc
	url     string // of all servers
	procs   []*proc
	bus     bus.Bus // the test's own, past all links
	notices uint64  // said so far
	watch   *runs.Watch
	started time.Time
}

func newSite(t testing.TB, o options) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), store: o.store}
	if s.store == "" {
		s.store = "sqlite:" + filepath.Join(s.dir, "store.db")
	}
	s.startServers(o)
	s.connect(o)
	s.add(o, "collector", "collector", "--store", s.store)
	for i := range 2 {
		s.add(o, "planner-"+strconv.Itoa(i), "planner")
	}
	for _, node := range nodes(o.nodes) {
		s.add(o, node, "worker", "--node", node)
	}
	for i := range 2 {
		s.add(o, "trace-replayer-"+strconv.Itoa(i), "trace-replayer")
	}
	for _, p := range s.procs {
		p.start()
	}
	for _, p := range s.procs {
		p.awaitReady()
	}
	return s
}

func nodes(n int) (names []string) {
	for i := range n {
		names = append(names, "node-"+strconv.Itoa(i))
	}
	return names
}

func (s *site) startServers(o options) {
	s.t.Helper()
	if o.servers == 0 {
		o.server.Listen = free(s.t)
		for _, ns := range o.apart { // any: all of them have a way there
			_, port, _ := strings.Cut(o.server.Listen, ":")
			o.server.Listen = ns.outside + ":" + port
		}
		if o.server.StoreDir == "" {
			o.server.StoreDir = s.t.TempDir()
		}
		s.servers = []*proc{newServer(s.t, o.server)}
	}
	var routes []string
	for range o.servers {
		routes = append(routes, free(s.t))
	}
	for i, at := range routes {
		s.servers = append(s.servers, newServer(s.t, natsserver.Options{
			StoreDir: s.t.TempDir(), Listen: free(s.t),
			Cluster: &natsserver.Cluster{Name: clusterName(i), Listen: at, Routes: routes},
		}))
	}
	var urls []string
	for _, p := range s.servers {
		urls = append(urls, p.serve())
	}
	s.url = strings.Join(urls, ",")
}

// connect makes the streams, on all servers of a cluster, and watches them.
func (s *site) connect(o options) {
	s.t.Helper()
	within(s.t, "a bus", func() (bool, any) {
		var err error
		s.bus, err = natsbus.Connect(s.t.Context(), natsbus.Options{
			URL: s.url, Name: "test", Replicas: o.servers, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return false, err
		}
		_, _, err = s.bus.Get(s.t.Context(), "planner") // makes the bucket
		if err != nil {
			_ = s.bus.Close()
		}
		return err == nil, err
	})
	s.watch = runs.NewWatch(s.t, s.bus)
	s.t.Cleanup(func() {
		if err := s.bus.Close(); err != nil {
			s.t.Logf("close the test's bus: %v", err) // NATS may be stopped
		}
	})
}

func (s *site) add(o options, name, program string, args ...string) {
	s.t.Helper()
	p := &proc{t: s.t, name: name, file: service(s.t, program), dir: s.dir, env: o.env[name]}
	url := s.url
	if o.linked {
		p.link = linktest.New(s.t, s.url)
		url = p.link.URL()
	}
	p.args = append(slices.Clone(args), "--nats", url, "--log-level", "info", "--metrics-listen", anyPort)
	if ns := o.apart[name]; ns != nil {
		ns.house(p)
	}
	s.procs = append(s.procs, p)
}

// anyPort is where a process serves what is asked of it.
const anyPort = "127.0.0.1:0"

// proc is the process of a name.
func (s *site) proc(name string) *proc {
	s.t.Helper()
	i := slices.IndexFunc(s.procs, func(p *proc) bool { return p.name == name })
	if i < 0 {
		s.t.Fatalf("there is no process %s", name)
	}
	return s.procs[i]
}

// holder is the one of a service's processes that holds its lease, and the one
// that stands by.
func (s *site) holder(service string) (leader, standby *proc) {
	s.t.Helper()
	within(s.t, "a holder of the lease "+service, func() (bool, any) {
		value, _, err := s.bus.Get(s.t.Context(), service)
		for i := range 2 {
			if p := s.proc(fmt.Sprintf("%s-%d", service, i)); p.alive() && strings.HasSuffix(string(value), "/"+strconv.Itoa(p.PID())) {
				leader, standby = p, s.proc(fmt.Sprintf("%s-%d", service, 1-i))
			}
		}
		return leader != nil, fmt.Sprintf("%q, %v", value, err)
	})
	return leader, standby
}

// roles are a worker that leads a pipeline now and one that leads none.
func (s *site) roles() (leads, follows *proc) {
	s.t.Helper()
	chosen := s.watch.Last(event.ConfigChosen{}.Kind()).Body.(event.ConfigChosen)
	leaders := make(map[string]bool)
	for _, p := range chosen.Pipelines {
		leaders[p.Leader] = true
	}
	for _, p := range chosen.Pipelines {
		leads = s.proc(p.Leader)
		for _, node := range p.Nodes {
			if !leaders[node] {
				return leads, s.proc(node)
			}
		}
	}
	s.t.Fatalf("no worker of %+v follows", chosen.Pipelines)
	return nil, nil
}

// start starts an experiment and returns its run; "" if it is refused, because a
// service that it needs is away.
func (s *site) start(yaml string) (run string) {
	s.t.Helper()
	s.started = time.Now()
	// Not by the bus, which may be waiting for NATS: the answer comes when it
	// comes.
	var seq uint64
	within(s.t, "an experiment is started", func() (bool, any) {
		ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
		defer cancel()
		var err error
		seq, err = control.Publish(ctx, s.bus, event.StartExperiment{Experiment: experiment.Custom, YAML: yaml})
		return err == nil, err
	})
	answers, err := s.bus.Follow(s.t.Context(), bus.Control, bus.Position{Seq: seq}, wire.SubjectAccepted, wire.SubjectRefused)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answers.Stop()
	timeout := time.After(patience)
	for {
		select {
		case m := <-answers.C():
			body, err := wire.DecodeControl(m.Subject, m.Data)
			if err != nil {
				s.t.Fatal(err)
			}
			switch b := body.(type) {
			case event.ExperimentAccepted:
				if b.StartSeq == seq {
					return b.Run
				}
			case event.ExperimentRefused:
				if b.StartSeq == seq {
					s.t.Logf("start refused: %s", b.Reason)
					return ""
				}
			}
		case <-timeout:
			s.t.Fatal("a start has no answer")
		}
	}
}

// accepted starts an experiment, again if it is refused: on a busy machine a
// service may take longer to answer the roll call than the replayer waits.
func (s *site) accepted(yaml string) (run string) {
	s.t.Helper()
	within(s.t, "an experiment is accepted", func() (bool, any) {
		run = s.start(yaml)
		return run != "", "it is refused"
	})
	return run
}

// say publishes what a cloud says about a node, under a number of its own: as of
// all notice sources, they begin at the wall time.
func (s *site) say(run, node string, b event.Body) {
	s.t.Helper()
	if s.notices == 0 {
		s.notices = uint64(time.Now().UnixMilli())
	}
	s.notices++
	at := s.watch.Now(run)
	if p, ok := b.(event.PreemptionNoticed); ok {
		p.Deadline += at
		b = p
	}
	ev := event.Event{Run: run, Source: event.SourceNotice(node), Seq: s.notices, Time: at, Version: event.SchemaVersion, Body: b}
	subject, err := wire.Subject(ev)
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := wire.Encode(ev)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.bus.PublishWait(s.t.Context(), bus.Outgoing{Subject: subject, Data: data}); err != nil {
		s.t.Fatal(err)
	}
}

// scale is of all experiments here, in experiment seconds a second.
const scale = 20

// short is an experiment of endS/20 s, on nodes 0 to 5, one of which joins and
// one of which goes. It drains: in the end every request is done.
func short(endS int) string {
	return fmt.Sprintf(`name: chaos
seed: 1
time_scale: %d
drain: true
grace_s: 120
model: 20B
instance: g4dn.12xlarge
profile: T4-20B
trace:
  end_s: %d
  changes:
    - {at_s: 0, add_spot: [node-0, node-1, node-2, node-3, node-4]}
    - {at_s: 130, add_spot: [node-5]}
    - {at_s: 230, remove: [node-1]}
arrivals: {kind: poisson, rate_rps: 0.35, prompt_tokens: 512, output_tokens: 128}
`, scale, max(endS, 400))
}

// shortNodes are those of short.
const shortNodes = 6

// clusterName is a server's in its cluster.
func clusterName(i int) string { return "nats-" + strconv.Itoa(i) }
