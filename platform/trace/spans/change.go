package spans

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/trace"
)

// changes follows the reconfigurations of a run.
type changes struct {
	stage  planner.Stage
	plans  uint64
	causes []cause // taken since the last plan, or since there was nothing to do
	saidAt map[event.ID]time.Time

	change  *change       // decided on, and not planned yet
	startup *change       // planned, and not serving yet
	newest  trace.Context // the step of the newest plan
	// calledOff counts the changes toward the next plan that came to nothing.
	calledOff int
}

// cause is an event that may call for a reconfiguration.
type cause struct {
	id          event.ID
	kind        event.Kind
	said, taken time.Time
	how         []attribute.KeyValue
}

// change is one reconfiguration.
type change struct {
	trace.Context
	n            uint64 // of its plan
	start        time.Time
	arranged     time.Time // since when pipelines are told to stop
	arrangements uint64
	stopping     int       // pipelines that were told to stop
	exited       time.Time // since when nothing runs that has to stop

	epoch   event.Epoch
	how     []attribute.KeyValue
	planned time.Time
	waiting map[int][]string // nodes of the pipelines that start, whose stages are not up
}

// maxCauses bounds the causes that are kept, and with them the memory.
const maxCauses = 64

// readCause remembers when an event was said that may be a cause.
func (p *Planner) readCause(ev event.Event, m bus.Message) {
	if _, ok := causeOf(ev.Body); !ok {
		return
	}
	if p.saidAt == nil {
		p.saidAt = make(map[event.ID]time.Time)
	}
	p.saidAt[ev.ID()] = m.Published
}

// causeOf gives what a cause says; ok is false for what is none.
func causeOf(b event.Body) (how []attribute.KeyValue, ok bool) {
	nodes := func(list []string) attribute.KeyValue { return attribute.StringSlice(prefix+"nodes", list) }
	instances := func(list []experiment.Instance) attribute.KeyValue {
		var out []string
		for _, i := range list {
			out = append(out, i.Node)
		}
		return nodes(out)
	}
	switch b := b.(type) {
	case event.AcquisitionNoticed:
		return append(instant("ready", b.ReadyAt), instances(b.Instances)), true
	case event.InstanceAcquired:
		return []attribute.KeyValue{instances(b.Instances)}, true
	case event.PreemptionNoticed:
		return append(instant("deadline", b.Deadline), nodes(b.Nodes)), true
	case event.PreemptionCancelled:
		return []attribute.KeyValue{nodes(b.Nodes)}, true
	case event.InstanceLost:
		return []attribute.KeyValue{nodes(b.Nodes)}, true
	case event.WorkerSilent:
		return []attribute.KeyValue{nodes(b.Nodes)}, true
	case event.WorkerJoined:
		return nil, true
	case event.ThroughputRequired:
		return append(instant("from", b.From), decimals("required_rps", b.RequestsPerSecond)), true
	}
	return nil, false
}

// progress looks how far the step has brought the reconfiguration.
func (p *Planner) progress(ev event.Event, effects []effect.Effect) {
	if how, ok := causeOf(ev.Body); ok {
		said := p.saidAt[ev.ID()]
		delete(p.saidAt, ev.ID())
		how = append(how, text("source", ev.Source))
		p.causes = append(p.causes, cause{ev.ID(), ev.Body.Kind(), said, p.begun, append(how, instant("time", ev.Time)...)})
		if len(p.causes) > maxCauses {
			p.causes = p.causes[1:]
		}
	}
	before, planned := p.stage, false
	stage, plans := p.core.Progress()
	planned = plans > p.plans
	p.stage, p.plans = stage, plans
	if planned {
		p.plan(effects)
	}
	if p.startup != nil && stage != planner.Starting {
		p.serve("serving")
	}
	decided := stage == planner.Arranging || stage == planner.Planning
	switch {
	case decided && p.change == nil:
		p.decide(plans+1, effects)
	case decided && stage == planner.Arranging && before == planner.Planning:
		p.change.exited = time.Time{}
		p.arrange(effects)
	case !decided && p.change != nil:
		p.callOff()
	}
	if c := p.change; c != nil && stage == planner.Planning && c.exited.IsZero() {
		p.arrangedUntil()
	}
	if stage == planner.Steady && p.change == nil {
		p.causes = p.causes[:0] // there is nothing to do about them
	}
	if finished(effects) {
		p.close()
	}
}

func finished(effects []effect.Effect) bool {
	return slices.ContainsFunc(effects, func(e effect.Effect) bool {
		_, ok := e.Event.Body.(event.RunFinished)
		return ok
	})
}

// decide begins a reconfiguration.
func (p *Planner) decide(n uint64, effects []effect.Effect) {
	c := &change{Context: p.tracer.Reconfiguration(p.run, n), n: n, start: p.begun}
	if p.calledOff > 0 {
		c.Context = c.Place("attempt", strconv.Itoa(p.calledOff))
	}
	for _, x := range p.causes {
		if !x.said.IsZero() && x.said.Before(c.start) {
			c.start = x.said
		}
	}
	p.change = c
	p.arrange(effects)
}

// arrange says the decision, on who has to stop and when.
func (p *Planner) arrange(effects []effect.Effect) {
	c := p.change
	c.arranged = p.at
	c.arrangements++
	stopping := 0
	how := []attribute.KeyValue{number("plan", c.n)}
	for i := range effects {
		b, ok := effects[i].Event.Body.(event.ArrangeInterruption)
		if !ok {
			continue
		}
		if stopping++; stopping == 1 {
			how = append(how, flag("acquisition", b.Acquisition), decimals("migration_estimate_s", b.Migration.Seconds()))
			how = append(how, instant("stop_for", b.At)...)
		}
	}
	p.say(trace.Span{
		Context: c.Place("decide", decimal(c.arrangements)), Parent: c.Span, Name: "decide", Start: p.begun, End: p.at,
		Attributes: append(how, number("stopping_pipelines", stopping)),
	})
	c.stopping = stopping
}

// arrangement is the span of the last arrangement.
func (c *change) arrangement() trace.Context { return c.Place("arrange", decimal(c.arrangements)) }

// arrangedUntil takes note that all have exited that have to.
func (p *Planner) arrangedUntil() {
	c := p.change
	c.exited = p.at
	if c.stopping > 0 {
		p.say(trace.Span{Context: c.arrangement(), Parent: c.Span, Name: "arrange", Start: c.arranged, End: p.at})
	}
}

// callOff ends a change that nobody wants any more.
func (p *Planner) callOff() {
	c := p.change
	if c.exited.IsZero() && c.stopping > 0 {
		p.say(trace.Span{Context: c.arrangement(), Parent: c.Span, Name: "arrange", Start: c.arranged, End: p.at})
	}
	p.sayChange(c, "called off")
	p.change = nil
	p.calledOff++
}

// plan says the plan that this step has made.
func (p *Planner) plan(effects []effect.Effect) {
	c := p.change
	if c == nil { // the steps before were not seen
		c = &change{Context: p.tracer.Reconfiguration(p.run, p.plans), start: p.begun, exited: p.begun}
	}
	c.n, c.planned, c.waiting = p.plans, p.at, make(map[int][]string)
	c.how = append(c.how, text("cause", string(p.core.Cause())))
	p.newest = c.Place("plan")
	if c.exited.IsZero() {
		c.exited = p.begun
	}
	p.say(trace.Span{Context: c.Place("await"), Parent: c.Span, Name: "await plan", Start: c.exited, End: p.begun})
	p.sayCauses(c)
	for i := range effects {
		if effects[i].Publishes() {
			c.learn(effects[i].Event)
		}
	}
	p.say(trace.Span{
		Context: p.newest, Parent: c.Span, Name: "plan", Start: p.begun, End: p.at, Attributes: slices.Clone(c.how),
	})
	p.change, p.startup, p.calledOff = nil, c, 0
}

func (p *Planner) sayCauses(c *change) {
	for _, x := range p.causes {
		p.say(trace.Span{
			Context: c.Place("cause", x.id.String()), Parent: c.Span, Name: string(x.kind), Kind: trace.Consumer,
			Start: x.said, End: x.taken, Attributes: x.how,
		})
	}
	p.causes = p.causes[:0]
}

// learn takes the numbers of a plan.
func (c *change) learn(ev event.Event) {
	switch b := ev.Body.(type) {
	case event.ConfigChosen:
		c.epoch = b.Epoch
		c.how = append(c.how, ofEpoch(b.Epoch), text("config", b.Config.String()), number("batch_limit", b.BatchLimit),
			number("gpus", b.GPUs), number("mapper_devices_changed", b.DevicesChanged),
			text("controller_why", b.Why), number("controller_runners_up", len(b.RunnersUp)),
			decimals("controller_latency_s", b.Chosen.Latency.Seconds()), decimals("controller_rps", b.Chosen.Throughput))
		c.how = append(c.how, instant("change_at", b.ChangeAt)...)
	case event.MigrationPlanned:
		c.how = append(c.how, number("migration_steps", b.Steps), decimals("migration_estimate_s", b.Estimate.Seconds()),
			number("model_bytes", b.ModelBytes), number("cache_bytes", b.CacheBytes), number("disk_bytes", b.DiskBytes),
			number("inter_node_bytes", b.InterNodeBytes), number("peak_buffer_bytes", b.PeakBufferBytes),
			number("resumed_requests", b.ResumedRequests), number("requeued_requests", b.RequeuedRequests))
		c.how = append(c.how, instant("begin", b.Begin)...)
		c.how = append(c.how, instant("ready", b.ReadyAt)...)
		c.how = append(c.how, instant("deadline", b.Deadline)...)
	case event.ApplyMigration:
		for _, s := range b.Pipelines {
			c.waiting[s.Pipeline] = append(c.waiting[s.Pipeline], ev.To)
		}
	}
}

// stageUp counts a node's stage of a pipeline in.
func (p *Planner) stageUp(node string, b event.StageStarted) {
	c := p.startup
	if c == nil || b.Epoch != c.epoch {
		return
	}
	nodes, starting := c.waiting[b.Pipeline]
	if !starting {
		return
	}
	nodes = slices.DeleteFunc(nodes, func(n string) bool { return n == node })
	c.waiting[b.Pipeline] = nodes
	if len(nodes) == 0 {
		p.started(b.Pipeline, "")
	}
}

// startsNoMore takes a pipeline out that was lost on its start.
func (p *Planner) startsNoMore(index int, why string) {
	if p.startup != nil {
		if _, starting := p.startup.waiting[index]; starting {
			p.started(index, why)
		}
	}
}

// started says how a pipeline came up, or that it did not.
func (p *Planner) started(index int, wrong string) {
	c := p.startup
	delete(c.waiting, index)
	p.say(trace.Span{
		Context: c.Place("pipeline", strconv.Itoa(index)), Parent: c.Span, Name: "start pipeline", Start: c.planned, End: p.at,
		Error: wrong, Attributes: []attribute.KeyValue{number("pipeline", index), ofEpoch(c.epoch)},
	})
}

// serve ends a reconfiguration whose pipelines are up.
func (p *Planner) serve(outcome string) {
	p.sayChange(p.startup, outcome)
	p.startup = nil
}

func (p *Planner) sayChange(c *change, outcome string) {
	p.say(trace.Span{
		Context: c.Context, Name: "reconfiguration", Start: c.start, End: p.at,
		Attributes: append(c.how, text("outcome", outcome)),
	})
}

// close ends what is open when the run is over.
func (p *Planner) close() {
	if p.startup != nil {
		p.serve("run ended")
	}
	if p.change != nil {
		p.sayChange(p.change, "run ended")
		p.change = nil
	}
}

// changeOf is the part of a reconfiguration that a message belongs to; empty if it
// belongs to none.
func (p *Planner) changeOf(b event.Body) string {
	var c trace.Context
	switch b.(type) {
	case event.ArrangeInterruption, event.PrepareMigration, event.StopPipeline:
		if p.change != nil {
			c = p.change.arrangement()
		}
	case event.ConfigChosen, event.MigrationPlanned, event.ApplyMigration:
		// The plan of this step, though it may be serving already.
		c = p.newest
	}
	if !c.Sampled {
		return ""
	}
	return c.String()
}
