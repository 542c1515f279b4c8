package actor

import (
	"context"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// RunPlanner drives a planner's core through one run. finished tells when
// the core is through; the delays are the run's modelled hops.
func RunPlanner(ctx context.Context, o Options, d cost.Delays, finished func() bool) error {
	a := &actor{Options: o, agenda: agenda.New(o.Name), role: &plannerRole{
		delays: d, finished: finished, workers: make(map[string]*source),
	}}
	return a.run(ctx)
}

// plannerRole listens to the replayer and to every worker that it has
// commanded.
type plannerRole struct {
	delays   cost.Delays
	finished func() bool
	replayer source
	workers  map[string]*source
	last     vtime.Time // watermark given
}

// source is what is known of one source.
type source struct {
	promise vtime.Time // it sends nothing earlier, but for commands it has not seen
	unseen  []sentCommand
	silent  bool
}

type sentCommand struct {
	seq uint64
	at  vtime.Time
}

// bound is the earliest fact that the source can still send. An unseen command
// is answered one response delay after it takes effect, at the soonest.
func (s *source) bound(response time.Duration) vtime.Time {
	if s.silent {
		return vtime.Never
	}
	b := s.promise
	for _, c := range s.unseen {
		b = min(b, c.at.Add(response))
	}
	return b
}

func (r *plannerRole) observe(ev event.Event) {
	switch {
	case ev.Source == event.SourceReplayer:
		r.replayer = source{promise: ev.Watermark}
	case ev.Source != event.SourcePlanner && !isTimer(ev):
		w := r.worker(ev.Source)
		w.silent = false
		w.promise = ev.Watermark
		w.unseen = slices.DeleteFunc(w.unseen, func(c sentCommand) bool { return c.seq <= ev.Seen })
	}
}

func isTimer(ev event.Event) bool {
	_, ok := ev.Body.(event.TimerFired)
	return ok
}

func (r *plannerRole) worker(node string) *source {
	w := r.workers[node]
	if w == nil {
		w = &source{promise: vtime.Never}
		r.workers[node] = w
	}
	return w
}

func (r *plannerRole) sent(ev event.Event) {
	if ev.To != "" {
		w := r.worker(ev.To)
		w.unseen = append(w.unseen, sentCommand{ev.Seq, ev.Time})
	}
}

func (r *plannerRole) bound() vtime.Time {
	b := r.replayer.bound(0)
	for _, w := range r.workers {
		b = min(b, w.bound(r.delays.Response))
	}
	return b
}

func (r *plannerRole) silence(t vtime.Time) (silent []string) {
	if !r.replayer.silent && r.replayer.promise <= t {
		r.replayer.silent = true
		silent = append(silent, event.SourceReplayer)
	}
	for node, w := range r.workers {
		if w.bound(r.delays.Response) <= t {
			w.silent = true
			silent = append(silent, node)
		}
	}
	slices.SortFunc(silent, topology.CompareNodes)
	return silent
}

// mark: what the planner takes next is not before its bound and not before its
// agenda, and what it then commands takes effect one send delay later. It never
// runs ahead of the replayer, whose facts the workers take too.
//
// Nobody takes a watermark off the planner's facts, so it goes out on its own,
// but only when a worker waits for it.
func (r *plannerRole) mark(next vtime.Time, _ bool) (watermark, bool) {
	m := min(min(r.bound(), next).Add(r.delays.Send), r.replayer.bound(0))
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

func (r *plannerRole) timersOnStream() bool { return true }

func (r *plannerRole) done() bool { return r.finished() }
