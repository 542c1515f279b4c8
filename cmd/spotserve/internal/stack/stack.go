// Package stack runs all services in this process, with an embedded NATS
// server or on one elsewhere.
//
//	embedded NATS (JetStream, files)        or --nats URL
//	   ⇅         ⇅        ⇅         ⇅           ⇅
//	replayer  planner  workers  collector   plotter      one connection each
//	                               │            │
//	                               └──▶ store ──┘ ──▶ figures
package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/deploy"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/platform/trace"
	"github.com/spotserve/spotserve/services/collector"
	"github.com/spotserve/spotserve/services/planner"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
	tracereplayer "github.com/spotserve/spotserve/services/trace-replayer"
	"github.com/spotserve/spotserve/services/worker"
)

// Options are the settings of a stack.
type Options struct {
	Data   string // folder of the streams and the figures
	Store  string // URL
	Listen string // host:port where others may join the embedded server; empty: none
	NATS   string // URL of a server elsewhere; empty: embed one
	// Keys is the folder of a deployment's credentials (package deploy): the
	// embedded server takes its users only. Empty: it takes everybody.
	Keys string
	// Credentials are this process's on a server elsewhere.
	Credentials credential.Files
	// Nodes are what the worker stands for; empty: every node.
	Nodes []string
	// NoWorker leaves the nodes to workers that join from elsewhere.
	NoWorker    bool
	ReorderWait time.Duration
	// Retention says which runs the streams keep; the zero value: all.
	Retention collector.Retention
	// Replicas is how many servers of a cluster keep each stream; 0: as many as
	// do now.
	Replicas int
	// CloseOpen ends the runs that earlier processes left open in Data; else
	// they go on.
	CloseOpen bool
	Trace     trace.Options
	Log       *slog.Logger
	Metrics   *prometheus.Registry
	Ready     *obs.Readiness
	// Drawn hears of every figure; may be nil.
	Drawn func(run string, files []string, err error)
}

// Stack is all services, ready to be run.
type Stack struct {
	group   run.Group
	options Options
	server  *natsserver.Server
	closers []func() error
}

// New connects everything and sets all services up. Nothing runs before Run,
// and Close is due in any case.
func New(ctx context.Context, o Options) (_ *Stack, err error) {
	s := &Stack{options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	w, err := open.As(o.Credentials).Open(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	s.closeLater(w.Close)
	if err := s.embed(ctx, w); err != nil {
		return nil, err
	}
	err = s.setup(ctx, w)
	return s, err
}

func (s *Stack) closeLater(f func() error) { s.closers = append(s.closers, f) }

// embed starts the NATS server, unless there is one elsewhere.
func (s *Stack) embed(ctx context.Context, w store.Writer) (err error) {
	if s.options.NATS != "" {
		return nil
	}
	s.server, err = natsserver.Start(natsserver.Options{
		StoreDir: s.options.Data, Listen: s.options.Listen, Security: s.security(), Log: s.options.Log,
	})
	if err != nil {
		return err
	}
	s.closeLater(s.server.Shutdown)
	// Runs are named after the sequence of their start. Streams that begin anew
	// beside a store that has runs go on counting where the store is.
	next, err := w.NextRun(ctx, "")
	if err != nil {
		return err
	}
	first, err := s.connect(ctx, natsbus.Options{Name: "spotserve-set-up", FirstSeq: next})
	if err != nil {
		return err
	}
	if s.options.CloseOpen {
		_, err = tracereplayer.CloseOpen(ctx, first, s.options.Log)
	}
	return errors.Join(err, first.Close())
}

// security is that of the embedded server.
func (s *Stack) security() *natsserver.Security {
	if s.options.Keys == "" {
		return nil
	}
	return &natsserver.Security{Users: deploy.UsersFile(s.options.Keys), Authority: deploy.ServerFiles(s.options.Keys, deploy.NATS)}
}

// Connect opens one more connection to the bus.
func (s *Stack) Connect(ctx context.Context, name string) (bus.Bus, error) {
	return s.connect(ctx, natsbus.Options{Name: "spotserve-" + name})
}

func (s *Stack) connect(ctx context.Context, o natsbus.Options) (bus.Bus, error) {
	o.URL, o.Replicas, o.Log = s.options.NATS, s.options.Replicas, s.options.Log
	o.Credentials = s.options.Credentials
	if s.server != nil {
		o.InProcess, o.Credentials = s.server, credential.Files{}
		o.User, o.Password = s.server.Login()
	}
	return natsbus.Connect(ctx, o)
}

// setup adds the services to the group, each on a connection of its own.
func (s *Stack) setup(ctx context.Context, w store.Writer) error {
	o := s.options
	nodes := o.Nodes
	if len(nodes) == 0 {
		nodes = []string{worker.AllNodes}
	}
	services := []struct {
		name  string
		setup func(b bus.Bus, log *slog.Logger, tracer *trace.Tracer) error
	}{
		{"collector", func(b bus.Bus, log *slog.Logger, tracer *trace.Tracer) error {
			return collector.Setup(&s.group, collector.Options{
				Holder: "spotserve", Bus: b, Store: w, Log: log, Metrics: o.Metrics, Ready: o.Ready, Tracer: tracer, Retention: o.Retention,
			})
		}},
		{"plotter", func(b bus.Bus, log *slog.Logger, _ *trace.Tracer) error {
			return plotter.Setup(&s.group, plotter.Options{
				Bus: b, Log: log, Metrics: o.Metrics, Ready: o.Ready, Folder: Figures(o.Data), Drawn: o.Drawn,
				Open: func(ctx context.Context) (store.Reader, error) {
					return open.As(o.Credentials).OpenReader(ctx, o.Store)
				},
				Formats: []figure.Format{figure.PNG, figure.SVG, figure.PDF},
			})
		}},
		{"worker", func(b bus.Bus, log *slog.Logger, tracer *trace.Tracer) error {
			return worker.Setup(&s.group, worker.Options{Bus: b, Nodes: nodes, Log: log, Metrics: o.Metrics, Ready: o.Ready, Tracer: tracer})
		}},
		{"planner", func(b bus.Bus, log *slog.Logger, tracer *trace.Tracer) error {
			return planner.Setup(&s.group, planner.Options{Bus: b, Log: log, Metrics: o.Metrics, Ready: o.Ready, Tracer: tracer, ReorderWait: o.ReorderWait, Holder: "spotserve"})
		}},
		{"trace-replayer", func(b bus.Bus, log *slog.Logger, tracer *trace.Tracer) error {
			return tracereplayer.Setup(&s.group, tracereplayer.Options{Bus: b, Log: log, Metrics: o.Metrics, Ready: o.Ready, Tracer: tracer, Holder: "spotserve"})
		}},
	}
	for _, service := range services {
		if service.name == "worker" && o.NoWorker {
			continue
		}
		log := o.Log.With("service", service.name)
		tracer, err := o.Trace.Open(ctx, trace.Service{Name: service.name}, log)
		if err != nil {
			return err
		}
		s.closeLater(tracer.Close)
		b, err := s.connect(ctx, natsbus.Options{Name: "spotserve-" + service.name, Metrics: o.Metrics})
		if err != nil {
			return err
		}
		s.closeLater(b.Close)
		if err := service.setup(b, log, tracer); err != nil {
			return fmt.Errorf("set up %s: %w", service.name, err)
		}
	}
	return nil
}

// Figures is the folder of the figures in a data folder.
func Figures(data string) string { return filepath.Join(data, "figures") }

// URL is where others reach the embedded server; empty without one that
// listens.
func (s *Stack) URL() string {
	if s.server == nil {
		return ""
	}
	return s.server.URL()
}

// Run runs the services until the context ends, or one of them fails. A server
// over HTTP may run along.
func (s *Stack) Run(ctx context.Context, along *obs.Server) error {
	s.group.Add(run.ContextHandler(ctx))
	if along != nil {
		s.group.Add(along.Serve, along.Interrupt)
	}
	err := s.group.Run()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// Close lets go of everything, in the reverse order: the store last.
func (s *Stack) Close() error {
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer())
	}
	s.closers = nil
	return errors.Join(errs...)
}
