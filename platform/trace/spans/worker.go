package spans

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/trace"
)

// Timetable is what a worker's core tells beside its effects.
type Timetable interface {
	PrefilledAt(pipeline int) vtime.Time
}

// Worker tells what a node does in one run. It is an actor.Tracer.
type Worker struct {
	tracer *trace.Tracer
	run    string
	node   string
	clock  clock.Clock
	core   Timetable
	at     time.Time // of the step, in wall time
	now    vtime.Time

	read  map[event.ID]bus.TraceContext // of commands that are not taken yet
	users map[event.RequestID]trace.Context
	lines map[int]*line // by pipeline: those that this node leads

	plan    trace.Context // what the newest plan is part of; zero if nobody says
	epoch   event.Epoch
	planned time.Time
	moving  bool          // its context is not there yet
	stages  map[int]bool  // that are not up yet
	exitOf  trace.Context // of the pipeline that exited in this step
}

// NewWorker returns a node's tracer for a run; the clock is the run's.
func NewWorker(t *trace.Tracer, run, node string, c clock.Clock, core Timetable) *Worker {
	return &Worker{
		tracer: t, run: run, node: node, clock: c, core: core, read: make(map[event.ID]bus.TraceContext),
		users: make(map[event.RequestID]trace.Context), lines: make(map[int]*line), stages: make(map[int]bool),
	}
}

// Read implements actor.Tracer.
func (w *Worker) Read(ev event.Event, m bus.Message) {
	switch ev.Body.(type) {
	case event.ArrangeInterruption, event.ApplyMigration, event.AssignRequests:
		if m.TraceContext != (bus.TraceContext{}) {
			w.read[ev.ID()] = m.TraceContext
		}
	}
}

// Begin implements actor.Tracer.
func (w *Worker) Begin(event.Event) {}

// Took implements actor.Tracer.
func (w *Worker) Took(ev event.Event, effects []effect.Effect, _ bool) {
	w.at, w.now = time.Now(), max(w.now, ev.Time)
	from := w.read[ev.ID()]
	delete(w.read, ev.ID())
	w.exitOf = trace.Context{}
	w.take(ev, from)
	for i := range effects {
		switch e := &effects[i]; {
		case e.Publishes():
			w.said(e.Event.Body)
		case e.Engine != nil:
			w.asked(e.Engine)
		}
	}
}

// causeIn is the span that a message names, if that is sampled.
func causeIn(from bus.TraceContext) trace.Context {
	c, _ := trace.Parse(from.Trace)
	if !c.Sampled {
		return trace.Context{}
	}
	return c
}

func (w *Worker) take(ev event.Event, from bus.TraceContext) {
	switch b := ev.Body.(type) {
	case event.AssignRequests:
		w.assigned(b, from)
	case event.ApplyMigration:
		w.apply(b, from)
	case event.ArrangeInterruption:
		if l := w.lines[b.Pipeline]; l != nil && l.epoch == b.Epoch {
			w.arrange(l, b, causeIn(from))
		}
	case event.StopPipeline:
		if l := w.lines[b.Pipeline]; l != nil && l.epoch == b.Epoch {
			w.drop(l, "stopped: a node of the pipeline was lost")
		}
	case event.InstanceLost:
		if slices.Contains(b.Nodes, w.node) {
			w.clear("the node was lost")
		}
	case engineop.Computed:
		if l := w.lines[b.Pipeline]; l != nil && l.epoch == b.Epoch {
			l.computed(b.Group, w.now, w.at)
		}
	}
}

// assigned takes requests into the pools of pipelines.
func (w *Worker) assigned(b event.Body, from bus.TraceContext) {
	clear(w.users)
	readBaggage(from.Baggage, func(id event.RequestID, c trace.Context) { w.users[id] = c })
	assigned(b, func(pipeline int, e event.Epoch, r event.AssignedRequest, cached bool) {
		l := w.lines[pipeline]
		if l == nil || l.epoch != e || l.stays[r.Request] != nil {
			return
		}
		c, own := w.users[r.Request]
		if !own {
			c = w.tracer.Request(w.run, r.Request, trace.Context{})
		}
		if c.Sampled {
			l.stays[r.Request] = &stay{Context: c, since: w.at, cached: cached}
		}
	})
}

// apply begins a plan on this node.
func (w *Worker) apply(b event.ApplyMigration, from bus.TraceContext) {
	w.settle("overtaken by another plan")
	for index, l := range w.lines {
		if !slices.Contains(b.Keep, index) {
			w.drop(l, "the pipeline ended with a plan")
		}
	}
	w.plan, w.epoch, w.planned, w.moving = causeIn(from), b.Epoch, w.at, len(b.Pipelines) > 0
	for _, s := range b.Pipelines {
		w.stages[s.Pipeline] = true
		if s.Leader {
			w.lines[s.Pipeline] = newLine(s.Pipeline, b.Epoch)
		}
	}
	w.assigned(b, from)
}

// arrange takes note of when a pipeline was told to stop, or not to.
func (w *Worker) arrange(l *line, b event.ArrangeInterruption, c trace.Context) {
	off := b.Acquisition && b.At == vtime.Never
	switch {
	case off && !l.exit.IsZero():
		w.sayExit(l, "called off", nil)
		l.exit = trace.Context{}
	case !off && !c.IsZero() && l.exit.IsZero():
		l.exitParent, l.exit, l.told = c.Span, c.Place("exit", strconv.Itoa(l.index)), w.at
	}
}

// said takes what the core says.
func (w *Worker) said(b event.Body) {
	switch b := b.(type) {
	case event.BatchStarted:
		w.begin(b.Pipeline, b.Epoch, b.Batch, b.Requests)
	case event.RequestsJoined:
		w.begin(b.Pipeline, b.Epoch, b.Batch, b.Requests)
	case event.TokensCommitted:
		if l := w.lines[b.Pipeline]; l != nil {
			l.commits++
		}
	case event.BatchCompleted:
		w.leave(b.Pipeline, b.Requests, "completed")
		w.endBatch(b.Pipeline)
	case event.RequestsLeft:
		w.leave(b.Pipeline, b.Requests, "completed")
		if l := w.lines[b.Pipeline]; l != nil && l.running == 0 {
			w.endBatch(b.Pipeline)
		}
	case event.PipelineExited:
		w.exited(b)
	case event.ContextMigrated:
		if b.Epoch == w.epoch && w.moving {
			w.moving = false
			w.sayPart("migrate", w.migration(), "", number("bytes", b.Bytes), number("disk_bytes", b.DiskBytes))
		}
	case event.StageStarted:
		if b.Epoch == w.epoch && w.stages[b.Pipeline] {
			delete(w.stages, b.Pipeline)
			w.sayPart("start stage", w.stage(b.Pipeline), "", number("pipeline", b.Pipeline), number("stage", b.Stage), number("shards", b.Shards))
		}
	}
}

// migration and stage are the spans of this node's part of the newest plan.
func (w *Worker) migration() trace.Context { return w.plan.Place("migrate", w.node) }

func (w *Worker) stage(pipeline int) trace.Context {
	return w.plan.Place("stage", w.node, strconv.Itoa(pipeline))
}

// sayPart says a part of the newest plan.
func (w *Worker) sayPart(name string, c trace.Context, wrong string, how ...attribute.KeyValue) {
	w.say(trace.Span{
		Context: c, Parent: w.plan.Span, Name: name, Start: w.planned, End: w.at, Error: wrong, Attributes: append(how, ofEpoch(w.epoch)),
	})
}

// settle ends what of the newest plan has not come about.
func (w *Worker) settle(why string) {
	if w.moving {
		w.moving = false
		w.sayPart("migrate", w.migration(), why)
	}
	for index := range w.stages {
		w.sayPart("start stage", w.stage(index), why, number("pipeline", index))
	}
	clear(w.stages)
}

// Close ends what is open when the node has no part in the run any more.
func (w *Worker) Close() {
	w.at = time.Now()
	w.clear("the run is over for this process")
}

func (w *Worker) clear(why string) {
	w.settle(why)
	for _, l := range w.lines {
		w.drop(l, why)
	}
}

func (w *Worker) say(s trace.Span) {
	s.Attributes = append(s.Attributes, ofRun(w.run), text(obs.KeyNode, w.node))
	w.tracer.Say(s)
}

// Context implements actor.Tracer.
func (w *Worker) Context(ev event.Event) (t bus.TraceContext) {
	var c trace.Context
	switch b := ev.Body.(type) {
	case event.BatchStarted:
		c = w.tracer.Batch(w.run, b.Epoch.N, b.Pipeline, b.Batch)
	case event.RequestsJoined:
		c = w.tracer.Batch(w.run, b.Epoch.N, b.Pipeline, b.Batch)
	case event.TokensCommitted:
		c = w.tracer.Batch(w.run, b.Epoch.N, b.Pipeline, b.Batch)
	case event.RequestsLeft:
		c = w.tracer.Batch(w.run, b.Epoch.N, b.Pipeline, b.Batch)
	case event.BatchCompleted:
		c = w.tracer.Batch(w.run, b.Epoch.N, b.Pipeline, b.Batch)
	case event.PipelineExited:
		c = w.exitOf
	case event.ContextMigrated:
		c = w.migration()
	case event.StageStarted:
		c = w.stage(b.Pipeline)
	}
	if c.Sampled {
		t.Trace = c.String()
	}
	return t
}
