package obs_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spotserve/spotserve/platform/obs"
)

func TestConditionsAreAMetric(t *testing.T) {
	var ready obs.Readiness
	ready.Add("bus").Met()
	ready.Add("store")
	if err := testutil.CollectAndCompare(&ready, strings.NewReader(`
# HELP spotserve_condition_met Whether a condition of this process's readiness holds: 1, else 0. It is ready while all do.
# TYPE spotserve_condition_met gauge
spotserve_condition_met{condition="bus"} 1
spotserve_condition_met{condition="store"} 0
`)); err != nil {
		t.Error(err)
	}
}

func TestRegistryNamesTheBuild(t *testing.T) {
	families, err := obs.NewRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "spotserve_build_info" {
			labels := map[string]string{}
			for _, l := range f.GetMetric()[0].GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["version"] == "" || labels["schema"] == "" || !strings.HasPrefix(labels["goversion"], "go") {
				t.Errorf("the build is %v", labels)
			}
			return
		}
	}
	t.Error("nothing says what runs here")
}

func TestLeading(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	l, err := obs.NewLeading(reg, "sampler")
	if err != nil {
		t.Fatal(err)
	}
	mustShow := func(leads, taken string) {
		t.Helper()
		if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP spotserve_sampler_leader 1 while this process has the lease of its service and does the work, 0 while it stands by.
# TYPE spotserve_sampler_leader gauge
spotserve_sampler_leader `+leads+`
# HELP spotserve_sampler_leases_taken_total How often this process took the lease of its service, the first time included.
# TYPE spotserve_sampler_leases_taken_total counter
spotserve_sampler_leases_taken_total `+taken+`
`)); err != nil {
			t.Error(err)
		}
	}
	mustShow("0", "0")
	failure := errors.New("lost")
	if err := l.While(func(context.Context) error { mustShow("1", "1"); return failure })(t.Context()); !errors.Is(err, failure) {
		t.Errorf("it ends with %v", err)
	}
	mustShow("0", "1")
	if _, err := obs.NewLeading(reg, "sampler"); err == nil {
		t.Error("two leaders of one service in a process")
	}
}
