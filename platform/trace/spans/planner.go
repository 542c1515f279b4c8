package spans

import (
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/trace"
)

// Core is what a planner's core tells beside its effects.
type Core interface {
	Progress() (stage planner.Stage, plans uint64)
	Cause() planner.Cause
}

// Planner tells what the planner does in one run. It is an actor.Tracer.
type Planner struct {
	tracer *trace.Tracer
	run    string
	clock  clock.Clock
	core   Core

	begun, at time.Time // of the step, in wall time
	stored    time.Time // when the bus had the newest message
	replayed  bool
	step      uint64 // counts the steps

	arrivals  map[event.ID]arrival // that were read and not taken yet
	requests  map[event.RequestID]*journey
	over      map[event.RequestID]bool          // of users: the same id may come again
	ended     map[event.RequestID]trace.Context // in this step
	pipelines map[int]*pipeline                 // alive

	changes
}

// NewPlanner returns a planner's tracer for a run; the clock is the run's.
func NewPlanner(t *trace.Tracer, run string, c clock.Clock, core Core) *Planner {
	return &Planner{
		tracer: t, run: run, clock: c, core: core, arrivals: make(map[event.ID]arrival),
		requests: make(map[event.RequestID]*journey), over: make(map[event.RequestID]bool),
		ended: make(map[event.RequestID]trace.Context), pipelines: make(map[int]*pipeline),
	}
}

// arrival is what only the message of an arrival tells.
type arrival struct {
	at    time.Time
	users trace.Context
}

// journey is a request that is open.
type journey struct {
	trace.Context
	parent  trace.SpanID
	users   bool // it came with a traceparent
	arrived time.Time

	waiting bool
	since   time.Time
	step    uint64 // since which it waits
	why     string // it waits: the name of the span
	detail  string
	waits   uint64
	wait    trace.Context // the last one
}

// pipeline is one that is alive.
type pipeline struct {
	epoch    event.Epoch // of the plan that started it
	nodes    []string
	requests map[event.RequestID]bool
}

// Read implements actor.Tracer.
func (p *Planner) Read(ev event.Event, m bus.Message) {
	p.stored = m.Published
	p.readCause(ev, m)
	if _, ok := ev.Body.(event.RequestArrived); !ok {
		return
	}
	a := arrival{at: m.Published}
	if ev.Source == event.SourceUser {
		a.users, _ = trace.Parse(m.Trace)
	} else if due := p.clock.Wall(ev.Time); due.Before(a.at) {
		a.at = due
	}
	p.arrivals[ev.ID()] = a
}

// Begin implements actor.Tracer.
func (p *Planner) Begin(event.Event) { p.begun = time.Now() }

// Took implements actor.Tracer.
func (p *Planner) Took(ev event.Event, effects []effect.Effect, replayed bool) {
	p.at, p.replayed = time.Now(), replayed
	p.step++
	if replayed {
		p.begun, p.at = p.stored, p.stored
	}
	clear(p.ended)
	p.take(ev)
	for i := range effects {
		if effects[i].Publishes() {
			p.said(effects[i].Event)
		}
	}
	p.progress(ev, effects)
}

// again is how far back a planner that takes over says what its predecessor said: that
// may have died with its newest spans.
const again = 30 * time.Second

func (p *Planner) say(s trace.Span) {
	if p.replayed && time.Since(s.End) > again {
		return
	}
	s.Attributes = append(s.Attributes, ofRun(p.run))
	p.tracer.Say(s)
}

func (p *Planner) take(ev event.Event) {
	switch b := ev.Body.(type) {
	case event.RequestArrived:
		p.arrive(ev, b)
	case event.PipelineExited:
		p.exited(b)
	case event.InstanceLost:
		p.strike(b.Nodes)
	case event.WorkerSilent:
		p.strike(b.Nodes)
	case event.WorkerJoined:
		p.strike([]string{ev.Source})
	case event.StageStarted:
		p.stageUp(ev.Source, b)
	}
}

func (p *Planner) arrive(ev event.Event, b event.RequestArrived) {
	a := p.arrivals[ev.ID()]
	delete(p.arrivals, ev.ID())
	if p.requests[b.Request] != nil || p.over[b.Request] {
		return // the same again
	}
	j := &journey{
		Context: p.tracer.Request(p.run, b.Request, a.users), parent: a.users.Span, users: !a.users.IsZero(),
		arrived: a.at,
	}
	p.waits(j, "queued", "")
	j.since = a.at
	if j.Sampled || j.users {
		p.requests[b.Request] = j
	}
	if ev.Source == event.SourceUser {
		p.over[b.Request] = true // from now on
	}
}

// exited puts the requests of a pipeline back.
func (p *Planner) exited(b event.PipelineExited) {
	line := p.pipelines[b.Pipeline]
	if line == nil || line.epoch != b.Epoch {
		return
	}
	for _, id := range b.Unprocessed {
		if j := p.requests[id]; j != nil && line.requests[id] {
			j.wait = trace.Context{}
			p.waits(j, "queued", "not begun before its pipeline exited")
		}
		delete(line.requests, id)
	}
	p.lose(b.Pipeline, "pipeline exited")
}

// strike ends the pipelines that have something on nodes.
func (p *Planner) strike(nodes []string) {
	for index, line := range p.pipelines {
		if slices.ContainsFunc(line.nodes, func(n string) bool { return slices.Contains(nodes, n) }) {
			p.lose(index, "node lost")
		}
	}
}

// lose interrupts what a pipeline still has.
func (p *Planner) lose(index int, why string) {
	line := p.pipelines[index]
	if line == nil {
		return
	}
	for id := range line.requests {
		if j := p.requests[id]; j != nil {
			p.waits(j, "interrupted", why)
		}
	}
	delete(p.pipelines, index)
	p.startsNoMore(index, why)
}

// waits begins a request's wait for a pipeline.
func (p *Planner) waits(j *journey, name, why string) {
	j.waiting, j.since, j.step, j.why, j.detail = true, p.at, p.step, name, why
}

// said takes what the core says.
func (p *Planner) said(ev event.Event) {
	switch b := ev.Body.(type) {
	case event.StopPipeline:
		p.lose(b.Pipeline, "node lost")
	case event.ConfigChosen:
		p.deployed(b)
	case event.AssignRequests, event.ApplyMigration:
		assigned(b, p.hand)
	case event.RequestCompleted:
		p.end(b.Record.Request, "completed", "", recorded(b.Record, b.Name))
	case event.RequestUnfinished:
		p.end(b.Record.Request, "unfinished", "", recorded(b.Record, b.Name))
	case event.RequestRefused:
		p.end(b.Request, "refused", b.Reason, named(b.Name))
	}
}

// deployed takes the pipelines of a plan; those that were there before it go on.
func (p *Planner) deployed(b event.ConfigChosen) {
	before := p.pipelines
	p.pipelines = make(map[int]*pipeline, len(b.Pipelines))
	for _, place := range b.Pipelines {
		line := before[place.Pipeline]
		if line == nil {
			line = &pipeline{epoch: b.Epoch, nodes: slices.Clone(place.Nodes), requests: make(map[event.RequestID]bool)}
		}
		p.pipelines[place.Pipeline] = line
	}
}

// hand gives a request to a pipeline.
func (p *Planner) hand(index int, e event.Epoch, r event.AssignedRequest, cached bool) {
	j := p.requests[r.Request]
	if j == nil {
		return
	}
	if line := p.pipelines[index]; line != nil {
		line.requests[r.Request] = true
	}
	if !j.waiting {
		return
	}
	p.waited(r.Request, j, []attribute.KeyValue{
		number("pipeline", index), ofEpoch(e), number("committed_tokens", r.Committed), flag("cache_kept", cached),
	}, e)
}

// waited says what a request waited for.
func (p *Planner) waited(id event.RequestID, j *journey, how []attribute.KeyValue, e event.Epoch) {
	j.waiting = false
	j.waits++
	j.wait = j.Place("wait", decimal(j.waits))
	s := trace.Span{
		Context: j.wait, Parent: j.Span, Name: j.why, Start: j.since, End: p.at,
		Attributes: append(how, number("request", uint64(id))),
	}
	if j.detail != "" {
		s.Attributes = append(s.Attributes, text("why", j.detail))
	}
	if j.why == "interrupted" && e.N > 0 {
		s.Links = []trace.Context{p.tracer.Reconfiguration(p.run, e.N)}
	}
	p.say(s)
}

// end says a request that is over.
func (p *Planner) end(id event.RequestID, outcome, wrong string, how []attribute.KeyValue) {
	j := p.requests[id]
	if j == nil {
		return
	}
	delete(p.requests, id)
	if j.Sampled {
		p.ended[id] = j.Context
	}
	if j.waiting && j.step < p.step {
		p.waited(id, j, nil, event.Epoch{})
	}
	p.say(trace.Span{
		Context: j.Context, Parent: j.parent, Name: "request", Kind: trace.Consumer, Start: j.arrived, End: p.at, Error: wrong,
		Attributes: append(how, number("request", uint64(id)), text("outcome", outcome)),
	})
}

func recorded(r event.RequestRecord, name string) []attribute.KeyValue {
	out := []attribute.KeyValue{
		number("prompt_tokens", r.PromptTokens), number("output_tokens", r.OutputTokens), number("committed_tokens", r.Committed),
		number("recomputed_tokens", r.Recomputed), number("interruptions", r.Interrupted), number("pipeline", r.Pipeline),
		text("config", r.Config.String()), decimals("compute_s", r.Compute.Seconds()),
	}
	out = append(out, named(name)...)
	out = append(out, instant("arrived", r.Arrived)...)
	out = append(out, instant("started", r.Started)...)
	return append(out, instant("finished", r.Finished)...)
}

// named is a user's id of a request.
func named(name string) []attribute.KeyValue {
	if name == "" {
		return nil
	}
	return []attribute.KeyValue{text("request_name", name)}
}

// Context implements actor.Tracer.
func (p *Planner) Context(ev event.Event) (t bus.TraceContext) {
	switch b := ev.Body.(type) {
	case event.RequestCompleted:
		t.Trace = p.endedOf(b.Record.Request)
	case event.RequestUnfinished:
		t.Trace = p.endedOf(b.Record.Request)
	case event.RequestRefused:
		t.Trace = p.endedOf(b.Request)
	case event.AssignRequests:
		if len(b.Requests) == 1 {
			if j := p.requests[b.Requests[0].Request]; j != nil && j.Sampled && !j.wait.IsZero() {
				t.Trace = j.wait.String()
			}
		}
	default:
		t.Trace = p.changeOf(b)
	}
	var members strings.Builder
	assigned(ev.Body, func(_ int, _ event.Epoch, r event.AssignedRequest, _ bool) {
		if j := p.requests[r.Request]; j != nil && j.users {
			baggage(&members, r.Request, j.Context)
		}
	})
	t.Baggage = members.String()
	return t
}

func (p *Planner) endedOf(id event.RequestID) string {
	if c, ok := p.ended[id]; ok {
		return c.String()
	}
	return ""
}
