package planner

import (
	"slices"
	"strings"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// timerGone begins the names of the timers after the deadlines of notices from
// outside; the node's name follows.
const timerGone = "gone/"

// goneAfter is how long after its deadline a node may still say that it is lost.
// Who says so runs on the instance that goes, so it may never come.
const goneAfter = 2 * time.Second

// noticed takes a notice of preemption. The replayer and the cloud of a run say
// when a node is lost; a notice source may not live to say it.
func (m *MetaContextManager) noticed(b event.PreemptionNoticed, outside bool) {
	nodes := m.fleet.Notice(b.Nodes, b.Deadline)
	if outside {
		for _, node := range nodes {
			m.emit.Timer(timerGone+node, b.Deadline.Add(goneAfter))
		}
	}
	m.consider()
}

// gone loses a node whose deadline has passed without a word.
func (m *MetaContextManager) gone(timer string) {
	node := strings.TrimPrefix(timer, timerGone)
	if deadline, leaving := m.fleet.Leaving()[node]; leaving && deadline <= m.emit.Now {
		m.fact(event.InstanceLost{Nodes: []string{node}})
		m.lose([]string{node})
	}
}

// cancelled takes notices of preemption back. What is arranged and has not
// begun is called off; what has begun goes on, to a plan that counts the nodes
// in.
func (m *MetaContextManager) cancelled(nodes []string) {
	staying := m.fleet.Cancel(nodes)
	for _, node := range staying {
		m.emit.Timer(timerGone+node, vtime.Never)
	}
	switch {
	case len(staying) == 0:
		return
	case m.phase == arranging && m.deployed.whole():
		m.callOff()
	case m.phase == arranging && !m.change.goal.acquisition:
		// Pipelines have exited, and nothing is worth waiting for any more.
		m.deployed.broken = true
	}
	m.consider()
}

// callOff lets the pipelines that are arranged to stop run on.
func (m *MetaContextManager) callOff() {
	for _, p := range m.deployed.alive() {
		if slices.Contains(m.change.goal.stopping, p.index) {
			m.command(p.leader, event.ArrangeInterruption{
				Epoch: p.epoch, Pipeline: p.index, Acquisition: true, At: vtime.Never,
			})
		}
	}
	m.phase = steady
	m.change = change{}
}

// crossed makes the deployment whole again after a pipeline has exited while its
// arrangement was called off.
func (m *MetaContextManager) crossed() {
	m.deployed.broken = true
	if m.phase == starting && m.deployed.started() {
		m.settle()
		return
	}
	m.consider()
}

// whole reports whether every pipeline of the deployment lives.
func (d *deployment) whole() bool {
	return !slices.ContainsFunc(d.placements, func(p topology.Placement) bool { return d.pipelines[p.Position.Data] == nil })
}
