package bench

import (
	"fmt"
	"testing"

	"github.com/spotserve/spotserve/core/assign"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/tune"
	"github.com/spotserve/spotserve/core/vtime"
)

// reconfiguration is GPT-20B on a fleet of which the first node leaves while a
// node joins, from pipelines of 2x8 GPUs to pipelines of 3x4: every stage and
// every shard changes.
type reconfiguration struct {
	spec       experiment.Spec
	controller *tune.ParallelizationController
	mapper     assign.KuhnMunkres
	planner    migrate.Planner
	request    assign.Request
	leaving    map[string]vtime.Time
}

func reconfigure(b *testing.B, nodes, gpus int) *reconfiguration {
	b.Helper()
	spec, _ := resolve(b, "20B", "As")
	spec.Instance.GPUs = gpus
	latency, err := cost.NewLatencyModel(spec.Model, spec.Profile)
	if err != nil {
		b.Fatal(err)
	}
	geometry := migrate.NewGeometry(spec.Model, latency.MaxTensor())
	r := &reconfiguration{
		spec: spec,
		controller: tune.NewParallelizationController(latency, cost.MemoryModel{
			Model: spec.Model, MigrationBuffer: spec.MigrationBuffer, TokensPerSeq: spec.PromptTokens + spec.OutputTokens,
		}),
		mapper: assign.KuhnMunkres{Geometry: geometry},
		planner: migrate.Planner{
			Geometry: geometry, Instance: spec.Instance, Engine: spec.Engine, BufferBytes: spec.MigrationBuffer, MemoryAware: true,
		},
		leaving: map[string]vtime.Time{"node-0": vtime.Seconds(30)},
	}
	held := migrate.NewHoldings()
	before := topology.ParallelConfig{Data: nodes * gpus / 16, Pipeline: 2, Tensor: 8}
	for rank := range before.Devices() {
		position := topology.PositionOf(before, rank)
		held.Put(migrate.Holding{
			Device: device(rank, gpus), Pipeline: position.Data, Model: geometry.Region(before, position),
		})
	}
	after := topology.ParallelConfig{Data: nodes * gpus / 12, Pipeline: 3, Tensor: 4}
	r.request = assign.Request{Config: after, Held: held}
	for n := 1; n <= nodes; n++ {
		for g := range gpus {
			r.request.Devices = append(r.request.Devices, topology.Device{Node: fmt.Sprintf("node-%d", n), GPU: g})
		}
	}
	for p := range min(before.Data, after.Data) {
		r.request.Inherit = append(r.request.Inherit, migrate.Inheritance{From: p, To: p, Tokens: 4 * (512 + 64)})
	}
	return r
}

func device(rank, gpus int) topology.Device {
	return topology.Device{Node: fmt.Sprintf("node-%d", rank/gpus), GPU: rank % gpus}
}

func (r *reconfiguration) choose() tune.Choice {
	return r.controller.Choose(tune.Request{
		GPUs: len(r.request.Devices), RequiredThroughput: r.spec.RequiredThroughput,
		BatchLimit: r.spec.BatchLimit, PromptTokens: r.spec.PromptTokens, OutputTokens: r.spec.OutputTokens,
	})
}

func (r *reconfiguration) plan(placements []topology.Placement) migrate.Plan {
	return r.planner.Plan(migrate.Task{
		Config: r.request.Config, Placements: placements, Held: r.request.Held, Leaving: r.leaving, Inherit: r.request.Inherit,
	})
}

// BenchmarkPlanning makes one reconfiguration, cold: the mapping, the migration
// plan, and both together with the controller's decision.
func BenchmarkPlanning(b *testing.B) {
	for _, size := range []struct{ nodes, gpus int }{{10, 4}, {50, 4}, {100, 8}, {1000, 8}} {
		r := reconfigure(b, size.nodes, size.gpus)
		placements := r.mapper.Map(r.request)
		if len(placements) != r.request.Config.Devices() || len(r.plan(placements).Steps) == 0 {
			b.Fatal("the reconfiguration has no plan")
		}
		name := fmt.Sprintf("%dx%d", size.nodes, size.gpus)
		b.Run("map/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.mapper.Map(r.request)
			}
		})
		b.Run("migrate/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.plan(placements)
			}
		})
		b.Run("all/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.choose()
				r.plan(r.mapper.Map(r.request))
			}
		})
	}
}
