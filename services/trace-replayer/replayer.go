// Package tracereplayer is the trace-replayer as a service: it takes start
// events, validates and resolves experiments, and plays their availability
// events and arrivals at their experiment times.
//
// All that it knows is a function of the streams: the queue of what the control
// stream says, the place in a run of what the run's stream has. So a replayer
// that dies loses nothing. One of several holds a lease and plays, the others
// stand by; the next one goes on behind the last event that is on the stream.
//
// A replayer that was thought dead and wakes up does no harm. What it plays is
// what its successor plays, under the same names, and counts once. What the two
// could do differently, they do where only one can: a run begins where its
// stream has no beginning yet. If both end a run because of a stop, the first
// end in the stream counts, and nothing that is played behind it.
package tracereplayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/lease"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/trace"
	"github.com/spotserve/spotserve/platform/wire"
)

// Bus is the part of a bus that the replayer takes.
type Bus interface {
	rollcall.Bus
	bus.Appender
	bus.KeyValue
}

// Options are what the service needs.
type Options struct {
	Bus     Bus
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Ready   *obs.Readiness
	Tracer  *trace.Tracer // nil says nothing
	// RollCall is how long, in wall time, services have to say that they are
	// here before a start is refused. 0: DefaultRollCall.
	RollCall time.Duration
	// Holder names this process in the lease that one of several replayers
	// holds; the others stand by.
	Holder string
}

// DefaultRollCall is ample on a healthy bus.
const DefaultRollCall = 3 * time.Second

// Setup adds the service to the group.
func Setup(g *run.Group, o Options) error {
	if o.RollCall <= 0 {
		o.RollCall = DefaultRollCall
	}
	s := &service{Options: o, metrics: newMetrics()}
	if err := s.metrics.register(o.Metrics); err != nil {
		return err
	}
	var err error
	if s.skips, err = skip.Register(o.Metrics, "replayer", o.Log); err != nil {
		return fmt.Errorf("trace-replayer: metrics: %w", err)
	}
	starts := o.Ready.Add("trace-replayer: starts")
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(func() error {
		err := lease.Hold(ctx, lease.Options{
			Name: access.LeaseTraceReplayer, Holder: o.Holder, Keys: o.Bus, Log: o.Log, Ready: starts.Met,
		}, s.metrics.leading.While(s.lead))
		starts.NotMet("stopped")
		return err
	}, func(error) { cancel() })
	{
		// Of those who stand by, too, a start has to know the schema version.
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			return rollcall.Answer(ctx, o.Bus, event.ServicePresent{Service: access.LeaseTraceReplayer}, func() {})
		}, func(error) { cancel() })
	}
	return nil
}

type service struct {
	Options
	metrics *metrics
	skips   *skip.Teller
}

// lead answers starts as they come and plays one experiment at a time, from
// where an earlier leader may have left them. It returns when all that it plays
// has ended with it.
func (s *service) lead(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	var playing sync.WaitGroup
	defer playing.Wait()
	defer cancel()
	ledger, control, err := s.catchUp(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	defer control.Stop()
	over := make(chan outcome)
	defer s.metrics.show(nil)
	for {
		s.metrics.show(ledger)
		for x, ok := ledger.refuse(); ok; x, ok = ledger.refuse() {
			if err := s.refuse(ctx, refusal(x.seq, errors.New(x.reason)), x.log); err != nil {
				return ended(ctx, err)
			}
		}
		for e := ledger.unanswered(); e != nil; e = ledger.unanswered() {
			e.answered = true
			if err := s.answer(ctx, e); err != nil {
				return ended(ctx, err)
			}
		}
		for e := ledger.next(); e != nil; e = ledger.next() {
			e.begun = true
			playing.Go(func() {
				err := s.play(ctx, e)
				select {
				case over <- outcome{e, err}:
				case <-ctx.Done():
				}
			})
		}
		s.metrics.show(ledger)
		select {
		case m, ok := <-control.C():
			if !ok {
				return control.Err()
			}
			ledger.take(m)
		case o := <-over:
			if o.err != nil {
				return ended(ctx, o.err)
			}
			ledger.done(o.entry)
		}
	}
}

// outcome is what became of a run that was played.
type outcome struct {
	entry *entry
	err   error
}

// ended is the error of work that the context may have ended.
func ended(ctx context.Context, err error) error {
	if over := ctx.Err(); over != nil {
		err = nil
	}
	return err
}

// catchUp reads the control stream as far as it is, and follows it from there.
func (s *service) catchUp(ctx context.Context) (*ledger, bus.Subscription, error) {
	_, finished, err := actor.ReadRuns(ctx, s.Bus, s.Log)
	if err != nil {
		return nil, nil, fmt.Errorf("trace-replayer: read the runs: %w", err)
	}
	return follow(ctx, s.Bus, &ledger{log: s.Log, skips: s.skips, limits: newLimits(), finished: finished})
}

// follow has a ledger take the control stream as far as it is, and returns what
// comes then.
func follow(ctx context.Context, b bus.Follower, l *ledger) (*ledger, bus.Subscription, error) {
	filters := []string{wire.SubjectStart, wire.SubjectStop, wire.SubjectAccepted, wire.SubjectRefused}
	last, err := newest(ctx, b, bus.Control, filters...)
	if err != nil {
		return nil, nil, fmt.Errorf("trace-replayer: read starts: %w", err)
	}
	control, err := b.Follow(ctx, bus.Control, bus.Position{}, filters...)
	if err != nil {
		return nil, nil, fmt.Errorf("trace-replayer: follow starts: %w", err)
	}
	for read := uint64(0); read < last; {
		m, ok := <-control.C()
		if !ok {
			return nil, nil, fmt.Errorf("trace-replayer: follow starts: %w", errors.Join(ctx.Err(), control.Err()))
		}
		l.take(m)
		read = m.Seq
	}
	return l, control, nil
}

// newest is the sequence of the newest message that one of the filters selects;
// 0 if there is none.
func newest(ctx context.Context, b bus.Follower, s bus.Stream, filters ...string) (last uint64, err error) {
	for _, f := range filters {
		m, _, err := b.Newest(ctx, s, f)
		if err != nil {
			return 0, err
		}
		last = max(last, m.Seq)
	}
	return last, nil
}

// answer accepts or refuses a start, in public. An accepted run is in the queue
// when the answer is read back.
func (s *service) answer(ctx context.Context, e *entry) error {
	accepted, refused, err := s.check(ctx, e)
	if err != nil {
		return err
	}
	if refused != nil {
		return s.refuse(ctx, refused, true)
	}
	s.metrics.starts.WithLabelValues("accepted").Inc()
	s.Log.Info("start accepted", "seq", e.seq, "run", accepted.Run)
	_, err = control.Publish(ctx, s.Bus, accepted)
	return err
}

// refuse says in public that a start is refused, and in the log if it is to.
func (s *service) refuse(ctx context.Context, refused *event.ExperimentRefused, log bool) error {
	s.metrics.starts.WithLabelValues("refused").Inc()
	if log {
		s.Log.Warn("start refused", "seq", refused.StartSeq, "reason", refused.Reason)
	}
	_, err := control.Publish(ctx, s.Bus, *refused)
	return err
}

// check reads and resolves a start and asks whether the services that it needs
// are here. The error is the bus's, not the user's.
func (s *service) check(ctx context.Context, e *entry) (accepted event.ExperimentAccepted, refused *event.ExperimentRefused, err error) {
	text, err := readStart(ctx, s.Bus, e.seq)
	if err != nil {
		return accepted, nil, err
	}
	start, spec, _, err := resolve(text)
	if err == nil {
		err = fits("custom-"+strconv.FormatUint(math.MaxUint64, 10), event.RunStarted{Spec: spec})
	}
	if err != nil {
		return accepted, refusal(e.seq, err), nil
	}
	schema, missing, err := s.present(ctx, spec.Nodes)
	if err != nil {
		return accepted, nil, err
	}
	if missing != nil {
		return accepted, refusal(e.seq, missing), nil
	}
	if schema < 2 && spec.Limits != experiment.DefaultLimits() {
		return accepted, refusal(e.seq, errors.New("limits on users' requests need services of schema version 2, and one of version 1 answers: update it, or leave the limits out")), nil
	}
	return event.ExperimentAccepted{StartSeq: e.seq, Run: fmt.Sprintf("%s-%d", start.Experiment, e.seq), Schema: schema}, nil, nil
}

// readStart reads the text of a start, which stays in the stream: all that may wait
// would be too much to hold.
func readStart(ctx context.Context, b bus.Follower, seq uint64) ([]byte, error) {
	sub, err := b.Follow(ctx, bus.Control, bus.Position{Seq: seq}, wire.SubjectStart)
	if err != nil {
		return nil, fmt.Errorf("trace-replayer: read start %d: %w", seq, err)
	}
	defer sub.Stop()
	m, ok := <-sub.C()
	if !ok {
		return nil, fmt.Errorf("trace-replayer: read start %d: %w", seq, errors.Join(ctx.Err(), sub.Err()))
	} else if m.Seq != seq {
		return nil, fmt.Errorf("trace-replayer: read start %d: it is not on the control stream, the next one is %d", seq, m.Seq)
	}
	return m.Data, nil
}

// resolve reads a start. The same start and files give the same experiment.
func resolve(data []byte) (event.StartExperiment, experiment.Spec, experiment.Timeline, error) {
	start, err := wire.DecodeStart(data)
	if err != nil {
		return start, experiment.Spec{}, experiment.Timeline{}, err
	}
	spec, timeline, err := catalog.Resolve(start)
	return start, spec, timeline, err
}

func refusal(start uint64, err error) *event.ExperimentRefused {
	out := &event.ExperimentRefused{StartSeq: start, Reason: err.Error()}
	if r, ok := errors.AsType[*catalog.RefusedError](err); ok {
		out.Allowed = r.Allowed
	}
	return out
}
