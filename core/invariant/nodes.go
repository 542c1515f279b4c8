package invariant

import (
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// nodes is where every node is in its life.
type nodes map[string]*stay

// stay is a node's last one. A plan counts it from the instant at which its facts
// are taken, not from when they are said.
type stay struct {
	since    vtime.Time
	until    vtime.Time // vtime.Never while it lasts
	released bool       // the planner has given the node back
}

func (n nodes) join(at vtime.Time, instances []experiment.Instance) {
	for _, i := range instances {
		if s := n[i.Node]; s == nil || s.until <= at {
			n[i.Node] = &stay{since: at, until: vtime.Never}
		}
	}
}

func (n nodes) lose(at vtime.Time, names []string) {
	for _, name := range names {
		if s := n[name]; s != nil {
			s.until = min(s.until, at)
		}
	}
}

func (n nodes) release(names []string) {
	for _, name := range names {
		if s := n[name]; s != nil {
			s.released = true
		}
	}
}

// works is promise 8: no pipeline is planned on a node that has not joined, that
// has gone, or that was given back.
func (c *Checker) works(ev event.Event, b event.ConfigChosen) {
	for _, p := range b.Pipelines {
		for _, name := range p.Nodes {
			switch s := c.nodes[name]; {
			case s == nil || s.since > ev.Time:
				c.fail(8, ev, "pipeline %d of plan %s works on %s, which has not joined", p.Pipeline, b.Epoch, name)
			case s.until < ev.Time:
				c.fail(8, ev, "pipeline %d of plan %s works on %s, which went at %s", p.Pipeline, b.Epoch, name, s.until)
			case s.released:
				c.fail(8, ev, "pipeline %d of plan %s works on %s, which was given back", p.Pipeline, b.Epoch, name)
			}
		}
	}
}
