// Package cloud is the cloud provider of a closed loop: it holds the spot
// capacity that an availability trace gives, takes the planner's word on the
// fleet that it wants, and launches, hands out and takes back instances.
//
// It is a deterministic state machine of the shape of planner and worker. What it
// says is taken one response delay later; what it can foresee, the joining of
// an instance and a loss with notice, happens at the announced instant.
//
//   - A request is met with spot instances, the first in node order, as far as
//     there is capacity now; later capacity goes to what is still wanted.
//   - With OnDemand the rest is launched on demand at the same time. Spot capacity
//     that appears later is still taken: the planner gives back what it then has
//     too much.
//   - No launch makes more than Provisioning.MaxInstances, those not counted that
//     go before the new one joins. Nor do on-demand instances count for a spot
//     instance, which is to replace one of them.
//   - Instances join Provisioning.SpotStart or OnDemandStart after their launch. The
//     spot instances of the first request join at once: a run begins with a
//     fleet, as a replay does.
//   - Capacity goes like an instance of a replay: with a notice, one grace period
//     ahead. What is launched and has not joined by the notice is cancelled.
package cloud

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// Provider is the cloud of one run.
type Provider struct {
	trace  experiment.Timeline
	spec   experiment.Spec
	emit   effect.Emitter
	ahead  []moment // of the trace, in order
	spot   []*instance
	demand []*instance
	byName map[string]*instance
	wanted event.RequestFleet
	asked  bool
	next   vtime.Time // when the timer is set to
}

// state is a phase of an instance's life in the cloud.
type state int

const (
	free     state = iota // not launched, whether there is capacity or not
	launched              // will join
	up
)

// instance is one that the cloud can launch.
type instance struct {
	experiment.Instance
	offered   bool         // there is capacity for it
	removals  []vtime.Time // ahead, ascending: when its capacity goes
	state     state
	ready     vtime.Time // when it joins, if launched
	announced bool       // its joining is
}

// New returns the cloud whose spot capacity t's changes give, of the experiment's
// instance type, whatever market and GPUs they name; from t.End on nothing
// changes. Its run begins with RunStarted.
func New(t experiment.Timeline) *Provider {
	return &Provider{trace: t, emit: effect.Emitter{Source: event.SourceCloud}, next: vtime.Never}
}

const timerNext = "next"

// Step takes one event and returns what to do about it.
func (p *Provider) Step(now vtime.Time, ev event.Event) []effect.Effect {
	p.emit.Now = max(p.emit.Now, now)
	p.emit.Cause = ev.ID()
	switch b := ev.Body.(type) {
	case event.RunStarted:
		p.start(ev.Run, b.Spec)
	case event.RequestFleet:
		p.release(b.Release)
		p.wanted = b
	case event.TimerFired:
		p.next = vtime.Never
	}
	if p.byName != nil {
		p.advance()
	}
	return p.emit.Take()
}

func (p *Provider) start(run string, spec experiment.Spec) {
	p.emit.Run, p.spec, p.byName = run, spec, make(map[string]*instance)
	for _, c := range p.trace.Changes {
		for _, i := range c.Instances {
			if p.byName[i.Node] == nil {
				i.Market, i.GPUs = cost.Spot, spec.Instance.GPUs
				p.byName[i.Node] = &instance{Instance: i}
				p.spot = append(p.spot, p.byName[i.Node])
			}
		}
	}
	slices.SortFunc(p.spot, func(a, b *instance) int { return topology.CompareNodes(a.Node, b.Node) })
	for _, node := range spec.Provisioning.OnDemandNodes() {
		i := &instance{Instance: experiment.Instance{Node: node, Market: cost.OnDemand, GPUs: spec.Instance.GPUs}}
		p.byName[node] = i
		p.demand = append(p.demand, i)
	}
	p.schedule()
}

// all lists every instance, spot first, in node order.
func (p *Provider) all() []*instance { return slices.Concat(p.spot, p.demand) }

// hop is how long what the cloud says is on its way.
func (p *Provider) hop() time.Duration { return p.spec.Delays.Response }

// say publishes a fact that is taken at the instant at, or as soon after as a
// hop allows.
func (p *Provider) say(at vtime.Time, b event.Body) { p.emit.Fact(max(at, p.emit.Now.Add(p.hop())), b) }

// advance does what is due and sets the timer to what is due next.
func (p *Provider) advance() {
	for len(p.ahead) > 0 && p.ahead[0].due <= p.emit.Now {
		p.happen(p.ahead[0])
		p.ahead = p.ahead[1:]
	}
	p.fill()
	p.announce()
	p.join()
	next := vtime.Never
	if len(p.ahead) > 0 {
		next = p.ahead[0].due
	}
	for _, i := range p.all() {
		if i.state == launched {
			next = min(next, p.due(i))
		}
	}
	if next != p.next {
		p.next = next
		p.emit.Timer(timerNext, next)
	}
}

// due is when something is to be said of a launched instance.
func (p *Provider) due(i *instance) vtime.Time {
	at := i.ready.Add(-p.hop())
	if !i.announced && p.spec.Grace > 0 {
		at = at.Add(-p.spec.Grace)
	}
	return at
}

// release takes instances back that the planner gives up.
func (p *Provider) release(nodes []string) {
	var gone []string
	for _, n := range nodes {
		if i := p.byName[n]; i != nil && i.state != free {
			i.state = free
			gone = append(gone, n)
		}
	}
	if len(gone) > 0 {
		p.say(p.emit.Now, event.InstanceLost{Nodes: gone, Released: true})
	}
}

// fill launches what is wanted and not held yet.
func (p *Provider) fill() {
	if p.wanted.Instances == 0 {
		return
	}
	spotStart := p.spec.Provisioning.SpotStart
	if !p.asked {
		p.asked, spotStart = true, 0
	}
	held := p.staying(p.spot)
	held += p.launch(p.spot, p.wanted.Instances-held, spotStart)
	if p.wanted.OnDemand {
		p.launch(p.demand, p.wanted.Instances-held-p.staying(p.demand), p.spec.Provisioning.OnDemandStart)
	}
}

// staying counts the instances among from that are held and will not go, as far
// as is known.
func (p *Provider) staying(from []*instance) (n int) {
	for _, i := range from {
		if i.state != free && p.goes(i) == vtime.Never {
			n++
		}
	}
	return n
}

// launch starts up to n free instances of from and returns how many.
func (p *Provider) launch(from []*instance, n int, start time.Duration) int {
	ready := p.emit.Now.Add(max(start, p.hop()))
	counted := p.all()
	if len(from) > 0 && from[0].Market == cost.Spot {
		counted = from
	}
	n = min(n, p.room(counted, ready))
	var out []experiment.Instance
	for _, i := range from {
		if len(out) >= n {
			break
		}
		if i.state != free || i.Market == cost.Spot && (!i.offered || p.goes(i) != vtime.Never) {
			continue
		}
		i.state, i.ready, i.announced = launched, ready, false
		out = append(out, i.Instance)
	}
	if len(out) > 0 {
		p.say(p.emit.Now, event.InstanceLaunched{Instances: out, ReadyAt: ready})
	}
	return len(out)
}

// room is how many more instances may be held from the instant at on, if these
// count.
func (p *Provider) room(counted []*instance, at vtime.Time) int {
	room := p.spec.Provisioning.MaxInstances
	for _, i := range counted {
		if i.state != free && p.goes(i) > at {
			room--
		}
	}
	return room
}

// announce tells of the instances that join one grace period from now.
func (p *Provider) announce() {
	if p.spec.Grace == 0 {
		return
	}
	joining := make(map[vtime.Time][]experiment.Instance)
	var times []vtime.Time
	for _, i := range p.all() {
		if i.state != launched || i.announced || p.due(i) > p.emit.Now {
			continue
		}
		i.announced = true
		if i.ready <= p.emit.Now.Add(p.hop()) {
			continue // joining says it
		}
		if joining[i.ready] == nil {
			times = append(times, i.ready)
		}
		joining[i.ready] = append(joining[i.ready], i.Instance)
	}
	for _, at := range times {
		p.say(p.emit.Now, event.AcquisitionNoticed{Instances: joining[at], ReadyAt: at})
	}
}

// join hands out the instances that are through with their launch.
func (p *Provider) join() {
	var out []experiment.Instance
	for _, i := range p.all() {
		if i.state == launched && i.ready <= p.emit.Now.Add(p.hop()) {
			i.state = up
			out = append(out, i.Instance)
		}
	}
	if len(out) > 0 {
		p.say(p.emit.Now, event.InstanceAcquired{Instances: out})
	}
}
