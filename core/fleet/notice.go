package fleet

import "github.com/spotserve/spotserve/core/vtime"

// Cancel takes the deadlines of nodes back and returns those that had one: they
// stay.
func (m *InstanceManager) Cancel(nodes []string) (staying []string) {
	for _, name := range nodes {
		n := m.nodes[name]
		if n == nil || n.State == Gone || n.Leaves == vtime.Never {
			continue
		}
		n.Leaves = vtime.Never
		if n.State == GracePeriod {
			n.State = Ready
		}
		staying = append(staying, name)
	}
	return staying
}

// Recommend marks nodes that are more likely to go than others, for as long as
// they stay.
func (m *InstanceManager) Recommend(nodes []string) {
	for _, name := range nodes {
		if n := m.nodes[name]; n != nil {
			n.AtRisk = true
		}
	}
}

// WithoutRisk leaves out the nodes at risk, the last first, as long as the
// others have so many GPUs.
func WithoutRisk(nodes []Node, gpus int) []Node {
	spare, risky := -gpus, false
	for _, n := range nodes {
		spare += n.GPUs
		risky = risky || n.AtRisk
	}
	if !risky {
		return nodes
	}
	keep := make([]bool, len(nodes))
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		keep[i] = !n.AtRisk || n.GPUs > spare
		if !keep[i] {
			spare -= n.GPUs
		}
	}
	var out []Node
	for i, n := range nodes {
		if keep[i] {
			out = append(out, n)
		}
	}
	return out
}
