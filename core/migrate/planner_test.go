package migrate_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// direct plans over links of 1000 bytes/s and disks of 100 bytes/s a GPU.
func direct() migrate.Direct {
	return migrate.Direct{
		Geometry: geometry,
		Instance: cost.InstanceType{InterNodeBytesPerSecond: 1000, IntraNodeBytesPerSecond: 1000},
		Engine:   cost.EngineCosts{MigrationSetup: 500 * time.Millisecond, DiskBytesPerSecond: 100},
	}
}

// place fills config in rank order with nodes of two GPUs, the first given.
func place(config topology.ParallelConfig, first int) []topology.Placement {
	out := make([]topology.Placement, config.Devices())
	for rank := range out {
		out[rank] = topology.Placement{
			Device:   topology.Device{Node: fmt.Sprintf("node-%d", first+rank/2), GPU: rank % 2},
			Position: topology.PositionOf(config, rank),
		}
	}
	return out
}

func holdings(config topology.ParallelConfig, placements []topology.Placement) *migrate.Holdings {
	h := migrate.NewHoldings()
	for _, p := range placements {
		h.Put(migrate.Holding{Device: p.Device, Pipeline: p.Position.Data, Model: geometry.Region(config, p.Position)})
	}
	return h
}

func TestNothingMovesWhenAllIsInPlace(t *testing.T) {
	config := topology.ParallelConfig{Data: 2, Pipeline: 2, Tensor: 2}
	plan := direct().Plan(migrate.Task{
		Config: config, Placements: place(config, 0), Held: holdings(config, place(config, 0)),
		Inherit: []migrate.Inheritance{{From: 0, To: 0, Tokens: 50}, {From: 1, To: 1, Tokens: 50}},
	})
	if len(plan.Steps) != 0 || plan.Estimate != 500*time.Millisecond {
		t.Errorf("%+v, want no steps and the set-up alone", plan)
	}
}

func TestTheDiskServesOnlyWhatNobodyHolds(t *testing.T) {
	config := topology.ParallelConfig{Data: 1, Pipeline: 2, Tensor: 2}
	task := migrate.Task{Config: config, Placements: place(config, 0), Held: migrate.NewHoldings()}
	plan := direct().Plan(task)
	// Four devices load 20 cells of 100 bytes each, at 100 bytes/s.
	if plan.DiskBytes != 8000 || plan.ModelBytes != 0 || plan.Estimate != 20*time.Second+500*time.Millisecond {
		t.Errorf("with nothing held: %+v", plan)
	}
	for _, s := range plan.Steps {
		if !s.FromDisk() {
			t.Errorf("%+v does not come from disk", s)
		}
	}
	// Node 0 still has the first stage on its two GPUs.
	task.Held = holdings(config, place(config, 0)[:2])
	task.Placements = place(config, 10)
	plan = direct().Plan(task)
	if plan.DiskBytes != 4000 || plan.ModelBytes != 4000 || plan.InterNodeBytes != 4000 {
		t.Errorf("with half held: %+v, want 4000 bytes of each", plan)
	}
}

func TestSourcesAreNearFirstThenTheLeastLoaded(t *testing.T) {
	whole := topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: 1}
	dev := func(node string, gpu int) topology.Device { return topology.Device{Node: node, GPU: gpu} }
	held := migrate.NewHoldings()
	for _, d := range []topology.Device{dev("a", 0), dev("b", 0), dev("c", 0)} {
		held.Put(migrate.Holding{Device: d, Model: geometry.Region(whole, topology.DevicePosition{})})
	}
	from := func(to topology.Device) map[topology.Device]int64 {
		out := make(map[topology.Device]int64)
		for _, s := range direct().Plan(migrate.Task{
			Config: whole, Placements: []topology.Placement{{Device: to}}, Held: held,
		}).Steps {
			out[s.From] += s.Bytes
		}
		return out
	}
	if got := from(dev("b", 1)); len(got) != 1 || got[dev("b", 0)] != 8000 {
		t.Errorf("a GPU of node b gets %v, want all of it from its neighbour", got)
	}
	// Three replicas share the load to within a cell.
	got := from(dev("d", 0))
	for _, source := range []topology.Device{dev("a", 0), dev("b", 0), dev("c", 0)} {
		if got[source] < 2600 || got[source] > 2700 {
			t.Errorf("node d gets %v, want a third from each", got)
		}
	}
}

func TestCacheFollowsItsPipeline(t *testing.T) {
	// Two pipelines of one stage of two shards become one pipeline of two stages:
	// it inherits the batch of pipeline 1, whose devices are on node 1.
	old := topology.ParallelConfig{Data: 2, Pipeline: 1, Tensor: 2}
	config := topology.ParallelConfig{Data: 1, Pipeline: 2, Tensor: 2}
	plan := direct().Plan(migrate.Task{
		Config: config, Placements: place(config, 0), Held: holdings(old, place(old, 0)),
		Inherit: []migrate.Inheritance{{From: 1, To: 0, Tokens: 3}},
	})
	// Stage 0 on node 0 needs 5 layers by 8 leaves by 3 tokens from node 1; stage
	// 1 on node 1 has its part already.
	if plan.CacheBytes != 5*8*3 || plan.ModelBytes != 0 {
		t.Errorf("%+v, want 120 bytes of cache and no weights", plan)
	}
	for _, s := range plan.Steps {
		if s.Kind != migrate.CacheContext || s.From.Node != "node-1" || s.To.Node != "node-0" || s.Stage != 0 {
			t.Errorf("unexpected step %+v", s)
		}
	}
}

func TestDeadlinesAreTheEarlierOfBothEnds(t *testing.T) {
	config := topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: 2}
	task := migrate.Task{
		Config: config, Placements: place(config, 1), Held: holdings(config, place(config, 0)),
		Leaving: map[string]vtime.Time{"node-0": vtime.Seconds(30), "node-9": vtime.Seconds(1)},
	}
	plan := direct().Plan(task)
	for _, s := range plan.Steps {
		if s.Deadline != vtime.Seconds(30) {
			t.Errorf("%+v, want node-0's deadline", s)
		}
	}
	// 8000 bytes at 1000 bytes/s: 8 s.

	if plan.Estimate != 8*time.Second+setup {
		t.Errorf("estimated %s, want 8.5 s", plan.Estimate)
	}
	if plan.Missed(vtime.Seconds(22), setup) {
		t.Error("a plan that ends at its deadline misses it")
	}
	if !plan.Missed(vtime.Seconds(22)+1, setup) {
		t.Error("a plan that ends past its deadline makes it")
	}
	task.Leaving = nil
	if plan := direct().Plan(task); plan.Missed(vtime.Seconds(1e6), setup) {
		t.Error("a plan without deadlines misses one")
	}
}

// randomTask moves between random configurations over random nodes.
func randomTask(r *rand.Rand) (old topology.ParallelConfig, task migrate.Task) {
	config := func() topology.ParallelConfig {
		return topology.ParallelConfig{Data: 1 + r.IntN(3), Pipeline: 1 + r.IntN(4), Tensor: 1 << r.IntN(4)}
	}
	old = config()
	held := place(old, 0)
	r.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	task.Held = holdings(old, held[:r.IntN(len(held)+1)])
	task.Config = config()
	task.Placements = place(task.Config, r.IntN(8))
	for d := range min(task.Config.Data, old.Data, r.IntN(4)) {
		task.Inherit = append(task.Inherit, migrate.Inheritance{From: old.Data - 1 - d, To: d, Tokens: r.IntN(500)})
	}
	return old, task
}

// TestDirectMovesWhatIsMissingOnce follows every byte: a device gets exactly
// the weights that it needs and lacks, from devices that hold some of them,
// and cache comes before weights. The sums of the plan add up.
func TestDirectMovesWhatIsMissingOnce(t *testing.T) {
	r := draw.Stream(1, "tasks")
	for range 3000 {
		_, task := randomTask(r)
		plan := direct().Plan(task)
		missing := make(map[topology.Device]int64)
		for _, p := range task.Placements {
			need := geometry.Region(task.Config, p.Position)
			have, _ := task.Held.Of(p.Device)
			missing[p.Device] = (need.Cells() - need.Intersect(have.Model).Cells()) * geometry.CellBytes
		}
		var sum migrate.Plan
		weights := false
		for _, s := range plan.Steps {
			source, holds := task.Held.Of(s.From)
			switch {
			case s.Bytes <= 0 || s.From == s.To:
				t.Fatalf("empty step %+v", s)
			case s.Kind == migrate.CacheContext && (weights || !holds):
				t.Fatalf("cache step %+v after weights, or from a device without", s)
			case s.Kind == migrate.CacheContext:
				sum.CacheBytes += s.Bytes
			case s.FromDisk():
				sum.DiskBytes += s.Bytes
			default:
				sum.ModelBytes += s.Bytes
				if !holds || s.Bytes > source.Model.Cells()*geometry.CellBytes {
					t.Fatalf("%+v sends more than it holds: %+v", s, source)
				}
			}
			if s.From.Node != s.To.Node && !s.FromDisk() {
				sum.InterNodeBytes += s.Bytes
			}
			if s.Kind == migrate.ModelContext {
				weights = true
				missing[s.To] -= s.Bytes
			}
		}
		for d, bytes := range missing {
			if bytes != 0 {
				t.Fatalf("device %s still lacks %d bytes", d, bytes)
			}
		}
		if sum.CacheBytes != plan.CacheBytes || sum.DiskBytes != plan.DiskBytes ||
			sum.ModelBytes != plan.ModelBytes || sum.InterNodeBytes != plan.InterNodeBytes {
			t.Fatalf("steps add up to %+v, the plan says %+v", sum, plan)
		}
	}
}

// TestEstimateIsMetamorphic: more bytes never take less, and twice the
// bandwidth never takes longer.
func TestEstimateIsMetamorphic(t *testing.T) {
	r := draw.Stream(2, "tasks")
	fast := direct()
	fast.Instance.InterNodeBytesPerSecond *= 2
	fast.Instance.IntraNodeBytesPerSecond *= 2
	fastDisk := direct()
	fastDisk.Engine.DiskBytesPerSecond *= 2
	heavy := direct()
	heavy.Geometry.CellBytes *= 2
	moreCache := direct()
	moreCache.Geometry.CacheCellBytes *= 2
	for range 1000 {
		_, task := randomTask(r)
		estimate := direct().Plan(task).Estimate
		for name, p := range map[string]migrate.Direct{"double bandwidth": fast, "double disk": fastDisk} {
			if got := p.Plan(task).Estimate; got > estimate {
				t.Fatalf("%s: %s, was %s", name, got, estimate)
			}
		}
		for name, p := range map[string]migrate.Direct{"double weights": heavy, "double cache": moreCache} {
			if got := p.Plan(task).Estimate; got < estimate {
				t.Fatalf("%s: %s, was %s", name, got, estimate)
			}
		}
	}
}
