package invariant

import (
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// pipeline names a pipeline by the plan that started it.
type pipeline struct {
	epoch event.Epoch
	index int
}

// place is a pipeline that may still report.
type place struct {
	pipeline pipeline
	nodes    []string
	gone     vtime.Time // when its last report is taken; vtime.Never while it serves
}

// pipelines follows where reports can come from.
type pipelines struct {
	places []place
	lost   map[pipeline]vtime.Time // when the first node of a pipeline went
}

// deploy takes the pipelines of a new configuration. One that serves already, on
// the same nodes, runs on; others are gone, but for reports under way.
func (p *pipelines) deploy(at vtime.Time, b event.ConfigChosen) {
	var next []place
	serving := make(map[int]place) // by number
	for _, old := range p.places {
		_, lost := p.lost[old.pipeline]
		switch {
		case old.gone == vtime.Never && !lost:
			serving[old.pipeline.index] = old
		case old.gone != vtime.Never && old.gone >= at:
			next = append(next, old)
		}
	}
	for _, chosen := range b.Pipelines {
		name := pipeline{b.Epoch, chosen.Pipeline}
		if old, runs := serving[chosen.Pipeline]; runs && slices.Equal(old.nodes, chosen.Nodes) {
			name = old.pipeline
		}
		next = append(next, place{name, chosen.Nodes, vtime.Never})
	}
	p.places = next
}

// end notes that what a pipeline says is over, with what is taken at the instant
// at.
func (p *pipelines) end(name pipeline, at vtime.Time) {
	for i := range p.places {
		if p.places[i].pipeline == name {
			p.places[i].gone = at
		}
	}
}

// lose notes which pipelines the loss of nodes ends.
func (p *pipelines) lose(at vtime.Time, nodes []string) {
	for _, place := range p.places {
		if _, before := p.lost[place.pipeline]; !before &&
			slices.ContainsFunc(place.nodes, func(n string) bool { return slices.Contains(nodes, n) }) {
			p.lost[place.pipeline] = at
		}
	}
}

// known reports whether a pipeline serves, or a report of it may be under way.
func (p *pipelines) known(name pipeline) bool {
	return slices.ContainsFunc(p.places, func(place place) bool { return place.pipeline == name })
}

// counts reports whether the planner acts on a report: on a pipeline that has
// lost a node by the time that it takes it, the planner has fenced it off.
func (p *pipelines) counts(r report) bool {
	lost, ok := p.lost[r.by]
	return !ok || r.taken <= lost
}
