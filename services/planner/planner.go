// Package planner is the planner as a service: it drives one meta-context
// manager (core/planner) through every run that starts.
package planner

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/event"
	core "github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/heartbeat"
	"github.com/spotserve/spotserve/platform/lease"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/trace"
	"github.com/spotserve/spotserve/platform/trace/spans"
	"github.com/spotserve/spotserve/platform/wire"
)

// Bus is the part of a bus that the planner takes.
type Bus interface {
	rollcall.Bus
	bus.Appender
	bus.KeyValue
	bus.Signaller
}

// Options are what the service needs.
type Options struct {
	Bus     Bus
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Ready   *obs.Readiness
	// ReorderWait bounds, in wall time, how long an overdue event waits for a
	// silent source.
	ReorderWait time.Duration
	// Holder names this process in the lease that one of several planners
	// holds; the others stand by.
	Holder string
	Tracer *trace.Tracer // nil says nothing
	// SilentAfter is how long, in wall time, a worker may be silent until the
	// planner goes on without it. 0: DefaultSilentAfter.
	SilentAfter time.Duration
}

// DefaultSilentAfter bears a few heartbeats that are lost.
const DefaultSilentAfter = 5 * time.Second

// DefaultReorderWait is long for a bus and short for a person.
const DefaultReorderWait = 2 * time.Second

// Setup adds the service to the group.
func Setup(g *run.Group, o Options) error {
	if o.SilentAfter <= 0 {
		o.SilentAfter = DefaultSilentAfter
	}
	s := &service{Options: o, watch: heartbeat.NewWatch(o.Bus, o.Log, o.Holder, o.SilentAfter), metrics: newMetrics()}
	if err := s.metrics.register(o.Metrics); err != nil {
		return err
	}
	var err error
	if s.skips, err = skip.Register(o.Metrics, "planner", o.Log); err != nil {
		return fmt.Errorf("planner: metrics: %w", err)
	}
	runs, calls := o.Ready.Add("planner: runs"), o.Ready.Add("planner: roll calls")
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error { return s.watch.Run(ctx) }, func(error) { cancel() })
	}
	standing := make(chan struct{}) // closed when this planner leads or stands by
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			err := lease.Hold(ctx, lease.Options{
				Name: access.LeasePlanner, Holder: o.Holder, Keys: o.Bus, Log: o.Log, Ready: func() { runs.Met(); close(standing) },
			}, s.metrics.leading.While(func(ctx context.Context) error {
				return actor.EachRun(ctx, o.Bus, o.Log, func() {}, s.play)
			}))
			runs.NotMet("stopped")
			return err
		}, func(error) { cancel() })
	}
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			// Who answers takes part in the run that asks, now or when the
			// leader is gone.
			select {
			case <-standing:
			case <-ctx.Done():
				return nil
			}
			err := rollcall.Answer(ctx, o.Bus, event.ServicePresent{Service: "planner"}, calls.Met)
			calls.NotMet("stopped")
			return err
		}, func(error) { cancel() })
	}
	return nil
}

type service struct {
	Options
	watch   *heartbeat.Watch
	metrics *metrics
	skips   *skip.Teller
}

// The pauses before a run is led anew, in wall time. The first one is long
// enough for a planner that has lost its lease to learn of it.
const (
	firstPause = lease.DefaultTTL
	lastPause  = 30 * time.Second
)

// play drives one run to its end, as long as this planner holds the lease. What
// breaks it off, NATS that is away for longer than a message waits or a planner
// without the lease that had itself elected, costs a new election and nothing
// else: the stream has all that was taken.
func (s *service) play(ctx context.Context, r actor.Started) error {
	var outage obs.Outage
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := s.lead(ctx, r, &outage)
		if err == nil || ctx.Err() != nil {
			return err
		}
		outage.Failed(s.Log, "run is led anew", err, obs.KeyRun, r.Run, "in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lead drives one run from where an earlier leadership may have left it.
func (s *service) lead(ctx context.Context, r actor.Started, outage *obs.Outage) error {
	log := s.Log.With(obs.KeyRun, r.Run)
	spec := r.Start.Spec
	pace, err := clock.New(time.Unix(0, r.Start.WallStart), spec.TimeScale)
	if err != nil {
		return err
	}
	leadership, err := actor.Lead(ctx, s.Bus, r)
	if err != nil {
		return err
	}
	input, err := s.Bus.Follow(ctx, bus.Runs, bus.Position{Seq: r.Seq},
		wire.FleetFilter(r.Run), wire.RequestFilter(r.Run), wire.WorkerFacts(r.Run), wire.TimerFilter(r.Run))
	if err != nil {
		return fmt.Errorf("follow run %s: %w", r.Run, err)
	}
	s.metrics.active.Inc()
	defer s.metrics.active.Dec()
	if leadership.Term() > 1 {
		s.metrics.takeover.Inc()
	}
	outage.Over(log, "the run can be led again")
	log.Info("run led", "term", leadership.Term(), "approach", spec.Approach, "model", spec.Model.Name, "trace", spec.Trace, "time_scale", spec.TimeScale)
	manager := core.New(1)
	ledger := s.metrics.open(r.Run, manager, leadership, pace)
	defer ledger.close()
	here := newRollBook()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	watching.Go(func() { s.sayWhoIsSilent(ctx, log, r, leadership, pace, here) })
	var tracer actor.Tracer
	if s.Tracer.On() {
		tracer = spans.NewPlanner(s.Tracer, r.Run, pace, manager)
	}
	err = actor.RunPlanner(ctx, actor.Options{
		Run: r.Run, Name: event.SourcePlanner, Core: s.teller(ledger, manager, r.Run, leadership.Term(), log), Bus: s.Bus, Input: input,
		Clock: pace, Log: log, ReorderWait: s.ReorderWait, Skips: s.skips,
		Observe: func(ev event.Event) {
			if b, ok := ev.Body.(event.SourcesGivenUp); ok {
				ledger.giveUp(b)
			}
			here.take(ev)
		},
		Ignored: ledger.ignore, Trace: tracer,
	}, leadership, spec.Delays, manager.Finished)
	if err == nil {
		log.Info("run finished")
	}
	return err
}
