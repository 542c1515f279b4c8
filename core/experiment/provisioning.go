package experiment

import "strconv"

// OnDemandNodes names the on-demand instances that a closed loop can hold, in
// node order; none where it may not ask for any. Names are given again once
// their instance is gone. Spec.Nodes lists them after the nodes of the trace,
// none of which may have such a name.
func (p Provisioning) OnDemandNodes() []string {
	if !p.OnDemand {
		return nil
	}
	out := make([]string, max(0, p.MaxInstances))
	for i := range out {
		out[i] = "od-" + strconv.Itoa(i)
	}
	return out
}
