// Package worker is the worker as a service: for every run it drives the cores
// (core/worker) of the nodes that it stands for.
//
// In a profiled run nothing is computed: everything takes its modelled time, engine
// start and loading of weights included, scaled by the run's time scale. In a
// measured run each node has an engine (engine/node) that fetches weights and KV
// cache from those of other nodes, whose addresses are in the bus's key-value
// bucket, and computes tokens with them. It lives as long as the node's place in
// the run: whoever joins again begins with nothing.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/event"
	core "github.com/spotserve/spotserve/core/worker"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/heartbeat"
	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/trace"
	"github.com/spotserve/spotserve/platform/trace/spans"
	"github.com/spotserve/spotserve/platform/wire"
)

// Bus is the part of a bus that the worker takes.
type Bus interface {
	rollcall.Bus
	bus.Appender
	bus.Signaller
	bus.KeyValue
}

// Options are what the service needs.
type Options struct {
	Bus Bus
	// Nodes are the names that this worker stands for; "*" is every node of a
	// run.
	Nodes []string
	// Notices are where the instance that this worker runs on learns that it
	// will go. With any there has to be exactly one node.
	Notices []notice.Source
	// Engine is for runs that compute tokens.
	Engine  EngineOptions
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Ready   *obs.Readiness
	Tracer  *trace.Tracer // nil says nothing
}

// AllNodes stands for every node of a run.
const AllNodes = "*"

// Setup adds the service to the group.
func Setup(g *run.Group, o Options) error {
	if len(o.Nodes) == 0 {
		return fmt.Errorf("worker: --node names no node; allowed are node names, repeated, or '*' for all nodes of a run")
	}
	if err := errors.Join(o.Engine.check(o.Nodes), o.Engine.checkCredentials(o.Nodes)); err != nil {
		return err
	}
	o.Engine.warn(o.Log)
	s := &service{Options: o, metrics: newMetrics(o), refusals: dataplane.NewRefusals(o.Log)}
	if err := s.metrics.register(o.Metrics, &s.engines, refused{s.refusals}); err != nil {
		return err
	}
	var err error
	if s.skips, err = skip.Register(o.Metrics, "worker", o.Log); err != nil {
		return fmt.Errorf("worker: metrics: %w", err)
	}
	if err := s.watch(g); err != nil {
		return err
	}
	runs, calls := o.Ready.Add("worker: runs"), o.Ready.Add("worker: roll calls")
	following := make(chan struct{}) // closed when no run's start can be missed
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			err := actor.EachRun(ctx, o.Bus, o.Log, func() { runs.Met(); close(following) }, s.play)
			runs.NotMet("stopped")
			return err
		}, func(error) { cancel() })
	}
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			// Who answers takes part in the run that asks.
			select {
			case <-following:
			case <-ctx.Done():
				return nil
			}
			who := event.ServicePresent{Service: "worker", Nodes: o.Nodes}
			err := rollcall.Answer(ctx, o.Bus, who, calls.Met)
			calls.NotMet("stopped")
			return err
		}, func(error) { cancel() })
	}
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			return heartbeat.Beat(ctx, o.Bus, o.Log, o.Nodes, func() bool { return s.oldRuns.Load() > 0 })
		}, func(error) { cancel() })
	}
	return nil
}

type service struct {
	Options
	board   *notice.Board // nil without notices
	skips   *skip.Teller
	oldRuns atomic.Int64 // in progress, of version 1
	metrics *metrics
	engines engines
	// refusals are those of all data planes of this process; nil: each has its own.
	refusals *dataplane.Refusals
}

// play drives the nodes of one run that this process stands for.
func (s *service) play(ctx context.Context, r actor.Started) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.Start.Schema == 1 {
		s.oldRuns.Add(1)
		defer s.oldRuns.Add(-1)
	}
	crew := newCrew(ctx)
	defer crew.dismiss()
	var nodes sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	for _, node := range r.Start.Spec.Nodes {
		if !s.standsFor(node) {
			continue
		}
		nodes.Go(func() {
			if err := s.playNode(ctx, crew, r, node); err != nil && ctx.Err() == nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, fmt.Errorf("node %s: %w", node, err))
			}
		})
	}
	nodes.Wait()
	return errors.Join(failed...)
}

func (s *service) standsFor(node string) bool {
	return slices.Contains(s.Nodes, AllNodes) || slices.Contains(s.Nodes, node)
}

// The pauses before a node joins again what broke off, in wall time.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// errEngine says that a node has no engine to compute with.
var errEngine = errors.New("the engine")

// playNode drives a node through a run. Where the run was in progress before
// this process, where the planner went on without it, and where something broke
// it off, NATS that is away for longer than a message waits for example, it
// joins with nothing: what it said last may not have been heard.
func (s *service) playNode(ctx context.Context, c *crew, r actor.Started, node string) error {
	pause := firstPause
	if r.Start.Spec.Measured() {
		defer s.engines.want(node)()
	}
	var outage obs.Outage
	for join := r.Open; ; join = true {
		shift := c.now()
		err := s.joinAndPlay(shift, r, node, join, &outage)
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.Is(err, actor.ErrEvicted):
			pause = firstPause
			continue
		}
		if !errors.Is(err, actor.ErrGaveUp) && !errors.Is(err, errEngine) {
			c.breakOff(shift) // of the bus, which all nodes share
		}
		s.metrics.broken.Inc()
		outage.Failed(s.Log, "join a run again that broke off", err, obs.KeyRun, r.Run, obs.KeyNode, node, "in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, lastPause)
	}
}

func (s *service) joinAndPlay(ctx context.Context, r actor.Started, node string, join bool, outage *obs.Outage) error {
	var j actor.Joining
	if join {
		pace, err := clock.New(time.Unix(0, r.Start.WallStart), r.Start.Spec.TimeScale)
		if err != nil {
			return err
		}
		if j, err = actor.Join(ctx, s.Bus, r, node, pace.Now()); err != nil {
			return fmt.Errorf("join run %s: %w", r.Run, err)
		}
		s.metrics.joins.Inc()
		s.Log.Warn("join a run in progress", "run", r.Run, "node", node, "incarnation", j.Incarnation())
	}
	return s.incarnate(ctx, r, node, j, outage)
}

// incarnate drives a node through a run until it is over or goes on without it.
func (s *service) incarnate(ctx context.Context, r actor.Started, node string, j actor.Joining, outage *obs.Outage) error {
	pace, err := clock.New(time.Unix(0, r.Start.WallStart), r.Start.Spec.TimeScale)
	if err != nil {
		return err
	}
	filters := append(wire.NoticeFilters(r.Run, node), wire.FleetFilter(r.Run), wire.CommandFilter(r.Run, node),
		wire.PlannerWatermarks(r.Run), wire.RunFinishedFilter(r.Run), wire.SilenceFilter(r.Run))
	input, err := s.Bus.Follow(ctx, bus.Runs, bus.Position{Seq: r.Seq}, filters...)
	if err != nil {
		return fmt.Errorf("follow run %s: %w", r.Run, err)
	}
	s.metrics.nodes.Inc()
	defer s.metrics.nodes.Dec()
	told := &announcer{
		bus: s.Bus, board: s.board, clock: pace, scale: r.Start.Spec.TimeScale, run: r.Run, schema: r.Start.Schema,
		member: membership{node: node, changed: make(chan struct{})},
	}
	log := s.Log.With("run", r.Run, "node", node)
	state := core.NewIncarnation(node, j.Incarnation())
	var drives actor.Core = state
	var computes actor.Engine
	if r.Start.Spec.Measured() {
		e, err := s.openEngine(ctx, r, node, log)
		if err != nil {
			input.Stop()
			return fmt.Errorf("%w of run %s does not open: %w", errEngine, r.Run, err)
		}
		computes = e
		state.Tokenize(e.tokenizer)
		drives = counting{state, s.metrics.tokens.WithLabelValues(node)}
		defer func() {
			if err := e.close(); err != nil {
				log.Error("the engine does not close", "error", err)
			}
		}()
	}
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	var failed error
	if s.board != nil {
		telling.Go(func() {
			if failed = told.tell(ctx); failed != nil {
				cancel()
			}
		})
	}
	outage.Over(log, "the node takes part in the run again")
	var tracer actor.Tracer
	if s.Tracer.On() {
		w := spans.NewWorker(s.Tracer, r.Run, node, pace, state)
		defer w.Close()
		tracer = w
	}
	err = actor.RunWorker(ctx, actor.Options{
		Run: r.Run, Name: node, Core: &teller{drives, s.Tracer, r.Run, log}, Bus: s.Bus, Input: input, Clock: pace,
		Log: log, ReorderWait: time.Hour, Engine: computes, Skips: s.skips, Trace: tracer,
		Observe: func(ev event.Event) {
			s.metrics.events.WithLabelValues(string(ev.Body.Kind())).Inc()
			told.member.observe(ev)
		},
		Ignored: func(event.Event) { s.metrics.ignored.Inc() },
	}, j, r.Start.Spec.Delays)
	cancel()
	telling.Wait()
	return cmp.Or(failed, err)
}
