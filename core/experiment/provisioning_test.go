package experiment_test

import (
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
)

func TestOnDemandNodes(t *testing.T) {
	p := experiment.Provisioning{MaxInstances: 12}
	if got := p.OnDemandNodes(); got != nil {
		t.Errorf("%v, without on-demand instances", got)
	}
	p.OnDemand = true
	got := p.OnDemandNodes()
	if len(got) != 12 || !slices.IsSortedFunc(got, topology.CompareNodes) || len(slices.Compact(slices.Clone(got))) != 12 {
		t.Errorf("%v, want 12 names in node order", got)
	}
}
