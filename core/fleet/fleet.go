// Package fleet is the instance manager: which nodes there are, which are
// coming, which are going and when.
package fleet

import (
	"slices"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// State is a phase of a node's life.
type State string

// The phases of a node's life, in order. Any phase may end in Gone without
// notice.
const (
	Requested   State = "requested"    // launched at our request, its joining is not announced
	Booting     State = "booting"      // will join at its due time
	Ready       State = "ready"        // at work or at hand
	GracePeriod State = "grace-period" // will go at its due time
	Gone        State = "gone"
)

// Node is one instance in the manager's books.
type Node struct {
	Name   string
	Market cost.Market
	GPUs   int
	State  State
	Joins  vtime.Time // when a booting node is due
	Leaves vtime.Time // its deadline; vtime.Never without notice
	Since  vtime.Time // when it joined
	AtRisk bool       // more likely to go than others
	Silent bool       // here, and paid for, but its worker does not answer
}

// Stay is a stretch of a node's life that has to be paid.
type Stay struct {
	Node   string
	Market cost.Market
	From   vtime.Time
	To     vtime.Time
}

// InstanceManager follows the fleet.
type InstanceManager struct {
	nodes map[string]*Node
	order []*Node // the same, in node order
}

// NewInstanceManager returns the manager of an empty fleet.
func NewInstanceManager() *InstanceManager {
	return &InstanceManager{nodes: make(map[string]*Node)}
}

// Launch books instances that the cloud starts, expected to join at due.
func (m *InstanceManager) Launch(instances []experiment.Instance, due vtime.Time) {
	for _, i := range instances {
		if n := m.nodes[i.Node]; n == nil || n.State == Gone {
			m.book(i, due).State = Requested
		}
	}
}

// Announce books instances that will join at due. Instances that are there
// already stay as they are.
func (m *InstanceManager) Announce(instances []experiment.Instance, due vtime.Time) {
	for _, i := range instances {
		switch n := m.nodes[i.Node]; {
		case n == nil || n.State == Gone:
			m.book(i, due)
		case n.State == Requested:
			n.State, n.Joins = Booting, due
		}
	}
}

// Join makes instances ready and returns those that are new.
func (m *InstanceManager) Join(instances []experiment.Instance, now vtime.Time) (joined []string) {
	for _, i := range instances {
		n := m.nodes[i.Node]
		if n == nil || n.State == Gone {
			n = m.book(i, now)
		}
		if n.present() {
			continue
		}
		n.State, n.Since = Ready, now
		if n.Leaves <= now {
			n.Leaves = vtime.Never // the notice was of another instance of this name
		}
		if n.Leaves != vtime.Never {
			n.State = GracePeriod
		}
		joined = append(joined, i.Node)
	}
	return joined
}

// book begins a life of a node that is not here.
func (m *InstanceManager) book(i experiment.Instance, joins vtime.Time) *Node {
	n := m.nodes[i.Node]
	if n == nil {
		n = new(Node)
		m.nodes[i.Node] = n
		at, _ := slices.BinarySearchFunc(m.order, i.Node, func(o *Node, name string) int { return topology.CompareNodes(o.Name, name) })
		m.order = slices.Insert(m.order, at, n)
	}
	*n = Node{Name: i.Node, Market: i.Market, GPUs: i.GPUs, State: Booting, Joins: joins, Leaves: vtime.Never}
	return n
}

// Notice gives nodes their deadline. The earliest of several notices counts. A
// node that has not joined yet keeps it for later. It returns the nodes whose
// deadline is new or earlier.
func (m *InstanceManager) Notice(nodes []string, deadline vtime.Time) (noticed []string) {
	for _, name := range nodes {
		n := m.nodes[name]
		if n == nil || n.State == Gone || n.Leaves <= deadline {
			continue
		}
		n.Leaves = deadline
		if n.State == Ready {
			n.State = GracePeriod
		}
		noticed = append(noticed, name)
	}
	return noticed
}

// Lose takes nodes out and returns the stays that ended with them.
func (m *InstanceManager) Lose(nodes []string, now vtime.Time) (ended []Stay) {
	for _, name := range nodes {
		n := m.nodes[name]
		if n == nil || n.State == Gone {
			continue
		}
		if n.present() {
			ended = append(ended, n.stay(now))
		}
		n.State = Gone
	}
	return ended
}

// Close returns the stays of all nodes that are present at the end of a run.
func (m *InstanceManager) Close(now vtime.Time) []Stay {
	var out []Stay
	for _, n := range m.All() {
		if n.present() {
			out = append(out, n.stay(now))
		}
	}
	return out
}

// present reports whether n has joined and not gone.
func (n *Node) present() bool {
	return n.State == Ready || n.State == GracePeriod
}

// stay ends at the latest at the node's deadline: what it stays beyond is free.
func (n *Node) stay(to vtime.Time) Stay {
	return Stay{Node: n.Name, Market: n.Market, From: n.Since, To: max(n.Since, min(to, n.Leaves))}
}

// All lists the nodes that are not gone, in node order.
func (m *InstanceManager) All() []Node {
	return m.filter(func(*Node) bool { return true })
}

// Staying lists the nodes that are here and have no deadline.
func (m *InstanceManager) Staying() []Node {
	return m.filter(func(n *Node) bool { return n.State == Ready && !n.Silent })
}

// Expected lists the nodes that will be here and stay once everything announced
// up to at has happened.
func (m *InstanceManager) Expected(at vtime.Time) []Node {
	return m.filter(func(n *Node) bool {
		return !n.Silent && (n.State == Ready || n.State == Booting && n.Joins <= at && n.Leaves == vtime.Never)
	})
}

// Coming reports whether any node is still to join.
func (m *InstanceManager) Coming() bool {
	return slices.ContainsFunc(m.order, func(n *Node) bool { return n.State == Requested || n.State == Booting })
}

// Leaving gives the deadlines of the nodes in their grace period.
func (m *InstanceManager) Leaving() map[string]vtime.Time {
	out := make(map[string]vtime.Time)
	for _, n := range m.filter(func(n *Node) bool { return n.State == GracePeriod }) {
		out[n.Name] = n.Leaves
	}
	return out
}

// Present lists the names of the nodes that are here, leaving or not.
func (m *InstanceManager) Present() []string {
	var out []string
	for _, n := range m.filter((*Node).present) {
		out = append(out, n.Name)
	}
	return out
}

// filter lists the nodes that are not gone and that keep wants, in node order.
func (m *InstanceManager) filter(keep func(*Node) bool) []Node {
	var out []Node
	for _, n := range m.order {
		if n.State != Gone && keep(n) {
			out = append(out, *n)
		}
	}
	return out
}

// Devices lists the GPUs of nodes, by device.
func Devices(nodes []Node) []topology.Device {
	var out []topology.Device
	for _, n := range nodes {
		for g := range n.GPUs {
			out = append(out, topology.Device{Node: n.Name, GPU: g})
		}
	}
	return out
}
