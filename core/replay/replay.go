// Package replay turns an experiment's timeline into the events that the
// trace-replayer emits: availability changes with their notices, arrivals, and
// the end.
package replay

import (
	"cmp"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// Player plays a timeline, one event at a time, in the declared order. In a
// closed loop it leaves the fleet to the cloud (core/cloud).
type Player struct {
	run      string
	schema   int
	fleet    []event.Event // sorted; RunStarted first, RunEnded last
	arrivals []experiment.Arrival
	output   int
	prompt   int
	next     event.RequestID
	seq      uint64

	closedLoop bool
}

// NewPlayer returns a player of t. start opens the run; every change of the
// fleet but those at time 0 is announced grace ahead, not at all with grace 0.
// A change of the required throughput is its own announcement: played grace
// ahead of its time, but not before the start, and before all that happens to
// the fleet at that instant, so that both are answered at once. Nothing is
// played from t.End on.
func NewPlayer(run string, start event.RunStarted, t experiment.Timeline) *Player {
	start.Schema = cmp.Or(start.Schema, event.SchemaVersion)
	p := &Player{
		run: run, schema: start.Schema, arrivals: t.Arrivals,
		prompt: start.Spec.PromptTokens, output: start.Spec.OutputTokens,
		closedLoop: start.Spec.Provision == experiment.ClosedLoop,
	}
	p.add(0, start)
	for _, c := range t.Changes {
		if c.At < t.End {
			p.change(c, start.Spec.Grace, overrun(start.Spec, c, t.Changes))
		}
	}
	p.fleet = slices.DeleteFunc(p.fleet, func(ev event.Event) bool { return ev.Time > 0 && ev.Time >= t.End })
	slices.SortStableFunc(p.fleet[1:], func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(rank(a), rank(b)))
	})
	p.add(t.End, event.RunEnded{Reason: event.EndOfTrace})
	end, _ := slices.BinarySearchFunc(p.arrivals, t.End, func(a experiment.Arrival, end vtime.Time) int {
		return cmp.Compare(a.At, end)
	})
	p.arrivals = p.arrivals[:end]
	return p
}

func (p *Player) add(at vtime.Time, body event.Body) {
	p.fleet = append(p.fleet, event.Event{Time: at, Body: body})
}

// overrun is how much longer than announced the removed nodes of c stay: with
// the artifact's quirks as long again as their grace period, because the
// artifact's nodes never really go. A node that comes back sooner does not stay.
func overrun(s experiment.Spec, c experiment.Change, all []experiment.Change) time.Duration {
	if s.Quirks != experiment.QuirksArtifact || c.Kind != experiment.Remove {
		return 0
	}
	for _, other := range all {
		soon := other.At >= c.At && other.At <= c.At.Add(s.Grace)
		if soon && other.Kind == experiment.Add && slices.ContainsFunc(other.Instances, func(i experiment.Instance) bool {
			return slices.ContainsFunc(c.Instances, func(gone experiment.Instance) bool { return gone.Node == i.Node })
		}) {
			return 0
		}
	}
	return s.Grace
}

func (p *Player) change(c experiment.Change, grace, overrun time.Duration) {
	noticed := max(0, c.At.Add(-grace))
	announce := grace > 0 && c.At > 0
	kind := c.Kind
	if p.closedLoop {
		kind = experiment.Throughput
	}
	switch kind {
	case experiment.Add:
		if announce {
			p.add(noticed, event.AcquisitionNoticed{Instances: c.Instances, ReadyAt: c.At})
		}
		p.add(c.At, event.InstanceAcquired{Instances: c.Instances})
	case experiment.Remove:
		nodes := make([]string, len(c.Instances))
		for i, inst := range c.Instances {
			nodes[i] = inst.Node
		}
		if announce {
			p.add(noticed, event.PreemptionNoticed{Nodes: nodes, Deadline: c.At})
		}
		p.add(c.At.Add(overrun), event.InstanceLost{Nodes: nodes})
	case experiment.Throughput:
	}
	if c.RequiredThroughput > 0 {
		p.add(noticed, event.ThroughputRequired{RequestsPerSecond: c.RequiredThroughput, From: c.At})
	}
}

// rank orders what is played at one instant; equals keep the timeline's order.
func rank(ev event.Event) int {
	if _, ok := ev.Body.(event.ThroughputRequired); ok {
		return 0
	}
	return 1
}

// Next returns the next event; ok is false after the end. Its Watermark is the
// time of the event after it.
func (p *Player) Next() (ev event.Event, ok bool) {
	switch {
	case len(p.fleet) == 0:
		return event.Event{}, false
	case len(p.arrivals) > 0 && p.arrivals[0].At < p.fleet[0].Time:
		ev = p.arrive()
	default:
		ev, p.fleet = p.fleet[0], p.fleet[1:]
	}
	p.seq++
	ev.Run, ev.Source, ev.Seq, ev.Version = p.run, event.SourceReplayer, p.seq, p.schema
	ev.Watermark = p.PeekTime()
	return ev, true
}

// PeekTime is the time of the next event, vtime.Never after the end.
func (p *Player) PeekTime() vtime.Time {
	switch {
	case len(p.fleet) == 0:
		return vtime.Never
	case len(p.arrivals) > 0:
		return min(p.arrivals[0].At, p.fleet[0].Time)
	default:
		return p.fleet[0].Time
	}
}

// Stop ends the input at now, or as soon after as the watermarks given out
// allow: the next event is RunEnded, and the last.
func (p *Player) Stop(now vtime.Time) {
	if len(p.fleet) == 0 {
		return
	}
	end := p.fleet[len(p.fleet)-1].Time
	at := min(max(now, p.PeekTime()), end)
	p.arrivals = nil
	begun := p.fleet[:0]
	if p.seq == 0 {
		begun = p.fleet[:1] // a run that ends has begun
	}
	p.fleet = begun
	p.add(at, event.RunEnded{Reason: event.Stopped})
}

func (p *Player) arrive() event.Event {
	a := p.arrivals[0]
	p.arrivals = p.arrivals[1:]
	id := p.next
	p.next++
	body := event.RequestArrived{
		Request: id, PromptTokens: or(a.PromptTokens, p.prompt), OutputTokens: or(a.OutputTokens, p.output), Prompt: a.Prompt,
	}
	if a.Prompt != nil { // which has a length of its own
		body.PromptTokens = a.PromptTokens
	}
	return event.Event{Time: a.At, Body: body}
}

func or(n, fallback int) int {
	if n == 0 {
		return fallback
	}
	return n
}
