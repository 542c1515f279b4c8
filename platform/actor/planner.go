package actor

import (
	"context"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// RunPlanner drives a planner's core through one run that it was elected to
// lead. The input begins with the run; what comes before the election is
// replayed. finished tells when the core is through; the delays are the run's
// modelled hops. The error is ErrDeposed when another planner was elected.
func RunPlanner(ctx context.Context, o Options, l Leadership, d cost.Delays, finished func() bool) error {
	a := &actor{Options: o, agenda: agenda.New(o.Name), fired: make(map[event.ID]bool), role: &plannerRole{
		delays: d, finished: finished, workers: make(map[string]*source), lead: l,
	}}
	return a.run(ctx)
}

// plannerRole listens to the replayer, to the cloud of a closed loop, and to
// every worker that it has commanded. The cloud is one more worker to it.
type plannerRole struct {
	delays   cost.Delays
	measured bool // the run computes
	finished func() bool
	lead     Leadership
	term     uint64 // of the newest election that was read
	replayer source
	workers  map[string]*source
	last     vtime.Time // watermark given
}

func (r *plannerRole) observe(ev event.Event, _ uint64) (take bool) {
	switch b := ev.Body.(type) {
	case event.RunStarted:
		r.measured = b.Spec.Measured()
		if b.Spec.Provision == experiment.ClosedLoop {
			// The cloud goes by a timetable of its own, from the start on.
			r.worker(event.SourceCloud).promise = vtime.Time(r.delays.Response)
		}
	case event.PlannerElected:
		r.term = b.Term
		return true
	case event.TimerFired:
		return ev.Term >= r.term
	case event.SourcesGivenUp:
		if ev.Term >= r.term {
			r.giveUp(b)
		}
		return ev.Term >= r.term
	case event.WorkerSilent:
		for _, node := range b.Nodes {
			if ev.Term >= r.term {
				r.worker(node).evict()
			}
		}
		return ev.Term >= r.term
	}
	switch {
	case ev.Source == event.SourcePlanner:
		return false // the core knows what it has said
	case ev.FromOutside():
		return true // and promises nothing
	case ev.Source == event.SourceReplayer:
		return r.replayer.hearReplayer(ev)
	default:
		return r.worker(ev.Source).hear(ev)
	}
}

// replaying lasts until the planner reads its own election.
func (r *plannerRole) replaying() bool { return r.term < r.lead.term }

func (r *plannerRole) news(ev event.Event) bool { return !r.lead.said[ev.Seq] }

func (r *plannerRole) worker(node string) *source {
	w := r.workers[node]
	if w == nil {
		w = &source{promise: vtime.Never}
		r.workers[node] = w
	}
	return w
}

func (r *plannerRole) sent(ev event.Event) {
	if ev.To != "" && !r.measured {
		w := r.worker(ev.To)
		w.unseen = append(w.unseen, sentCommand{ev.Seq, ev.Time})
	}
}

func (r *plannerRole) bound() vtime.Time {
	b := r.replayer.bound(0)
	if r.measured {
		return b
	}
	for _, w := range r.workers {
		b = min(b, w.bound(r.delays.Response))
	}
	return b
}

// takenAt: a measured run has promises of the replayer only.
func (r *plannerRole) takenAt(ev event.Event, now vtime.Time) vtime.Time {
	_, timer := ev.Body.(event.TimerFired)
	if unforeseen(ev) || r.measured && !timer && ev.Source != event.SourceReplayer {
		return max(ev.Time, now)
	}
	return ev.Time
}

func (r *plannerRole) silent(t vtime.Time) (silent []string) {
	if r.replayer.bound(0) <= t {
		silent = append(silent, event.SourceReplayer)
	}
	if r.measured {
		return silent
	}
	for node, w := range r.workers {
		if w.bound(r.delays.Response) <= t {
			silent = append(silent, node)
		}
	}
	slices.SortFunc(silent, topology.CompareNodes)
	return silent
}

// patience: whoever else is silent may only wait for the replayer and the cloud.
func (r *plannerRole) patience(t vtime.Time, wait time.Duration) time.Duration {
	cloud := r.workers[event.SourceCloud]
	if r.measured {
		return max(wait, takeoverWait)
	}
	if r.replayer.bound(0) <= t || cloud != nil && cloud.bound(r.delays.Response) <= t {
		return max(wait, takeoverWait)
	}
	return wait
}

// giveUp leaves sources out that still hold events back.
func (r *plannerRole) giveUp(b event.SourcesGivenUp) {
	for _, name := range r.silent(b.Until) {
		switch {
		case !slices.Contains(b.Sources, name):
		case name == event.SourceReplayer:
			r.replayer.silent = true
		default:
			r.worker(name).silent = true
		}
	}
}

// mark: what the planner takes next is not before its bound and not before its
// agenda, and what it then commands takes effect one send delay later. It never
// runs ahead of the replayer and the cloud, whose facts the workers take too.
//
// Nobody takes a watermark off the planner's facts, so it goes out on its own,
// but only when a worker waits for it.
func (r *plannerRole) mark(next vtime.Time, _ bool) (watermark, bool) {
	if r.measured {
		return watermark{time: r.last}, false
	}
	m := min(min(r.bound(), next).Add(r.delays.Send), r.replayer.bound(0))
	if cloud := r.workers[event.SourceCloud]; cloud != nil {
		m = min(m, cloud.bound(r.delays.Response))
	}
	if m <= r.last {
		return watermark{time: r.last}, false
	}
	for _, w := range r.workers {
		if w.waitsFor(r.last, m, r.delays.Response) {
			r.last = m
			return watermark{time: m}, true
		}
	}
	return watermark{time: r.last}, false
}

// waitsFor reports whether the source can go on when the planner's watermark
// moves from last to m.
func (s *source) waitsFor(last, m vtime.Time, response time.Duration) bool {
	due := func(at vtime.Time) bool { return last <= at && at < m }
	if s.promise != vtime.Never && due(s.promise.Add(-response)) {
		return true
	}
	return slices.ContainsFunc(s.unseen, func(c sentCommand) bool { return due(c.at) })
}

func (r *plannerRole) timersOnStream() (term uint64, ok bool) { return r.lead.term, true }

func (r *plannerRole) done() (bool, error) {
	if r.term > r.lead.term {
		return true, ErrDeposed
	}
	return r.finished() && !r.replaying(), nil
}
