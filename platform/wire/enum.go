package wire

import (
	"strings"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/migrate"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

// enum pairs the numbers of the wire with core's names. A number or name that
// is not in it is an error: a field has a default only where its table names
// one for 0.
type enum[N ~int32, S ~string] []pair[N, S]

type pair[N ~int32, S ~string] struct {
	number N
	name   S
}

var (
	markets = enum[pb.Market, cost.Market]{
		{pb.Market_MARKET_SPOT, cost.Spot},
		{pb.Market_MARKET_ON_DEMAND, cost.OnDemand},
	}
	endReasons = enum[pb.EndReason, event.EndReason]{
		{pb.EndReason_END_REASON_TRACE, event.EndOfTrace},
		{pb.EndReason_END_REASON_STOPPED, event.Stopped},
	}
	contextKinds = enum[pb.ContextKind, migrate.ContextKind]{
		{pb.ContextKind_CONTEXT_KIND_MODEL, migrate.ModelContext},
		{pb.ContextKind_CONTEXT_KIND_CACHE, migrate.CacheContext},
	}
	experimentKinds = enum[pb.ExperimentKind, experiment.Kind]{
		{pb.ExperimentKind_EXPERIMENT_KIND_E2E, experiment.EndToEnd},
		{pb.ExperimentKind_EXPERIMENT_KIND_ONDEMAND, experiment.OnDemand},
		{pb.ExperimentKind_EXPERIMENT_KIND_WORKLOAD, experiment.Workload},
		{pb.ExperimentKind_EXPERIMENT_KIND_ABLATION, experiment.Ablation},
		{pb.ExperimentKind_EXPERIMENT_KIND_CUSTOM, experiment.Custom},
	}
	quirks = enum[pb.Quirks, experiment.Quirks]{
		{pb.Quirks_QUIRKS_NONE, experiment.QuirksNone},
		{pb.Quirks_QUIRKS_ARTIFACT, experiment.QuirksArtifact},
	}
	batchings = enum[pb.Batching, experiment.Batching]{
		{pb.Batching_BATCHING_POOLED, experiment.Pooled},
		{pb.Batching_BATCHING_IDLE_ONLY, experiment.IdleOnly},
		{pb.Batching_BATCHING_CONTINUOUS, experiment.Continuous},
	}
	objectives = enum[pb.Objective, experiment.Objective]{
		{pb.Objective_OBJECTIVE_UNSPECIFIED, ""},
		{pb.Objective_OBJECTIVE_LATENCY, experiment.MinLatency},
		{pb.Objective_OBJECTIVE_SLO, experiment.MeetSLO},
		{pb.Objective_OBJECTIVE_COST, experiment.MinCost},
	}
	computes = enum[pb.Compute, experiment.Compute]{
		{pb.Compute_COMPUTE_UNSPECIFIED, experiment.Profiled},
		{pb.Compute_COMPUTE_TRANSFORMER, experiment.Transformer},
	}
	provisions = enum[pb.Provision, experiment.Provision]{
		{pb.Provision_PROVISION_UNSPECIFIED, ""},
		{pb.Provision_PROVISION_REPLAY, experiment.Replay},
		{pb.Provision_PROVISION_CLOSED_LOOP, experiment.ClosedLoop},
	}
)

func (t enum[N, S]) out(c *check, field string, s S) N {
	for _, p := range t {
		if p.name == s {
			return p.number
		}
	}
	c.fail(field, "is %q: allowed are %s", s, t.allowed())
	return 0
}

func (t enum[N, S]) in(c *check, field string, n N) S {
	for _, p := range t {
		if p.number == n {
			return p.name
		}
	}
	if n == 0 {
		c.fail(field, "is missing: allowed are %s", t.allowed())
	} else {
		c.fail(field, "is number %d, which this build does not know: allowed are %s", n, t.allowed())
	}
	return ""
}

func (t enum[N, S]) allowed() string {
	var names []string
	for _, p := range t {
		if p.name != "" {
			names = append(names, string(p.name))
		}
	}
	return strings.Join(names, ", ")
}
