package planner

// silent goes on without nodes whose workers do not answer: as if they were
// lost, but for the bill, which the cloud still writes.
func (m *MetaContextManager) silent(nodes []string) {
	m.fleet.Hush(nodes)
	m.strike(nodes)
}

// rejoined takes a node in again, with nothing on it. A worker that was replaced
// before anybody missed it has lost as much.
func (m *MetaContextManager) rejoined(node string) {
	if m.fleet.Hear(node) {
		m.strike([]string{node})
	}
}
