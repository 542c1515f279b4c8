package assign_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/spotserve/spotserve/core/assign"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

func BenchmarkMaxWeight(b *testing.B) {
	for _, kind := range []struct {
		name   string
		weight func(n int) func(r *rand.Rand, i, j int) int64
	}{
		{"random", func(int) func(*rand.Rand, int, int) int64 {
			return func(r *rand.Rand, _, _ int) int64 { return r.Int64N(1e12) }
		}},
		// Half of the nodes hold the first half of the layers, a third of the
		// groups want each third of them, and a tenth of the nodes is new.
		{"blocks", func(n int) func(*rand.Rand, int, int) int64 {
			return func(_ *rand.Rand, i, j int) int64 {
				if j%10 == 9 {
					return 0
				}
				return [2][3]int64{{15, 7, 0}, {0, 8, 14}}[j%2][i*3/n] * 1e9
			}
		}},
	} {
		for _, n := range []int{10, 100, 1000} {
			weights := matrix(draw.Stream(1, "bench"), n, n, kind.weight(n))
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				for b.Loop() {
					assign.MaxWeight(weights)
				}
			})
		}
	}
}

// BenchmarkMap maps a change of all degrees of parallelism of GPT-20B on a
// fleet of which one node in twenty has just been replaced; every new pipeline
// inherits a batch.
func BenchmarkMap(b *testing.B) {
	model := cost.Model{Layers: 44, WeightBytes: 74_500_000_000, KVBytesPerToken: 2 * 44 * 6144 * 4}
	mapper := assign.KuhnMunkres{Geometry: migrate.NewGeometry(model, 8)}
	for _, fleet := range []struct{ nodes, gpus int }{{10, 4}, {50, 4}, {100, 8}, {1000, 8}} {
		n := fleet.nodes * fleet.gpus
		thirds := topology.ParallelConfig{Data: n / 12, Pipeline: 3, Tensor: 4}
		halves := topology.ParallelConfig{Data: n / 16, Pipeline: 2, Tensor: 8}
		for _, change := range []struct {
			name     string
			from, to topology.ParallelConfig
		}{{"deeper to wider", thirds, halves}, {"wider to deeper", halves, thirds}, {"same", thirds, thirds}} {
			r := assign.Request{Config: change.to, Held: migrate.NewHoldings()}
			rank := 0
			for i := range fleet.nodes {
				name := fmt.Sprintf("node-%d", i)
				if i%20 == 7 {
					name = fmt.Sprintf("node-%d", fleet.nodes+i)
				}
				for gpu := range fleet.gpus {
					d := topology.Device{Node: name, GPU: gpu}
					r.Devices = append(r.Devices, d)
					if rank < change.from.Devices() && i%20 != 7 {
						p := topology.PositionOf(change.from, rank)
						r.Held.Put(migrate.Holding{Device: d, Pipeline: p.Data, Model: mapper.Geometry.Region(change.from, p)})
					}
					rank++
				}
			}
			for to := range min(change.from.Data, change.to.Data) {
				r.Inherit = append(r.Inherit, migrate.Inheritance{From: change.from.Data - 1 - to, To: to, Tokens: 2400 - to})
			}
			b.Run(fmt.Sprintf("%dx%d/%s", fleet.nodes, fleet.gpus, change.name), func(b *testing.B) {
				for b.Loop() {
					if mapper.Map(r) == nil {
						b.Fatal("no mapping")
					}
				}
			})
		}
	}
}
