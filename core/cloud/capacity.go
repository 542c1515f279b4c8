package cloud

import (
	"cmp"
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// moment is when a change of the trace bears on the cloud.
type moment struct {
	due   vtime.Time
	kind  momentKind
	at    vtime.Time // of the change
	nodes []string
}

// momentKind orders the moments of one instant.
type momentKind int

const (
	capacityGone   momentKind = iota
	capacityDoomed            // it will go
	capacityNew
)

// schedule lays the trace's changes out. A loss with notice is dealt with a hop
// ahead, so that it is heard in time.
func (p *Provider) schedule() {
	for _, c := range p.trace.Changes {
		if c.At >= p.trace.End {
			continue
		}
		nodes := make([]string, len(c.Instances))
		for i, inst := range c.Instances {
			nodes[i] = inst.Node
		}
		switch c.Kind {
		case experiment.Add:
			p.ahead = append(p.ahead, moment{c.At, capacityNew, c.At, nodes})
		case experiment.Remove:
			for _, n := range nodes {
				p.byName[n].removals = append(p.byName[n].removals, c.At)
			}
			gone := c.At
			if grace := p.spec.Grace; grace > 0 {
				noticed := max(0, c.At.Add(-grace))
				p.ahead = append(p.ahead, moment{noticed, capacityDoomed, c.At, nodes})
				gone = max(noticed, c.At.Add(-p.hop()))
			}
			p.ahead = append(p.ahead, moment{gone, capacityGone, c.At, nodes})
		case experiment.Throughput:
		}
	}
	for _, i := range p.spot {
		slices.Sort(i.removals)
	}
	slices.SortStableFunc(p.ahead, func(a, b moment) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.kind, b.kind))
	})
}

// goes is when an instance will go, as far as that is known: vtime.Never without
// notice.
func (p *Provider) goes(i *instance) vtime.Time {
	if len(i.removals) > 0 && i.removals[0].Add(-p.spec.Grace) <= p.emit.Now {
		return i.removals[0]
	}
	return vtime.Never
}

func (p *Provider) happen(m moment) {
	switch m.kind {
	case capacityNew:
		p.offer(m)
	case capacityDoomed:
		p.withdraw(m)
	case capacityGone:
		p.lose(m)
	}
}

// offer adds capacity; what is about to go again is none.
func (p *Provider) offer(m moment) {
	var nodes []string
	for _, n := range m.nodes {
		if i := p.byName[n]; !i.offered && p.goes(i) == vtime.Never {
			i.offered = true
			nodes = append(nodes, n)
		}
	}
	if len(nodes) > 0 {
		p.say(m.at, event.SpotCapacityOffered{Nodes: nodes})
	}
}

// withdraw gives notice. Launches in progress are cancelled at once.
func (p *Provider) withdraw(m moment) {
	var nodes, used, cancelled []string
	for _, n := range m.nodes {
		i := p.byName[n]
		if !i.offered || p.goes(i) != m.at {
			continue
		}
		nodes = append(nodes, n)
		switch i.state {
		case up:
			used = append(used, n)
		case launched:
			i.state = free
			cancelled = append(cancelled, n)
		case free:
		}
	}
	if len(nodes) > 0 {
		p.say(p.emit.Now, event.SpotCapacityWithdrawn{Nodes: nodes, Deadline: m.at})
	}
	if len(used) > 0 {
		p.say(p.emit.Now, event.PreemptionNoticed{Nodes: used, Deadline: m.at})
	}
	if len(cancelled) > 0 {
		p.say(p.emit.Now, event.InstanceLost{Nodes: cancelled})
	}
}

// lose takes capacity away, with the instances on it.
func (p *Provider) lose(m moment) {
	var offered, gone []string
	for _, n := range m.nodes {
		i := p.byName[n]
		i.removals = slices.DeleteFunc(i.removals, func(at vtime.Time) bool { return at <= m.at })
		if i.offered {
			offered = append(offered, n)
		}
		if i.state != free {
			gone = append(gone, n)
		}
		i.offered, i.state = false, free
	}
	if len(offered) > 0 && p.spec.Grace == 0 {
		p.say(m.at, event.SpotCapacityWithdrawn{Nodes: offered, Deadline: m.at})
	}
	if len(gone) > 0 {
		p.say(m.at, event.InstanceLost{Nodes: gone})
	}
}
