package fleet

// Hush marks nodes whose workers do not answer. They count for nothing until
// they are heard again.
func (m *InstanceManager) Hush(nodes []string) {
	for _, name := range nodes {
		if n := m.nodes[name]; n != nil && n.State != Gone {
			n.Silent = true
		}
	}
}

// Hear takes a node in again whose worker answers, and reports whether the node
// is here.
func (m *InstanceManager) Hear(node string) (here bool) {
	n := m.nodes[node]
	if n == nil {
		return false
	}
	n.Silent = false
	return n.present()
}
