package migrate_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

const setup = 500 * time.Millisecond

// planner plans over links of 1000 bytes/s and disks of 100 bytes/s a GPU.
func planner() migrate.Planner {
	return migrate.Planner{
		Geometry:    geometry,
		Instance:    cost.InstanceType{InterNodeBytesPerSecond: 1000, IntraNodeBytesPerSecond: 1000},
		Engine:      cost.EngineCosts{MigrationSetup: setup, DiskBytesPerSecond: 100},
		MemoryAware: true,
	}
}

// randomTask moves between random configurations over random nodes: some of
// what was held is lost or stems from elsewhere, some nodes leave, and
// sometimes only part of the pipelines is placed.
func randomTask(r *rand.Rand) migrate.Task {
	config := func() topology.ParallelConfig {
		return topology.ParallelConfig{Data: 1 + r.IntN(3), Pipeline: 1 + r.IntN(4), Tensor: 1 << r.IntN(4)}
	}
	old := config()
	held := place(old, 0)
	r.Shuffle(len(held), func(i, j int) { held[i].Position, held[j].Position = held[j].Position, held[i].Position })
	if r.IntN(2) == 0 {
		held = held[:r.IntN(len(held)+1)]
	}
	t := migrate.Task{Begin: vtime.Seconds(100), Config: config(), Held: holdings(old, held), Leaving: make(map[string]vtime.Time)}
	if r.IntN(4) == 0 && len(held) > 0 {
		other := config()
		d := held[r.IntN(len(held))].Device
		t.Held.Put(migrate.Holding{Device: d, Pipeline: 7, Model: geometry.Region(other, topology.PositionOf(other, r.IntN(other.Devices())))})
	}
	t.Placements = place(t.Config, r.IntN(8))
	if r.IntN(4) == 0 {
		first := r.IntN(t.Config.Data)
		t.Placements = slices.DeleteFunc(t.Placements, func(p topology.Placement) bool { return p.Position.Data < first })
	}
	heirs := r.Perm(t.Config.Data)
	for i, from := range r.Perm(old.Data)[:r.IntN(old.Data+1)] {
		if i < len(heirs) {
			t.Inherit = append(t.Inherit, migrate.Inheritance{From: from, To: heirs[i], Tokens: r.IntN(5) * r.IntN(50)})
		}
	}
	if r.IntN(2) == 0 {
		for range r.IntN(4) {
			t.Leaving[fmt.Sprintf("node-%d", r.IntN(12))] = vtime.Seconds(100 + 10*r.Float64())
		}
	}
	return t
}

// randomBound is no bound at all, or one between less than a cell and more than
// a device's share.
func randomBound(r *rand.Rand) int64 {
	return []int64{0, 70, 100, 300, 800, 3000}[r.IntN(6)]
}

// TestPlansStandUpToTheirTwin follows the plans of random tasks step by step.
func TestPlansStandUpToTheirTwin(t *testing.T) {
	var bounded, reloading, giving int
	for seed := range uint64(2000) {
		r := draw.Stream(seed, "tasks")
		task, p := randomTask(r), planner()
		p.BufferBytes, p.MemoryAware = randomBound(r), r.IntN(5) > 0
		p.Instance.IntraNodeBytesPerSecond = 300 + 3000*r.Float64()
		plan := p.Plan(task)
		if f := fault(p, task, plan); f != "" {
			t.Fatalf("seed %d: %s\nbound %d, memory-aware %t, task %+v\nheld %+v\nplan %+v",
				seed, f, p.BufferBytes, p.MemoryAware, task, task.Held.All(), plan)
		}
		if again := p.Plan(task); !reflect.DeepEqual(plan, again) {
			t.Fatalf("seed %d: planned %+v, then %+v", seed, plan, again)
		}
		if plan.PeakBufferBytes > 0 && p.BufferBytes > 0 {
			bounded++
		}
		if plan.DiskBytes > 0 {
			reloading++
		}
		if slices.Contains(plan.Kept, false) {
			giving++
		}
	}
	// The tasks must reach the corners.
	if min(bounded, reloading, giving) < 200 {
		t.Errorf("%d plans used their buffer, %d reloaded, %d gave a cache up: the tasks are too tame", bounded, reloading, giving)
	}
}

// TestLayersGoInMemoryOptimisedOrder plays Algorithm 2 by its definition: as
// long as the buffers allow layer by layer, then the one that fills the
// fullest device least.
func TestLayersGoInMemoryOptimisedOrder(t *testing.T) {
	var reordered int
	for seed := range uint64(1000) {
		r := draw.Stream(seed, "orders")
		task, p := randomTask(r), planner()
		task.Inherit, task.Leaving = nil, nil
		p.BufferBytes = 800
		want, feasible := layerOrder(p, task)
		if !feasible {
			continue // devices have to drop what they hold
		}
		var got []int
		for _, s := range p.Plan(task).Steps {
			if len(got) == 0 || got[len(got)-1] != s.Layer {
				got = append(got, s.Layer)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: layers go in the order %v, want %v", seed, got, want)
		}
		if !slices.IsSorted(want) {
			reordered++
		}
	}
	if reordered < 20 {
		t.Errorf("only %d tasks called for another order: the tasks are too tame", reordered)
	}
}

func layerOrder(p migrate.Planner, task migrate.Task) (order []int, feasible bool) {
	type change struct{ gets, frees int64 }
	changes := make([]map[topology.Device]change, geometry.Layers)
	buffer := make(map[topology.Device]int64)
	for l := range changes {
		changes[l] = make(map[topology.Device]change)
		row := migrate.Region{FirstLayer: l, EndLayer: l + 1, EndLeaf: geometry.Leaves}
		for d, need := range needs(geometry, task) {
			own, _ := task.Held.Of(d)
			kept := row.Intersect(need).Intersect(own.Model).Cells()
			c := change{row.Intersect(need).Cells() - kept, row.Intersect(own.Model).Cells() - kept}
			changes[l][d] = change{c.gets * geometry.CellBytes, c.frees * geometry.CellBytes}
			buffer[d] = min(own.Model.Cells()-need.Cells(), 0) * geometry.CellBytes
		}
	}
	fullest := func(l int) int64 {
		most := int64(-1 << 60)
		for d, c := range changes[l] {
			if c.gets > 0 {
				most = max(most, buffer[d]+c.gets)
			}
		}
		return most
	}
	take := func(l int) {
		if fullest(l) > -1<<60 {
			order = append(order, l)
			feasible = feasible && fullest(l) <= p.BufferBytes
		}
		for d, c := range changes[l] {
			buffer[d] += c.gets - c.frees
		}
	}
	feasible = true
	var moving, skipped []int
	for l := range changes {
		if fullest(l) == -1<<60 {
			take(l) // nobody waits for it
		} else {
			moving = append(moving, l)
		}
	}
	for _, l := range moving {
		if fullest(l) <= p.BufferBytes {
			take(l)
		} else {
			skipped = append(skipped, l)
		}
	}
	for len(skipped) > 0 {
		l := slices.MinFunc(skipped, func(a, b int) int { return int(fullest(a) - fullest(b)) })
		take(l)
		skipped = slices.DeleteFunc(skipped, func(x int) bool { return x == l })
	}
	return order, feasible
}

// TestEstimateIsMetamorphic: without deadlines, more bytes never take less, and
// more bandwidth never takes longer.
func TestEstimateIsMetamorphic(t *testing.T) {
	fast, fastDisk, heavy, moreCache := planner(), planner(), planner(), planner()
	fast.Instance.InterNodeBytesPerSecond *= 2
	fast.Instance.IntraNodeBytesPerSecond *= 2
	fastDisk.Engine.DiskBytesPerSecond *= 2
	heavy.Geometry.CellBytes *= 2
	moreCache.Geometry.CacheCellBytes *= 2
	for seed := range uint64(500) {
		r := draw.Stream(seed, "metamorphic")
		task := randomTask(r)
		task.Leaving = nil
		base := planner()
		base.BufferBytes = randomBound(r)
		estimate := base.Plan(task).Estimate
		for name, p := range map[string]migrate.Planner{"double bandwidth": fast, "double disk": fastDisk} {
			p.BufferBytes = base.BufferBytes
			if got := p.Plan(task).Estimate; got > estimate {
				t.Fatalf("seed %d: %s: %s, was %s", seed, name, got, estimate)
			}
		}
		base.BufferBytes = 0
		estimate = base.Plan(task).Estimate
		for name, p := range map[string]migrate.Planner{"double weights": heavy, "double cache": moreCache} {
			if got := p.Plan(task).Estimate; got < estimate {
				t.Fatalf("seed %d: %s: %s, was %s", seed, name, got, estimate)
			}
		}
	}
}

// TestALargerBufferNeverReloadsMore: without deadlines, an unbounded plan
// reloads no more than a bounded one and keeps no fewer caches.
func TestALargerBufferNeverReloadsMore(t *testing.T) {
	for seed := range uint64(500) {
		task := randomTask(draw.Stream(seed, "buffers"))
		task.Leaving = nil
		free := planner().Plan(task)
		for _, bytes := range []int64{70, 300, 800} {
			p := planner()
			p.BufferBytes = bytes
			tight := p.Plan(task)
			if free.DiskBytes > tight.DiskBytes {
				t.Fatalf("seed %d: %d bytes reloaded without a bound, %d with %d", seed, free.DiskBytes, tight.DiskBytes, bytes)
			}
			for i, kept := range tight.Kept {
				if kept && !free.Kept[i] {
					t.Fatalf("seed %d: cache %d is kept with a bound of %d only", seed, i, bytes)
				}
			}
		}
	}
}

// TestMoreHoldersNeverMakeASourceBusier gives one newcomer more and more
// replicas to get its weights from.
func TestMoreHoldersNeverMakeASourceBusier(t *testing.T) {
	replica := migrate.NewHoldings()
	before := int64(8001)
	for replicas := range 8 {
		replica.Put(migrate.Holding{Device: dev(fmt.Sprintf("node-%d", replicas)), Model: geometry.Region(whole, topology.DevicePosition{})})
		plan := planner().Plan(migrate.Task{Config: whole, Placements: on(whole, dev("new")), Held: replica})
		var most int64
		for _, bytes := range sent(plan, migrate.ModelContext) {
			most = max(most, bytes)
		}
		if share := int64(8000/(replicas+1) + 100); most > share || most > before {
			t.Errorf("%d replicas: one sends %d bytes, want at most %d, and %d before", replicas+1, most, share, before)
		}
		before = most
	}
}
