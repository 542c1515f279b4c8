package spans

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/trace"
)

// line is a pipeline that a node leads.
type line struct {
	index int
	epoch event.Epoch // of the plan that started it
	stays map[event.RequestID]*stay

	batch   uint64 // the running one; 0 if there is none
	begun   time.Time
	members int // since the batch began
	running int
	commits int
	links   []trace.Context
	steps   map[int][]event.RequestID // by group: who gets a first token from the step in flight

	exit       trace.Context // zero unless the pipeline was told to stop
	exitParent trace.SpanID
	told       time.Time
}

func newLine(index int, e event.Epoch) *line {
	return &line{index: index, epoch: e, stays: make(map[event.RequestID]*stay), steps: make(map[int][]event.RequestID)}
}

// stay is a traced request on a pipeline.
type stay struct {
	trace.Context
	since  time.Time // in the pool, or in the batch
	cached bool      // it came with its KV cache

	running   bool
	compute   trace.Context
	size      int // of the batch when it joined
	prefills  bool
	prefilled vtime.Time // vtime.Never: not yet
	decodes   time.Time  // since when, if it does
}

// maxLinks bounds the links of a batch that requests join without an end.
const maxLinks = 128

// begin takes requests of the pool into a batch.
func (w *Worker) begin(pipeline int, e event.Epoch, batch uint64, requests []event.RequestID) {
	l := w.lines[pipeline]
	if l == nil || l.epoch != e {
		return
	}
	if l.batch != batch {
		w.endBatch(pipeline)
		l.batch, l.begun, l.members, l.running, l.commits, l.links = batch, w.at, 0, 0, 0, nil
	}
	l.members += len(requests)
	l.running += len(requests)
	modelled := w.core.PrefilledAt(pipeline)
	for _, id := range requests {
		s := l.stays[id]
		if s == nil {
			continue
		}
		w.sayStay(l, id, s, s.Place("pooled", decimal(e.N), strconv.Itoa(pipeline)), "pooled", "")
		s.running, s.since, s.size = true, w.at, l.running
		s.compute = s.Place("compute", decimal(e.N), strconv.Itoa(pipeline), decimal(batch))
		switch {
		case modelled != vtime.Never && s.cached:
			s.prefilled, s.decodes = w.now, w.at
		default: // the timetable tells, or the engine's answers
			s.prefills, s.prefilled, s.decodes = true, modelled, w.clock.Wall(modelled)
		}
		if len(l.links) < maxLinks {
			l.links = append(l.links, s.compute)
		}
	}
}

// asked takes note of who gets a first token from a step of the engine.
func (w *Worker) asked(op engineop.Op) {
	step, ok := op.(engineop.Compute)
	if !ok {
		return
	}
	l := w.lines[step.Pipeline]
	if l == nil || l.epoch != step.Epoch {
		return
	}
	first := l.steps[step.Group][:0]
	for _, x := range step.Sequences {
		if s := l.stays[x.Request]; x.Sample && s != nil && s.prefilled == vtime.Never {
			first = append(first, x.Request)
		}
	}
	l.steps[step.Group] = first
}

// computed ends the prefill of those who have their first token.
func (l *line) computed(group int, now vtime.Time, at time.Time) {
	for _, id := range l.steps[group] {
		if s := l.stays[id]; s != nil && s.running && s.prefilled == vtime.Never {
			s.prefilled, s.decodes = now, at
		}
	}
	l.steps[group] = l.steps[group][:0]
}

// leave takes requests off a pipeline.
func (w *Worker) leave(pipeline int, requests []event.RequestID, outcome string) {
	l := w.lines[pipeline]
	if l == nil {
		return
	}
	l.running -= len(requests)
	for _, id := range requests {
		w.sayEnd(l, id, outcome)
	}
}

// sayEnd ends the stay of a request.
func (w *Worker) sayEnd(l *line, id event.RequestID, outcome string, how ...attribute.KeyValue) {
	s := l.stays[id]
	if s == nil {
		return
	}
	delete(l.stays, id)
	if !s.running {
		w.sayStay(l, id, s, s.Place("pooled", decimal(l.epoch.N), strconv.Itoa(l.index)), "pooled", outcome, how...)
		return
	}
	// Which phases there were is a matter of experiment time: a worker that lags
	// behind the clock says the same as one that does not.
	decoded := s.prefilled < w.now
	border := w.at
	if decoded && s.decodes.Before(border) {
		border = s.decodes
	}
	if border.Before(s.since) {
		border = s.since
	}
	if s.prefills {
		w.sayPhase(s, "prefill", s.since, border)
	}
	if decoded {
		w.sayPhase(s, "decode", border, w.at)
	}
	w.sayStay(l, id, s, s.compute, "compute", outcome, append(how, number("batch", l.batch), number("batch_size", s.size))...)
}

func (w *Worker) sayPhase(s *stay, name string, from, to time.Time) {
	w.say(trace.Span{Context: s.compute.Place(name), Parent: s.compute.Span, Name: name, Start: from, End: to})
}

// sayStay says a stay in the pool or in a batch.
func (w *Worker) sayStay(l *line, id event.RequestID, s *stay, c trace.Context, name, outcome string, how ...attribute.KeyValue) {
	span := trace.Span{
		Context: c, Parent: s.Span, Name: name, Start: s.since, End: w.at,
		Attributes: append(how, number("request", uint64(id)), number("pipeline", l.index), ofEpoch(l.epoch), flag("resumed", s.cached)),
	}
	if outcome != "" {
		span.Attributes = append(span.Attributes, text("outcome", outcome))
	}
	if s.running {
		if batch := w.tracer.Batch(w.run, l.epoch.N, l.index, l.batch); batch.Sampled {
			span.Links = []trace.Context{batch}
		}
	}
	w.say(span)
}

// endBatch says the running batch of a pipeline, if there is one.
func (w *Worker) endBatch(pipeline int) {
	l := w.lines[pipeline]
	if l == nil || l.batch == 0 {
		return
	}
	w.say(trace.Span{
		Context: w.tracer.Batch(w.run, l.epoch.N, l.index, l.batch), Name: "batch", Start: l.begun, End: w.at, Links: l.links,
		Attributes: []attribute.KeyValue{
			number("pipeline", l.index), ofEpoch(l.epoch), number("batch", l.batch), number("requests", l.members), number("commits", l.commits),
		},
	})
	l.batch, l.links = 0, nil
}

// exited ends a pipeline that has stopped for a migration.
func (w *Worker) exited(b event.PipelineExited) {
	l := w.lines[b.Pipeline]
	if l == nil || l.epoch != b.Epoch {
		return
	}
	for _, r := range b.Interrupted {
		w.sayEnd(l, r.Request, "interrupted", number("committed_tokens", r.Committed))
	}
	for _, id := range b.Unprocessed {
		w.sayEnd(l, id, "given back")
	}
	w.exitOf = l.exit
	w.sayExit(l, "exited", []attribute.KeyValue{
		number("interrupted_requests", len(b.Interrupted)), number("given_back_requests", len(b.Unprocessed)), number("computed_tokens", b.Computed),
	})
	w.drop(l, "exited")
}

func (w *Worker) sayExit(l *line, outcome string, how []attribute.KeyValue) {
	if l.exit.IsZero() {
		return
	}
	w.say(trace.Span{
		Context: l.exit, Parent: l.exitParent, Name: "exit", Start: l.told, End: w.at,
		Attributes: append(how, number("pipeline", l.index), ofEpoch(l.epoch), text("outcome", outcome)),
	})
}

// drop forgets a pipeline with all that it still has.
func (w *Worker) drop(l *line, why string) {
	for id := range l.stays {
		w.sayEnd(l, id, "lost", text("why", why))
	}
	w.endBatch(l.index)
	delete(w.lines, l.index)
}
