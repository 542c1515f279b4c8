package invariant

import (
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// nodes is where every node is in its life: its last stay and, because facts
// are said a hop before they are taken, the one before.
type nodes map[string]*[2]stay

// stay lasts from the instant at which its facts are taken.
type stay struct {
	since    vtime.Time
	until    vtime.Time // vtime.Never while it lasts
	released bool       // the planner has given the node back
}

func (n nodes) join(at vtime.Time, instances []experiment.Instance) {
	for _, i := range instances {
		switch s := n[i.Node]; {
		case s == nil:
			n[i.Node] = &[2]stay{{since: at, until: vtime.Never}, {since: vtime.Never}}
		case s[0].until <= at:
			s[1], s[0] = s[0], stay{since: at, until: vtime.Never}
		}
	}
}

func (n nodes) lose(at vtime.Time, names []string) {
	for _, name := range names {
		if s := n[name]; s != nil {
			s[0].until = min(s[0].until, at)
		}
	}
}

// release is promise 8: no node is given back that the last plan works on.
func (c *Checker) release(ev event.Event, names []string) {
	for _, name := range names {
		if c.working[name] {
			c.fail(8, ev, "%s is given back, and works", name)
		}
		if s := c.nodes[name]; s != nil {
			s[0].released = true
		}
	}
}

// works is promise 8: no pipeline is planned on a node that has not joined, that
// has gone, or that was given back.
func (c *Checker) works(ev event.Event, b event.ConfigChosen) {
	clear(c.working)
	for _, p := range b.Pipelines {
		for _, name := range p.Nodes {
			c.working[name] = true
			s := c.nodes[name]
			if s != nil && s[0].since > ev.Time {
				s = &[2]stay{s[1]}
			}
			switch {
			case s == nil || s[0].since > ev.Time:
				c.fail(8, ev, "pipeline %d of plan %s works on %s, which has not joined", p.Pipeline, b.Epoch, name)
			case s[0].until < ev.Time:
				c.fail(8, ev, "pipeline %d of plan %s works on %s, which went at %s", p.Pipeline, b.Epoch, name, s[0].until)
			case s[0].released:
				c.fail(8, ev, "pipeline %d of plan %s works on %s, which was given back", p.Pipeline, b.Epoch, name)
			}
		}
	}
}
