package exactness

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/services/planner"
	"github.com/spotserve/spotserve/services/worker"
)

// site is a planner and one worker a node.
type site interface {
	theBus() bus.Bus
	// start has the worker of a node run, as a new process.
	start(node string)
	// kill ends it without a word.
	kill(node string)
}

// local is a site in this process.
type local struct {
	t    *testing.T
	bus  bus.Bus
	log  *slog.Logger
	ends map[string]func()
}

func newLocal(t *testing.T) *local {
	t.Helper()
	level := slog.LevelError
	if os.Getenv("EXACTNESS_LOG") != "" {
		level = slog.LevelInfo
	}
	l := &local{
		t: t, bus: membus.New(membus.Options{}), ends: make(map[string]func()),
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
	t.Cleanup(func() {
		for _, end := range l.ends {
			end()
		}
		if err := l.bus.Close(); err != nil {
			t.Error(err)
		}
	})
	l.group("planner", func(g *run.Group, ready *obs.Readiness) error {
		return planner.Setup(g, planner.Options{
			Bus: l.bus, Holder: "test/1", ReorderWait: planner.DefaultReorderWait, Log: l.log, Metrics: prometheus.NewRegistry(), Ready: ready,
		})
	})
	for _, node := range nodes() {
		l.start(node)
	}
	return l
}

func (l *local) theBus() bus.Bus { return l.bus }

func (l *local) start(node string) {
	l.t.Helper()
	l.group(node, func(g *run.Group, ready *obs.Readiness) error {
		return worker.Setup(g, worker.Options{
			Bus: l.bus, Nodes: []string{node}, Log: l.log, Metrics: prometheus.NewRegistry(), Ready: ready,
			Engine: worker.EngineOptions{Kernels: kernel.Options{Threads: 1}},
		})
	})
}

func (l *local) kill(node string) {
	l.ends[node]()
	delete(l.ends, node)
}

// group runs a service until its end is called.
func (l *local) group(name string, setup func(*run.Group, *obs.Readiness) error) {
	l.t.Helper()
	var g run.Group
	ready := new(obs.Readiness)
	if err := setup(&g, ready); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(run.ContextHandler(ctx))
	ended := make(chan error, 1)
	go func() { ended <- g.Run() }()
	l.ends[name] = func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			l.t.Errorf("%s ends with %v", name, err)
		}
	}
	if err := ready.Wait(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}
