// Package tracereplayer is the trace-replayer as a service: it takes start
// events, validates and resolves experiments, and plays their availability
// events and arrivals at their experiment times.
package tracereplayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/wire"
)

// Bus is the part of a bus that the replayer takes.
type Bus interface {
	rollcall.Bus
	bus.Consumer
}

// Options are what the service needs.
type Options struct {
	Bus     Bus
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Ready   *obs.Readiness
	// RollCall is how long, in wall time, services have to say that they are
	// here before a start is refused. 0: DefaultRollCall.
	RollCall time.Duration
}

// DefaultRollCall is ample on a healthy bus.
const DefaultRollCall = 3 * time.Second

// durable is the name of the replayer's place among the start events.
const durable = "trace-replayer"

// Setup adds the service to the group.
func Setup(g *run.Group, o Options) error {
	if o.RollCall <= 0 {
		o.RollCall = DefaultRollCall
	}
	s := &service{Options: o, stops: make(chan event.StopExperiment)}
	if err := s.register(); err != nil {
		return err
	}
	starts, stops := o.Ready.Add("trace-replayer: starts"), o.Ready.Add("trace-replayer: stops")
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			err := s.run(ctx, starts.Met)
			starts.NotMet("stopped")
			return err
		}, func(error) { cancel() })
	}
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			err := s.followStops(ctx, stops.Met)
			stops.NotMet("stopped")
			return err
		}, func(error) { cancel() })
	}
	return nil
}

type service struct {
	Options
	stops  chan event.StopExperiment
	queue  []queued
	ending sync.WaitGroup // runs that were stopped before their turn
	runs   *prometheus.CounterVec
	events prometheus.Counter
}

// queued is an accepted experiment that waits for its turn.
type queued struct {
	run      string
	spec     experiment.Spec
	timeline experiment.Timeline
}

func (s *service) register() error {
	s.runs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "spotserve_replayer_starts_total", Help: "Start events by answer: accepted, refused.",
	}, []string{"answer"})
	s.events = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "spotserve_replayer_events_total", Help: "Events played.",
	})
	for _, c := range []prometheus.Collector{s.runs, s.events} {
		if err := s.Metrics.Register(c); err != nil {
			return fmt.Errorf("trace-replayer: metrics: %w", err)
		}
	}
	return nil
}

// run takes starts as they come and plays one experiment at a time. It returns
// when all that it plays has ended with it.
func (s *service) run(ctx context.Context, ready func()) (err error) {
	starts, err := s.Bus.Consume(ctx, bus.Control, durable, wire.SubjectStart)
	if err != nil {
		return fmt.Errorf("trace-replayer: consume starts: %w", err)
	}
	defer starts.Stop()
	ready()
	ctx, cancel := context.WithCancel(ctx)
	var playing chan error // of the experiment in progress; nil if there is none
	stop := func(string) bool { return false }
	defer func() {
		cancel()
		err = errors.Join(err, wait(playing))
		s.ending.Wait()
	}()
	for {
		if playing == nil && len(s.queue) > 0 {
			next := s.queue[0]
			s.queue = s.queue[1:]
			playing, stop = s.begin(ctx, next)
		}
		select {
		case d, ok := <-starts.C():
			if !ok {
				return starts.Err()
			}
			if err := s.answer(ctx, d); err != nil {
				return err
			}
		case b := <-s.stops:
			if !stop(b.Run) {
				s.dequeue(ctx, b.Run)
			}
		case err := <-playing:
			playing, stop = nil, func(string) bool { return false }
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

func wait(playing chan error) error {
	if playing == nil {
		return nil
	}
	if err := <-playing; !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// answer accepts or refuses a start, in public, and acknowledges it.
func (s *service) answer(ctx context.Context, d bus.Delivery) error {
	q, refused, err := s.check(ctx, d)
	if err != nil {
		return err
	}
	var answer event.Body = event.ExperimentAccepted{StartSeq: d.Seq, Run: q.run}
	if refused != nil {
		s.runs.WithLabelValues("refused").Inc()
		s.Log.Warn("start refused", "seq", d.Seq, "reason", refused.Reason)
		answer = *refused
	} else {
		s.runs.WithLabelValues("accepted").Inc()
		s.Log.Info("start accepted", "seq", d.Seq, "run", q.run)
		s.queue = append(s.queue, q)
	}
	if _, err := control.Publish(ctx, s.Bus, answer); err != nil {
		return err
	}
	if err := d.Ack(); err != nil {
		s.Log.Warn("acknowledgement of a start lost", "seq", d.Seq, "error", err)
	}
	return nil
}

// check reads and resolves a start and asks whether the services that it needs
// are here. The error is the bus's, not the user's.
func (s *service) check(ctx context.Context, d bus.Delivery) (queued, *event.ExperimentRefused, error) {
	refuse := func(err error) *event.ExperimentRefused {
		out := &event.ExperimentRefused{StartSeq: d.Seq, Reason: err.Error()}
		if r, ok := errors.AsType[*catalog.RefusedError](err); ok {
			out.Allowed = r.Allowed
		}
		return out
	}
	start, err := wire.DecodeStart(d.Data)
	if err != nil {
		return queued{}, refuse(err), nil
	}
	spec, timeline, err := catalog.Resolve(start)
	if err != nil {
		return queued{}, refuse(err), nil
	}
	missing, err := s.missing(ctx, spec.Nodes)
	if err != nil {
		return queued{}, nil, err
	}
	if missing != nil {
		return queued{}, refuse(missing), nil
	}
	return queued{run: fmt.Sprintf("%s-%d", start.Experiment, d.Seq), spec: spec, timeline: timeline}, nil, nil
}

// dequeue drops an experiment that was stopped before its turn.
func (s *service) dequeue(ctx context.Context, run string) {
	for i, q := range s.queue {
		if q.run == run {
			s.queue = append(s.queue[:i:i], s.queue[i+1:]...)
			// It gets its beginning and its end, so that the store knows of it.
			ended, stop := s.begin(ctx, q)
			stop(run)
			s.ending.Go(func() {
				if err := <-ended; err != nil && ctx.Err() == nil {
					s.Log.Error("run broken off", "run", run, "error", err)
				}
			})
			return
		}
	}
	s.Log.Warn("nothing to stop: no run of this name is queued or in progress", "run", run)
}

// followStops hands stop events to the loop of run.
func (s *service) followStops(ctx context.Context, ready func()) error {
	sub, err := s.Bus.Follow(ctx, bus.Control, bus.Position{New: true}, wire.SubjectStop)
	if err != nil {
		return fmt.Errorf("trace-replayer: follow stops: %w", err)
	}
	defer sub.Stop()
	ready()
	for m := range sub.C() {
		b, err := wire.DecodeStop(m.Data)
		if err != nil {
			s.Log.Warn("skip a stop that cannot be read", "seq", m.Seq, "error", err)
			continue
		}
		select {
		case s.stops <- b:
		case <-ctx.Done():
			return nil
		}
	}
	return sub.Err()
}
