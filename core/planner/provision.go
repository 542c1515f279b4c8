package planner

import (
	"slices"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/fleet"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// provisioning is what the planner has asked the cloud for.
type provisioning struct {
	wanted int        // instances
	since  vtime.Time // from when fewer would do; vtime.Never if not
}

// closedLoop reports whether the planner decides on the fleet.
func (m *MetaContextManager) closedLoop() bool { return m.spec.Provision == experiment.ClosedLoop }

// idles reports whether the controller may leave instances without work.
func (m *MetaContextManager) idles() bool {
	return m.closedLoop() || m.spec.Objective == experiment.MeetSLO || m.spec.Objective == experiment.MinCost
}

// provision tells the cloud which fleet is wanted (Algorithm 1, lines 6 to 10): as
// many instances as the best configuration takes, within MaxInstances, and the
// candidate pool beyond them, which makes substitutions fast. What it has asked
// for counts as had: it says the number wanted, not the difference.
//
// Fewer are wanted only when fewer have done for as long as an instance takes
// to come back.
func (m *MetaContextManager) provision() {
	if !m.closedLoop() || m.finished {
		return
	}
	p := m.spec.Provisioning
	wanted := m.instancesNeeded()
	if wanted > 0 {
		wanted = min(p.MaxInstances, wanted+p.CandidatePool)
	}
	asked := m.asked.wanted
	switch {
	case wanted >= asked:
		m.asked.since = vtime.Never
		m.asked.wanted = wanted
	case m.asked.since == vtime.Never:
		m.asked.since = m.emit.Now
	}
	if m.asked.since != vtime.Never {
		if due := m.asked.since.Add(max(p.SpotStart, p.OnDemandStart)); due > m.emit.Now {
			m.emit.Timer(timerShrink, due)
		} else {
			m.asked.since, m.asked.wanted = vtime.Never, wanted
		}
	}
	release := m.surplus()
	if m.asked.wanted == asked && len(release) == 0 {
		return
	}
	m.fleet.Notice(release, m.emit.Now)
	m.command(event.SourceCloud, event.RequestFleet{
		Instances: m.asked.wanted, OnDemand: p.OnDemand, Release: release,
	})
}

// instancesNeeded is how many instances the required throughput takes, now and
// as far as it is known ahead.
func (m *MetaContextManager) instancesNeeded() int {
	now := m.emit.Now
	most := m.needAt(now)
	for _, at := range m.required.after(now) {
		most = max(most, m.needAt(at))
	}
	return most
}

// needAt is how many instances the best configuration takes at an instant, if any
// number up to the most can be had.
func (m *MetaContextManager) needAt(at vtime.Time) int {
	request := m.request(m.mostGPUs(), at)
	if m.policy.shape == adaptive || m.shape.IsZero() {
		return m.best(request).Best.Instances
	}
	return m.controller.Fixed(m.shape, request).Best.Instances
}

// mostGPUs is the largest fleet that the run can have.
func (m *MetaContextManager) mostGPUs() int {
	if m.closedLoop() {
		return m.spec.Provisioning.MaxInstances * m.spec.Instance.GPUs
	}
	return m.spec.LargestFleet
}

// surplus lists the instances to give back: on-demand ones first, and of each
// market those that have not come yet, then the last by name. An instance that
// works is none, nor is one whose joining is announced; and nothing is given
// back while a reconfiguration goes on.
//
// An on-demand instance is surplus when as many as are wanted have joined
// without it: it stands in for spot instances until they are here. Spot instances
// are when there are more of them than are wanted.
func (m *MetaContextManager) surplus() (release []string) {
	if m.phase != steady || m.adding {
		return nil
	}
	works := make(map[string]bool)
	for _, p := range m.deployed.placements {
		works[p.Device.Node] = true
	}
	var onDemand, spot []fleet.Node // that may be given back, in the order to do so
	joined, spots := 0, 0
	for _, n := range m.fleet.All() {
		if n.Leaves != vtime.Never {
			continue
		}
		if n.State == fleet.Ready {
			joined++
		}
		if n.Market == cost.Spot {
			spots++
		}
		switch {
		case works[n.Name] || n.State == fleet.Booting:
		case n.Market == cost.Spot:
			spot = append(spot, n)
		default:
			onDemand = append(onDemand, n)
		}
	}
	comingFirst(onDemand)
	comingFirst(spot)
	for _, n := range onDemand {
		if n.State == fleet.Ready {
			if joined <= m.asked.wanted {
				break
			}
			joined--
		} else if joined < m.asked.wanted {
			continue
		}
		release = append(release, n.Name)
	}
	for _, n := range spot[:min(len(spot), max(0, spots-m.asked.wanted))] {
		release = append(release, n.Name)
	}
	return release
}

// comingFirst orders nodes: those that have not joined, then by name, last first.
func comingFirst(nodes []fleet.Node) {
	slices.Reverse(nodes)
	slices.SortStableFunc(nodes, func(a, b fleet.Node) int {
		switch coming := a.State == fleet.Requested; {
		case coming == (b.State == fleet.Requested):
			return 0
		case coming:
			return -1
		default:
			return 1
		}
	})
}

// spotFirst leaves out on-demand nodes that a configuration of so many GPUs can
// do without, idle ones first: an on-demand instance works only where spot
// instances do not suffice.
func (m *MetaContextManager) spotFirst(nodes []fleet.Node, gpus int) []fleet.Node {
	if gpus == 0 {
		return nodes
	}
	works := make(map[string]bool)
	for _, p := range m.deployed.placements {
		works[p.Device.Node] = true
	}
	total := 0
	for _, n := range nodes {
		total += n.GPUs
	}
	out := make(map[string]bool)
	for _, working := range []bool{false, true} {
		for _, n := range slices.Backward(nodes) {
			if n.Market == cost.OnDemand && works[n.Name] == working && total-n.GPUs >= gpus {
				out[n.Name] = true
				total -= n.GPUs
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n fleet.Node) bool { return out[n.Name] })
}

// kept lists the running pipelines that can stay on nodes, as many as config has
// where instances may idle: those with the fewest on-demand nodes first.
func (m *MetaContextManager) kept(config topology.ParallelConfig, nodes []fleet.Node) []*pipeline {
	out := m.untouched(nodes)
	if !m.idles() || len(out) <= config.Data {
		return out
	}
	onDemand := func(p *pipeline) (count int) {
		for _, n := range nodes {
			if n.Market == cost.OnDemand && slices.Contains(p.nodes, n.Name) {
				count++
			}
		}
		return count
	}
	slices.SortStableFunc(out, func(a, b *pipeline) int { return onDemand(a) - onDemand(b) })
	out = out[:config.Data]
	slices.SortFunc(out, func(a, b *pipeline) int { return a.index - b.index })
	return out
}
