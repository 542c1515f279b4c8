package migrate_test

import (
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

var (
	whole  = topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: 1}
	halves = topology.ParallelConfig{Data: 1, Pipeline: 2, Tensor: 1}
)

func dev(node string) topology.Device { return topology.Device{Node: node} }

// held puts position rank of config on each device.
func held(config topology.ParallelConfig, devices ...topology.Device) *migrate.Holdings {
	h := migrate.NewHoldings()
	for rank, d := range devices {
		p := topology.PositionOf(config, rank)
		h.Put(migrate.Holding{Device: d, Pipeline: p.Data, Model: geometry.Region(config, p)})
	}
	return h
}

// on places position rank of config on each device.
func on(config topology.ParallelConfig, devices ...topology.Device) []topology.Placement {
	out := make([]topology.Placement, len(devices))
	for rank, d := range devices {
		out[rank] = topology.Placement{Device: d, Position: topology.PositionOf(config, rank)}
	}
	return out
}

// sent is the bytes of one kind by source.
func sent(plan migrate.Plan, kind migrate.ContextKind) map[topology.Device]int64 {
	out := make(map[topology.Device]int64)
	for _, s := range plan.Steps {
		if s.Kind == kind {
			out[s.From] += s.Bytes
		}
	}
	return out
}

func TestNothingMovesWhenAllIsInPlace(t *testing.T) {
	config := topology.ParallelConfig{Data: 2, Pipeline: 2, Tensor: 2}
	plan := planner().Plan(migrate.Task{
		Config: config, Placements: place(config, 0), Held: holdings(config, place(config, 0)),
		Inherit: []migrate.Inheritance{{From: 0, To: 0, Tokens: 50}, {From: 1, To: 1, Tokens: 50}},
	})
	if len(plan.Steps) != 0 || plan.Estimate != setup || plan.PeakBufferBytes != 0 || !slices.Equal(plan.Kept, []bool{true, true}) {
		t.Errorf("%+v, want no steps, the set-up alone, and both caches kept", plan)
	}
	want := []migrate.StageReady{{Pipeline: 0, Stage: 0}, {Pipeline: 0, Stage: 1}, {Pipeline: 1, Stage: 0}, {Pipeline: 1, Stage: 1}}
	if !slices.Equal(plan.Stages, want) {
		t.Errorf("stages %+v, want all ready at once", plan.Stages)
	}
}

func TestTheDiskServesOnlyWhatNobodyHolds(t *testing.T) {
	config := topology.ParallelConfig{Data: 1, Pipeline: 2, Tensor: 2}
	task := migrate.Task{Config: config, Placements: place(config, 0), Held: migrate.NewHoldings()}
	plan := planner().Plan(task)
	// Four devices load 20 cells of 100 bytes each, at 100 bytes/s.
	if plan.DiskBytes != 8000 || plan.ModelBytes != 0 || plan.Estimate != 20*time.Second+setup {
		t.Errorf("all replicas lost: %+v, want all from disk in 20 s", plan)
	}
	// Node 0 still has the first stage on its two GPUs.
	task.Held = holdings(config, place(config, 0)[:2])
	task.Placements = place(config, 10)
	plan = planner().Plan(task)
	if plan.DiskBytes != 4000 || plan.ModelBytes != 4000 || plan.InterNodeBytes != 4000 {
		t.Errorf("with half held: %+v, want 4000 bytes of each", plan)
	}
	// Both in parallel: 4000 bytes over node 0's link, and 20 s of disk.
	want := []migrate.StageReady{{Pipeline: 0, Stage: 0, After: 4 * time.Second}, {Pipeline: 0, Stage: 1, After: 20 * time.Second}}
	if !slices.Equal(plan.Stages, want) {
		t.Errorf("stages %+v, want %+v", plan.Stages, want)
	}
}

func TestSourcesAreNearFirstThenShared(t *testing.T) {
	replicas := held(topology.ParallelConfig{Data: 3, Pipeline: 1, Tensor: 1}, dev("a"), dev("b"), dev("c"))
	from := func(to topology.Device, leaving map[string]vtime.Time) map[topology.Device]int64 {
		return sent(planner().Plan(migrate.Task{Config: whole, Placements: on(whole, to), Held: replicas, Leaving: leaving}), migrate.ModelContext)
	}
	if got := from(topology.Device{Node: "b", GPU: 1}, nil); len(got) != 1 || got[dev("b")] != 8000 {
		t.Errorf("a GPU of node b gets %v, want all of it from its neighbour", got)
	}
	got := from(dev("d"), nil)
	for _, source := range []string{"a", "b", "c"} {
		if got[dev(source)] < 2600 || got[dev(source)] > 2700 {
			t.Errorf("node d gets %v, want a third from each", got)
		}
	}
	// What leaves shares alike, but its step comes first in every layer.
	plan := planner().Plan(migrate.Task{
		Config: whole, Placements: on(whole, dev("d")), Held: replicas,
		Leaving: map[string]vtime.Time{"c": vtime.Seconds(30)},
	})
	for i, s := range plan.Steps {
		if first := i == 0 || plan.Steps[i-1].Layer != s.Layer; first != (s.From == dev("c")) {
			t.Errorf("step %d of layer %d comes from %s", i, s.Layer, s.From)
		}
	}
}

func TestTheNodeWithTheLeastTrafficSends(t *testing.T) {
	replicas := topology.ParallelConfig{Data: 2, Pipeline: 1, Tensor: 1}
	second := topology.Device{Node: "a", GPU: 1}
	for _, tt := range []struct {
		name  string
		task  migrate.Task
		other int64 // weights that a sends to the newcomer; b sends the rest
	}{
		{"both idle", migrate.Task{
			Config: whole, Placements: on(whole, dev("new")), Held: held(replicas, dev("a"), dev("b")),
		}, 4000},
		// The second GPU of a gets the upper half from c, 4000 bytes.
		{"a receives weights", migrate.Task{
			Config: halves, Placements: on(halves, dev("new"), second),
			Held: held(topology.ParallelConfig{Data: 2, Pipeline: 2, Tensor: 1}, dev("a"), dev("c"), dev("b")),
		}, 0},
		// Pipeline 2's batch moves from c to a: 8000 bytes.
		{"a receives a cache", migrate.Task{
			Config: replicas, Placements: on(replicas, dev("a"), dev("new")), Held: held(topology.ParallelConfig{Data: 3, Pipeline: 1, Tensor: 1}, dev("a"), dev("b"), dev("c")),
			Inherit: []migrate.Inheritance{{From: 2, To: 0, Tokens: 100}},
		}, 0},
	} {
		plan := planner().Plan(tt.task)
		var got int64
		for _, s := range plan.Steps {
			if s.Kind == migrate.ModelContext && s.From == dev("a") && s.To == dev("new") {
				got += s.Bytes
			}
		}
		if got != tt.other {
			t.Errorf("%s: a sends %d bytes, want %d", tt.name, got, tt.other)
		}
	}
}

func TestTiesGoToTheFirstDevice(t *testing.T) {
	cell := topology.ParallelConfig{Data: 1, Pipeline: 10, Tensor: 8}
	h := migrate.NewHoldings()
	for _, node := range []string{"node-10", "node-9", "node-11"} {
		h.Put(migrate.Holding{Device: dev(node), Model: geometry.Region(whole, topology.DevicePosition{})})
	}
	plan := planner().Plan(migrate.Task{Config: cell, Placements: on(cell, dev("new")), Held: h})
	if len(plan.Steps) != 1 || plan.Steps[0].From != dev("node-9") {
		t.Errorf("%+v, want one step from node-9", plan.Steps)
	}
}

func TestCacheFollowsItsPipeline(t *testing.T) {
	// Two pipelines of one stage of two shards become one pipeline of two stages:
	// it inherits the batch of pipeline 1, whose devices are on node 1.
	old := topology.ParallelConfig{Data: 2, Pipeline: 1, Tensor: 2}
	config := topology.ParallelConfig{Data: 1, Pipeline: 2, Tensor: 2}
	task := migrate.Task{
		Config: config, Placements: place(config, 0), Held: holdings(old, place(old, 0)),
		Inherit: []migrate.Inheritance{{From: 1, To: 0, Tokens: 3}},
	}
	plan := planner().Plan(task)
	// Stage 0 on node 0 needs 5 layers by 8 leaves by 3 tokens from node 1; stage
	// 1 on node 1 has its part already.
	if plan.CacheBytes != 5*8*3 || plan.ModelBytes != 0 || !plan.Kept[0] {
		t.Errorf("%+v, want 120 bytes of cache and no weights", plan)
	}
	for _, s := range plan.Steps {
		if s.Kind != migrate.CacheContext || s.From.Node != "node-1" || s.To.Node != "node-0" || s.Stage != 0 || s.Layer != -1 {
			t.Errorf("unexpected step %+v", s)
		}
	}
	// A cache with a hole is worth nothing, and so is one that nobody takes over.
	for name, spoil := range map[string]func(*migrate.Task){
		"a shard is lost": func(t *migrate.Task) { t.Held.Forget(place(old, 0)[2].Device) },
		"no heir":         func(t *migrate.Task) { t.Inherit[0].To = 1 },
	} {
		task.Held, task.Inherit = holdings(old, place(old, 0)), []migrate.Inheritance{{From: 1, To: 0, Tokens: 3}}
		spoil(&task)
		if plan := planner().Plan(task); plan.Kept[0] || plan.CacheBytes != 0 {
			t.Errorf("%s: %+v, want the cache given up", name, plan)
		}
	}
}

func TestAReplacedNodeGetsItsShareOnly(t *testing.T) {
	p := gpt20B(cost.DefaultMigrationBuffer)
	config := topology.ParallelConfig{Data: 2, Pipeline: 2, Tensor: 8}
	before := onNodes(config, 4, 0)
	after := slices.Clone(before)
	for i := range after {
		if after[i].Device.Node == "node-2" {
			after[i].Device.Node = "node-9"
		}
	}
	h := migrate.NewHoldings()
	for _, x := range before {
		h.Put(migrate.Holding{Device: x.Device, Pipeline: x.Position.Data, Model: p.Geometry.Region(config, x.Position)})
	}
	plan := p.Plan(migrate.Task{
		Config: config, Placements: after, Held: h, Leaving: map[string]vtime.Time{"node-2": vtime.Seconds(30)},
		Inherit: []migrate.Inheritance{{From: 0, To: 0, Tokens: 2400}, {From: 1, To: 1, Tokens: 2400}},
	})
	// A node has four of eight leaves of 22 of 44 layers.
	if share := p.Geometry.CellBytes * 4 * 22; plan.ModelBytes != share || plan.DiskBytes != 0 {
		t.Errorf("%d bytes of weights and %d from disk, want %d and none", plan.ModelBytes, plan.DiskBytes, share)
	}
	for _, s := range plan.Steps {
		if s.To.Node != "node-9" {
			t.Errorf("%+v, want all to go to the new node", s)
		}
	}
	ready := make(map[[2]int]time.Duration)
	for _, s := range plan.Stages {
		ready[[2]int{s.Pipeline, s.Stage}] = s.After
	}
	if ready[[2]int{0, 1}] == 0 || ready[[2]int{0, 0}] != 0 || ready[[2]int{1, 0}] != 0 || ready[[2]int{1, 1}] != 0 {
		t.Errorf("stages %+v, want all but the replaced one ready at once", plan.Stages)
	}
}

func TestThePublishedReshapingStaysWithinItsBuffer(t *testing.T) {
	p := gpt20B(cost.DefaultMigrationBuffer)
	task := reshaping(p, 9, 4, 1) // 2x3x4 of eight nodes to 2x2x8
	plan := p.Plan(task)
	p.BufferBytes = 0
	free := p.Plan(task)
	if plan.PeakBufferBytes > cost.DefaultMigrationBuffer || free.PeakBufferBytes <= cost.DefaultMigrationBuffer {
		t.Errorf("peak %d with U_max and %d without: want the one within it, the other not", plan.PeakBufferBytes, free.PeakBufferBytes)
	}
	if plan.DiskBytes != 0 || plan.ModelBytes != free.ModelBytes || slices.Contains(plan.Kept, false) {
		t.Errorf("%d bytes from disk, %d moved, kept %v: want none, %d and all", plan.DiskBytes, plan.ModelBytes, plan.Kept, free.ModelBytes)
	}
	// Early stages come first: they serve while later ones still receive.
	for i, s := range free.Stages[1:] {
		if before := free.Stages[i]; before.Pipeline == s.Pipeline && before.After >= s.After {
			t.Errorf("stage %+v is ready before %+v", s, before)
		}
	}
	p.MemoryAware = false
	plain := p.Plan(task)
	for _, s := range plain.Stages {
		if s.After != plain.Estimate-setup {
			t.Errorf("without memory awareness stage %+v is ready before the end", s)
		}
	}
}

func TestHotAddPlansTheNewPipelinesOnly(t *testing.T) {
	config := topology.ParallelConfig{Data: 3, Pipeline: 2, Tensor: 1}
	running := place(config, 0)[:4]
	added := place(config, 5)[4:]
	plan := planner().Plan(migrate.Task{Config: config, Placements: added, Held: holdings(config, running)})
	if plan.ModelBytes != 8000 || plan.DiskBytes != 0 || len(plan.Stages) != 2 || plan.Stages[0].Pipeline != 2 {
		t.Errorf("%+v, want 8000 bytes for both stages of pipeline 2", plan)
	}
}

func TestSwappedHalvesUnderAShrinkingBuffer(t *testing.T) {
	// Two devices swap five layers of 800 bytes each.
	task := migrate.Task{Config: halves, Placements: on(halves, dev("b"), dev("a")), Held: held(halves, dev("a"), dev("b"))}
	for _, tt := range []struct {
		bound, peak, disk int64
		order             []int
	}{
		{0, 4000, 0, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{1600, 1600, 0, []int{0, 1, 5, 6, 7, 8, 2, 3, 4, 9}},
		{800, 800, 0, []int{0, 5, 6, 1, 2, 7, 3, 8, 4, 9}},
		// Not even one layer fits: b drops its last one, which a has to reload.
		{799, 0, 800, []int{0, 5, 1, 6, 2, 7, 3, 8, 4, 9}},
	} {
		p := planner()
		p.BufferBytes = tt.bound
		plan := p.Plan(task)
		var order []int
		for _, s := range plan.Steps {
			if len(order) == 0 || order[len(order)-1] != s.Layer {
				order = append(order, s.Layer)
			}
			if tt.bound > 0 && s.Bytes > tt.bound {
				t.Errorf("bound %d: a step of %d bytes", tt.bound, s.Bytes)
			}
		}
		if plan.PeakBufferBytes != tt.peak || plan.DiskBytes != tt.disk || !slices.Equal(order, tt.order) {
			t.Errorf("bound %d: peak %d, %d bytes from disk, order %v; want %d, %d, %v",
				tt.bound, plan.PeakBufferBytes, plan.DiskBytes, order, tt.peak, tt.disk, tt.order)
		}
	}
}

func TestRoomIsMadeWithWhatOthersHold(t *testing.T) {
	// Sixteen replicas have to drop layers under a quarter of the usual buffer. If
	// all dropped the same ones, those would have to be reloaded.
	p := gpt20B(cost.DefaultMigrationBuffer / 4)
	if plan := p.Plan(reshaping(p, 50, 4, 1)); plan.DiskBytes != 0 || plan.PeakBufferBytes == 0 {
		t.Errorf("%d bytes reloaded with a peak of %d, want none", plan.DiskBytes, plan.PeakBufferBytes)
	}
}

func TestWhatMissesADeadlineIsGivenUpInOrder(t *testing.T) {
	// c takes over from a, which leaves: 800 bytes of cache and 8000 of weights at
	// 1000 bytes/s. b may have a replica of the weights, and shares their sending
	// as far as a is not busy with the cache.
	both := held(topology.ParallelConfig{Data: 2, Pipeline: 1, Tensor: 1}, dev("a"), dev("b"))
	alone := held(whole, dev("a"))
	for _, tt := range []struct {
		name               string
		held               *migrate.Holdings
		deadline           float64
		kept               bool
		fromA, fromB, disk int64
	}{
		{"all in time", both, 30, true, 3600, 4400, 0},
		{"half of the layers in time", both, 5, true, 1600, 6400, 0},
		{"the cache too late", both, 0.5, false, 400, 7600, 0},
		{"gone already", both, 0, false, 0, 8000, 0},
		{"no replica, all in time", alone, 8.8, true, 8000, 0, 0},
		{"no replica, the weights in time without the cache", alone, 8.799, false, 8000, 0, 0},
		{"no replica, the weights late anyway", alone, 7.999, true, 6400, 0, 1600},
	} {
		plan := planner().Plan(migrate.Task{
			Config: whole, Placements: on(whole, dev("c")), Held: tt.held,
			Leaving: map[string]vtime.Time{"a": vtime.Seconds(tt.deadline)},
			Inherit: []migrate.Inheritance{{From: 0, To: 0, Tokens: 10}},
		})
		got := sent(plan, migrate.ModelContext)
		if plan.Kept[0] != tt.kept || got[dev("a")] != tt.fromA || got[dev("b")] != tt.fromB || plan.DiskBytes != tt.disk {
			t.Errorf("%s: kept %v, weights from %v, want %t, %d from a, %d from b, %d from disk",
				tt.name, plan.Kept, got, tt.kept, tt.fromA, tt.fromB, tt.disk)
		}
	}
}

func TestOnlyTheCacheInTheWayOfWeightsIsGivenUp(t *testing.T) {
	// The second halves of both pipelines leave. d goes as soon as it has sent its
	// 400 bytes of cache, so that b, which stays longer, sends all weights: 8000
	// bytes in 8.2 s, which its own cache of 400 bytes is in the way of.
	config := topology.ParallelConfig{Data: 2, Pipeline: 2, Tensor: 1}
	task := migrate.Task{
		Config: config, Held: held(config, dev("a"), dev("b"), dev("c"), dev("d")),
		Placements: on(config, dev("a"), dev("new-1"), dev("c"), dev("new-2")),
		Leaving:    map[string]vtime.Time{"b": vtime.Seconds(8.2), "d": vtime.Seconds(0.4)},
		Inherit:    []migrate.Inheritance{{From: 0, To: 0, Tokens: 10}, {From: 1, To: 1, Tokens: 10}},
	}
	plan := planner().Plan(task)
	if weights := sent(plan, migrate.ModelContext); !slices.Equal(plan.Kept, []bool{false, true}) || weights[dev("b")] != 8000 {
		t.Errorf("kept %v, weights from %v, want the second cache and 8000 bytes from b", plan.Kept, weights)
	}
	task.Leaving["b"] = vtime.Seconds(8.4)
	if plan := planner().Plan(task); !slices.Equal(plan.Kept, []bool{true, true}) || plan.DiskBytes != 0 {
		t.Errorf("kept %v and %d bytes from disk, want both and none", plan.Kept, plan.DiskBytes)
	}
}

func TestAStageWhoseNodeLeavesTooSoonIsNotListed(t *testing.T) {
	plan := planner().Plan(migrate.Task{
		Config: halves, Placements: on(halves, dev("a"), dev("b")), Held: held(halves, dev("a")),
		Leaving: map[string]vtime.Time{"b": vtime.Seconds(3)},
	})
	if !slices.Equal(plan.Stages, []migrate.StageReady{{}}) {
		t.Errorf("stages %+v, want the first alone: the other needs 40 s of disk", plan.Stages)
	}
}
