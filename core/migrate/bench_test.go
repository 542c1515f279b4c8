package migrate_test

import (
	"fmt"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// gpt20B is the published model on the published nodes.
func gpt20B(bufferBytes int64) migrate.Planner {
	model := cost.Model{Layers: 44, Hidden: 6144, WeightBytes: 74_500_000_000, KVBytesPerToken: 2 * 44 * 6144 * 4}
	const link = 50e9 / 8
	return migrate.Planner{
		Geometry:    migrate.NewGeometry(model, 8),
		Instance:    cost.InstanceType{GPUs: 4, InterNodeBytesPerSecond: link, IntraNodeBytesPerSecond: link},
		Engine:      cost.EngineCosts{MigrationSetup: setup, DiskBytesPerSecond: 0.5e9},
		BufferBytes: bufferBytes, MemoryAware: true,
	}
}

// onNodes fills config in rank order with nodes of gpus GPUs, the first given.
func onNodes(config topology.ParallelConfig, gpus, first int) []topology.Placement {
	out := make([]topology.Placement, config.Devices())
	for rank := range out {
		out[rank] = topology.Placement{
			Device:   topology.Device{Node: fmt.Sprintf("node-%d", first+rank/gpus), GPU: rank % gpus},
			Position: topology.PositionOf(config, rank),
		}
	}
	return out
}

// reshaping moves as many pipelines as nodes of gpus GPUs allow from 3x4 to
// 2x8: nearly every device gets most of its weights anew.
func reshaping(p migrate.Planner, nodes, gpus, leaving int) migrate.Task {
	before := topology.ParallelConfig{Data: nodes * gpus / 12, Pipeline: 3, Tensor: 4}
	after := topology.ParallelConfig{Data: (nodes - leaving) * gpus / 16, Pipeline: 2, Tensor: 8}
	held := migrate.NewHoldings()
	for _, x := range onNodes(before, gpus, 0) {
		held.Put(migrate.Holding{Device: x.Device, Pipeline: x.Position.Data, Model: p.Geometry.Region(before, x.Position)})
	}
	t := migrate.Task{Config: after, Placements: onNodes(after, gpus, leaving), Held: held, Leaving: map[string]vtime.Time{}}
	for n := range leaving {
		t.Leaving[fmt.Sprintf("node-%d", n)] = vtime.Seconds(30)
	}
	for d := range after.Data {
		t.Inherit = append(t.Inherit, migrate.Inheritance{From: d, To: d, Tokens: 4 * 600})
	}
	return t
}

func BenchmarkPlan(b *testing.B) {
	for _, size := range []struct{ nodes, gpus int }{{10, 4}, {50, 4}, {100, 8}, {1000, 8}} {
		b.Run(fmt.Sprintf("%dx%d", size.nodes, size.gpus), func(b *testing.B) {
			p := gpt20B(cost.DefaultMigrationBuffer)
			t := reshaping(p, size.nodes, size.gpus, 1)
			b.ReportAllocs()
			for b.Loop() {
				p.Plan(t)
			}
			b.ReportMetric(float64(len(p.Plan(t).Steps)), "steps")
		})
	}
}
