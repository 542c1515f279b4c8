package catalog

import (
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// traceMarket says how the nodes of a trace were bought.
type traceMarket string

const (
	allSpot     traceMarket = "spot"
	allOnDemand traceMarket = "on-demand"
	// mixed: the artifact does not say which nodes of such a trace are
	// on-demand. See markets for the rule.
	mixed traceMarket = "mixed"
)

func traceMarkets() []traceMarket { return []traceMarket{allSpot, allOnDemand, mixed} }

// withMarkets turns a's changes into those that a run replays, with gpus GPUs a
// node and each node's market.
//
// In a mixed trace a joining node is spot while fewer spot nodes are up than
// the parent trace has nodes at that instant (its changes of that instant
// included, its last fleet after its end), and on-demand beyond that. The
// market is fixed when the node joins; nodes that join together are looked at
// in the order of the trace.
func (a Availability) withMarkets(market traceMarket, parent Availability, gpus int) []experiment.Change {
	bought := make(map[string]cost.Market)
	spot := 0
	buy := func(node string, at vtime.Time) {
		if market == allSpot || market == mixed && spot < parent.size(at) {
			bought[node] = cost.Spot
			spot++
		} else {
			bought[node] = cost.OnDemand
		}
	}
	changes := make([]experiment.Change, 0, len(a.Changes))
	for _, c := range a.Changes {
		change := experiment.Change{At: c.At, Kind: c.Kind, RequiredThroughput: c.RequiredThroughput}
		for _, node := range c.Nodes {
			switch {
			case c.Kind == experiment.Add:
				buy(node, c.At)
			case bought[node] == cost.Spot:
				spot--
			}
			change.Instances = append(change.Instances, experiment.Instance{Node: node, Market: bought[node], GPUs: gpus})
		}
		changes = append(changes, change)
	}
	return changes
}

// size is the number of nodes that are up at an instant, its changes included.
func (a Availability) size(at vtime.Time) int {
	n := 0
	for _, c := range a.Changes {
		switch {
		case c.At > at:
			return n
		case c.Kind == experiment.Add:
			n += len(c.Nodes)
		case c.Kind == experiment.Remove:
			n -= len(c.Nodes)
		}
	}
	return n
}
