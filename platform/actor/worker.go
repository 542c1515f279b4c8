package actor

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/clock"
)

// ErrEvicted ends a worker that the planner found silent: it may join again.
var ErrEvicted = errors.New("the planner goes on without this worker, which it found silent")

// RunWorker drives a worker's core, or the cloud's, through one run, until the
// planner has finished it. The input begins with the run; commands from before
// the joining are not for this process. The error is ErrEvicted when the planner
// goes on without it.
func RunWorker(ctx context.Context, o Options, j Joining, d cost.Delays) error {
	o.Incarnation = j.incarnation
	a := &actor{Options: o, agenda: agenda.New(o.Name), fired: make(map[event.ID]bool), role: &workerRole{
		node: o.Name, clock: o.Clock, joined: j.seq, delays: d, given: watermark{time: unsaid},
		taken: make(map[uint64]bool), heard: make(map[string]uint64),
	}}
	return a.run(ctx)
}

// unsaid is no watermark: the first one is always news.
const unsaid vtime.Time = -1

// workerRole listens to the planner alone: the planner's watermark covers the
// replayer's.
type workerRole struct {
	node     string
	clock    clock.Clock
	measured bool   // the run computes
	joined   uint64 // place in the stream
	evicted  bool
	delays   cost.Delays
	planner  vtime.Time
	seen     uint64
	taken    map[uint64]bool   // numbers of the commands so far: a new planner may repeat the last ones
	heard    map[string]uint64 // number of the last fact of each other source
	began    bool              // something was read, hence the run's start
	given    watermark
	over     bool
}

func (r *workerRole) observe(ev event.Event, seq uint64) (take bool) {
	r.began = true
	if start, ok := ev.Body.(event.RunStarted); ok {
		r.measured = start.Spec.Measured()
	}
	if silent, ok := ev.Body.(event.WorkerSilent); ok {
		r.evicted = r.evicted || seq > r.joined && slices.Contains(silent.Nodes, r.node)
		return false
	}
	if ev.Source != event.SourcePlanner {
		if _, mark := ev.Body.(event.WatermarkAdvanced); mark || ev.Seq <= r.heard[ev.Source] && !ev.FromOutside() {
			return false // no fact, or one that was said again
		}
		r.heard[ev.Source] = ev.Seq
		return true
	}
	switch ev.Body.(type) {
	case event.WatermarkAdvanced:
		r.planner = max(r.planner, ev.Watermark)
		return false
	case event.RunFinished:
		r.over = true
		return true
	}
	r.seen = max(r.seen, ev.Seq)
	if ev.To != "" && (r.taken[ev.Seq] || seq < r.joined) {
		return false
	}
	r.taken[ev.Seq] = true
	return true
}

func (r *workerRole) replaying() bool { return false }

func (r *workerRole) news(event.Event) bool { return true }

func (r *workerRole) sent(event.Event) {}

func (r *workerRole) bound() vtime.Time {
	if r.measured {
		return vtime.Never
	}
	return r.planner
}

func (r *workerRole) takenAt(ev event.Event, now vtime.Time) vtime.Time {
	switch {
	case r.measured:
		return max(ev.Time, now, r.clock.Now())
	case unforeseen(ev):
		return max(ev.Time, now)
	}
	return ev.Time
}

// silent: a worker has nobody to go on without.
func (r *workerRole) silent(vtime.Time) []string { return nil }

func (r *workerRole) patience(_ vtime.Time, wait time.Duration) time.Duration { return wait }

// mark: whatever the worker does next, its fact is taken one response delay
// later. Facts carry the promise along. Before it has read the run's start it
// knows of nothing, and promises nothing.
func (r *workerRole) mark(next vtime.Time, facts bool) (watermark, bool) {
	if r.measured {
		return watermark{}, false
	}
	if !r.began {
		return r.given, false
	}
	m := watermark{time: next.Add(r.delays.Response), seen: r.seen}
	changed := m != r.given
	r.given = m
	return m, changed && !facts
}

func (r *workerRole) timersOnStream() (term uint64, ok bool) { return 0, false }

func (r *workerRole) done() (bool, error) {
	if r.evicted && !r.over {
		return true, ErrEvicted
	}
	return r.over, nil
}
