package invariant

import (
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// nodes has the stays of every node, in their order. All of them: what a log has
// of the fleet may be far ahead of the planner, which was away for a while.
type nodes map[string][]stay

// stay lasts from the instant at which its facts are taken.
type stay struct {
	since    vtime.Time
	until    vtime.Time // vtime.Never while it lasts
	released bool       // the planner has given the node back
}

func (n nodes) join(at vtime.Time, instances []experiment.Instance) {
	for _, i := range instances {
		if last := n.last(i.Node); last == nil || last.until <= at {
			n[i.Node] = append(n[i.Node], stay{since: at, until: vtime.Never})
		}
	}
}

func (n nodes) lose(at vtime.Time, names []string) {
	for _, name := range names {
		if last := n.last(name); last != nil {
			last.until = min(last.until, at)
		}
	}
}

// last is the last stay of a node; nil if there is none.
func (n nodes) last(name string) *stay {
	if s := n[name]; len(s) > 0 {
		return &s[len(s)-1]
	}
	return nil
}

// at is the last stay of a node that began until an instant; nil if there is
// none.
func (n nodes) at(name string, t vtime.Time) *stay {
	for i, s := range slices.Backward(n[name]) {
		if s.since <= t {
			return &n[name][i]
		}
	}
	return nil
}

// release is promise 8: no node is given back that the last plan works on.
func (c *Checker) release(ev event.Event, names []string) {
	for _, name := range names {
		if c.working[name] {
			c.fail(8, ev, "%s is given back, and works", name)
		}
		if last := c.nodes.last(name); last != nil {
			last.released = true
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
			s := c.nodes.at(name, ev.Time)
			switch {
			case s == nil:
				c.fail(8, ev, "pipeline %d of plan %s works on %s, which has not joined", p.Pipeline, b.Epoch, name)
			case s.until < ev.Time:
				c.fail(8, ev, "pipeline %d of plan %s works on %s, which went at %s", p.Pipeline, b.Epoch, name, s.until)
			case s.released:
				c.fail(8, ev, "pipeline %d of plan %s works on %s, which was given back", p.Pipeline, b.Epoch, name)
			}
		}
	}
}
