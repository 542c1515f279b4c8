package actor

import (
	"context"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// RunWorker drives a worker's core through one run, until the planner has
// finished it.
func RunWorker(ctx context.Context, o Options, d cost.Delays) error {
	a := &actor{Options: o, agenda: agenda.New(o.Name), role: &workerRole{delays: d, given: watermark{time: unsaid}}}
	return a.run(ctx)
}

// unsaid is no watermark: the first one is always news.
const unsaid vtime.Time = -1

// workerRole listens to the planner alone: the planner's watermark covers the
// replayer's.
type workerRole struct {
	delays  cost.Delays
	planner vtime.Time
	seen    uint64
	given   watermark
	over    bool
}

func (r *workerRole) observe(ev event.Event) {
	if ev.Source != event.SourcePlanner {
		return
	}
	switch ev.Body.(type) {
	case event.WatermarkAdvanced:
		r.planner = max(r.planner, ev.Watermark)
	case event.RunFinished:
		r.over = true
	default:
		r.seen = max(r.seen, ev.Seq)
	}
}

func (r *workerRole) sent(event.Event) {}

func (r *workerRole) bound() vtime.Time { return r.planner }

// silence: a worker has nobody to go on without.
func (r *workerRole) silence(vtime.Time) []string { return nil }

// mark: whatever the worker does next, its fact is taken one response delay
// later. Facts carry the promise along.
func (r *workerRole) mark(next vtime.Time, facts bool) (watermark, bool) {
	m := watermark{time: next.Add(r.delays.Response), seen: r.seen}
	changed := m != r.given
	r.given = m
	return m, changed && !facts
}

func (r *workerRole) timersOnStream() bool { return false }

func (r *workerRole) done() bool { return r.over }
