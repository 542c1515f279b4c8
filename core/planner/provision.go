package planner

import "github.com/spotserve/spotserve/core/experiment"

// closedLoop reports whether the planner decides on the fleet.
func (m *MetaContextManager) closedLoop() bool { return m.spec.Provision == experiment.ClosedLoop }
