package migrate_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// The twin judges a plan by following its steps, cell by cell and device by
// device, with no knowledge of how the planner came to them.

// fault is what is wrong with p's plan for task, "" if nothing is.
func fault(p migrate.Planner, task migrate.Task, plan migrate.Plan) string {
	for _, check := range []func(migrate.Planner, migrate.Task, migrate.Plan) string{
		faultInOrder, faultInCache, faultInWeights, faultInLeaves, faultInTime, faultInBuffers, faultInSums,
	} {
		if f := check(p, task, plan); f != "" {
			return f
		}
	}
	return ""
}

// needs is what every placed device is to hold.
func needs(g migrate.Geometry, task migrate.Task) map[topology.Device]migrate.Region {
	out := make(map[topology.Device]migrate.Region)
	for _, p := range task.Placements {
		out[p.Device] = g.Region(task.Config, p.Position)
	}
	return out
}

func leaves(task migrate.Task, d topology.Device) bool {
	_, ok := task.Leaving[d.Node]
	return ok
}

// faultInOrder: caches in the order of inheritance, then weights; within a
// cache and a layer, leaving devices first.
func faultInOrder(p migrate.Planner, task migrate.Task, plan migrate.Plan) string {
	rank := make(map[int]int)
	for i, in := range task.Inherit {
		rank[in.To] = i
	}
	// A unit is a cache, a layer, or without memory awareness a position's layer.
	unit := func(s migrate.Step) string {
		switch {
		case s.Kind == migrate.CacheContext:
			return fmt.Sprint("cache ", rank[s.Pipeline])
		case p.MemoryAware:
			return fmt.Sprint("layer ", s.Layer)
		}
		return fmt.Sprint("layer ", s.Layer, " of ", s.To)
	}
	done := make(map[string]bool)
	for i, s := range plan.Steps {
		if i == 0 {
			continue
		}
		before := plan.Steps[i-1]
		if unit(before) != unit(s) {
			done[unit(before)] = true
		}
		switch {
		case s.Bytes <= 0 || s.From == s.To:
			return fmt.Sprintf("step %d moves nothing: %+v", i, s)
		case s.Kind == migrate.CacheContext && (before.Kind != s.Kind || rank[before.Pipeline] > rank[s.Pipeline]):
			return fmt.Sprintf("step %d, a cache, comes too late", i)
		case done[unit(s)]:
			return fmt.Sprintf("step %d goes back to %s", i, unit(s))
		case unit(before) == unit(s) && leaves(task, s.From) && !leaves(task, before.From):
			return fmt.Sprintf("step %d from %s, which leaves, comes after one from %s", i, s.From, before.From)
		}
	}
	return ""
}

// faultInCache: a kept cache arrives whole, from devices that hold it; of one
// that is given up nothing moves.
func faultInCache(p migrate.Planner, task migrate.Task, plan migrate.Plan) string {
	g := p.Geometry
	if len(plan.Kept) != len(task.Inherit) {
		return fmt.Sprintf("%d inheritances, %d verdicts", len(task.Inherit), len(plan.Kept))
	}
	type way struct {
		from topology.Device
		to   topology.Device
	}
	moved := make(map[way]int64)
	for _, s := range plan.Steps {
		if s.Kind == migrate.CacheContext {
			moved[way{s.From, s.To}] += s.Bytes
		}
	}
	for i, in := range task.Inherit {
		placed := false
		for _, place := range task.Placements {
			if place.Position.Data != in.To {
				continue
			}
			placed = true
			need := g.Region(task.Config, place.Position)
			missing := need.Cells()
			var got int64
			if own, ok := task.Held.Of(place.Device); ok && own.Pipeline == in.From {
				missing -= need.Intersect(own.Model).Cells()
			}
			for _, x := range task.Held.All() {
				bytes := moved[way{x.Device, place.Device}]
				delete(moved, way{x.Device, place.Device})
				got += bytes
				if bytes > 0 && (x.Pipeline != in.From || bytes > g.CacheBytes(need.Intersect(x.Model), in.Tokens)) {
					return fmt.Sprintf("%s sends %d bytes of a cache to %s, more than it holds", x.Device, bytes, place.Device)
				}
			}
			want := missing * int64(in.Tokens) // a byte a cell and token
			if !plan.Kept[i] {
				want = 0
			}
			if got != want {
				return fmt.Sprintf("cache %d (kept: %t) brings %s %d bytes, want %d", i, plan.Kept[i], place.Device, got, want)
			}
		}
		whole := placed && holdsAll(g, task, in.From)
		if plan.Kept[i] && !whole || whole && !plan.Kept[i] && len(task.Leaving) == 0 && bound(p) == math.MaxInt64 {
			return fmt.Sprintf("cache %d: kept %t, held as a whole %t", i, plan.Kept[i], whole)
		}
	}
	if len(moved) > 0 {
		return fmt.Sprintf("caches that nobody inherits: %v", moved)
	}
	return ""
}

// holdsAll reports whether a pipeline's devices still hold all that the placed
// positions need, which here is the whole model.
func holdsAll(g migrate.Geometry, task migrate.Task, pipeline int) bool {
	holders := task.Held.All()
	for l := range g.Layers {
		for f := range g.Leaves {
			cell := migrate.Region{FirstLayer: l, EndLayer: l + 1, FirstLeaf: f, EndLeaf: f + 1}
			found := false
			for _, x := range holders {
				found = found || x.Pipeline == pipeline && x.Model.Intersect(cell) == cell
			}
			if !found {
				return false
			}
		}
	}
	return true
}

// faultInWeights: every device gets what it lacks of each layer, once, from
// devices that hold as much of it. The disk serves what nobody holds, and no
// more where nothing leaves and nothing has to be dropped. Only devices that
// leave may go without.
func faultInWeights(p migrate.Planner, task migrate.Task, plan migrate.Plan) string {
	g := p.Geometry
	type piece struct {
		from, to topology.Device
		layer    int
	}
	moved := make(map[piece]int64)
	for _, s := range plan.Steps {
		if s.Kind == migrate.ModelContext {
			moved[piece{s.From, s.To, s.Layer}] += s.Bytes
		}
	}
	incomplete := make(map[topology.Device]bool)
	sources := append(task.Held.All(), migrate.Holding{}) // the last is the disk
	for d, need := range needs(g, task) {
		own, _ := task.Held.Of(d)
		for l := need.FirstLayer; l < need.EndLayer; l++ {
			var missing, unheld, got int64
			for f := need.FirstLeaf; f < need.EndLeaf; f++ {
				cell := migrate.Region{FirstLayer: l, EndLayer: l + 1, FirstLeaf: f, EndLeaf: f + 1}
				if own.Model.Intersect(cell) == cell {
					continue
				}
				missing++
				if !heldBySomebody(sources, cell) {
					unheld++
				}
			}
			row := migrate.Region{FirstLayer: l, EndLayer: l + 1, FirstLeaf: need.FirstLeaf, EndLeaf: need.EndLeaf}
			for _, x := range sources {
				bytes := moved[piece{x.Device, d, l}]
				delete(moved, piece{x.Device, d, l})
				got += bytes
				if x.Device != (topology.Device{}) && bytes > row.Intersect(x.Model).Cells()*g.CellBytes {
					return fmt.Sprintf("%s sends %s %d bytes of layer %d, more than it holds", x.Device, d, bytes, l)
				}
				exact := len(task.Leaving) == 0 && bound(p) == math.MaxInt64
				if x.Device == (topology.Device{}) && (bytes < unheld*g.CellBytes && !leaves(task, d) || exact && bytes != unheld*g.CellBytes) {
					return fmt.Sprintf("%s loads %d bytes of layer %d, %d cells are held by nobody", d, bytes, l, unheld)
				}
			}
			incomplete[d] = incomplete[d] || got < missing*g.CellBytes
			if got > missing*g.CellBytes || got < missing*g.CellBytes && !leaves(task, d) {
				return fmt.Sprintf("%s gets %d bytes of layer %d, lacks %d", d, got, l, missing*g.CellBytes)
			}
		}
	}
	if len(moved) > 0 {
		return fmt.Sprintf("weights that nobody needs: %v", moved)
	}
	stages := make(map[[2]int]bool) // whether all of its devices get theirs
	for _, place := range task.Placements {
		at := [2]int{place.Position.Data, place.Position.Pipeline}
		if _, seen := stages[at]; !seen {
			stages[at] = true
		}
		stages[at] = stages[at] && !incomplete[place.Device]
	}
	for at, complete := range stages {
		if listed := slices.ContainsFunc(plan.Stages, func(s migrate.StageReady) bool { return [2]int{s.Pipeline, s.Stage} == at }); listed != complete {
			return fmt.Sprintf("stage %v is complete: %t, listed: %t", at, complete, listed)
		}
	}
	return ""
}

func heldBySomebody(holders []migrate.Holding, cell migrate.Region) bool {
	for _, x := range holders {
		if x.Model.Intersect(cell) == cell {
			return true
		}
	}
	return false
}

// faultInTime: steps end when their links have moved all up to them, none past
// its deadline, and stages are ready when their last step has ended.
func faultInTime(p migrate.Planner, task migrate.Task, plan migrate.Plan) string {
	inter, intra, load := make(map[string]float64), make(map[string]float64), make(map[topology.Device]float64)
	ready := make(map[migrate.StageReady]time.Duration) // by pipeline and stage
	for _, place := range task.Placements {
		ready[migrate.StageReady{Pipeline: place.Position.Data, Stage: place.Position.Pipeline}] = 0
	}
	for i, s := range plan.Steps {
		a, b := s.From.Node, s.To.Node
		var want float64
		switch {
		case s.FromDisk():
			load[s.To] += float64(s.Bytes)
			want = load[s.To] / p.Engine.DiskBytesPerSecond
		default:
			if a == b {
				intra[a] += float64(s.Bytes)
			} else {
				inter[a] += float64(s.Bytes)
				inter[b] += float64(s.Bytes)
			}
			want = max(inter[a], inter[b])/p.Instance.InterNodeBytesPerSecond + max(intra[a], intra[b])/p.Instance.IntraNodeBytesPerSecond
		}
		deadline := vtime.Never
		for _, n := range []string{a, b} {
			if at, ok := task.Leaving[n]; ok {
				deadline = min(deadline, at)
			}
		}
		switch {
		case s.After != vtime.Duration(want):
			return fmt.Sprintf("step %d ends after %s, want %s", i, s.After, vtime.Duration(want))
		case s.After > plan.Estimate-p.Engine.MigrationSetup:
			return fmt.Sprintf("step %d ends after %s, past the estimate %s", i, s.After, plan.Estimate)
		case s.Kind == migrate.ModelContext && s.Bytes > bound(p):
			return fmt.Sprintf("step %d moves %d bytes at once, more than U_max", i, s.Bytes)
		case s.Deadline != deadline:
			return fmt.Sprintf("step %d has deadline %s, want %s", i, s.Deadline, deadline)
		case task.Begin.Add(s.After) > s.Deadline:
			return fmt.Sprintf("step %d ends at %s, past its deadline %s", i, task.Begin.Add(s.After), s.Deadline)
		}
		stage := migrate.StageReady{Pipeline: s.Pipeline, Stage: s.Stage}
		ready[stage] = max(ready[stage], s.After)
	}
	for i, s := range plan.Stages {
		if i > 0 && (s.Pipeline < plan.Stages[i-1].Pipeline || s.Pipeline == plan.Stages[i-1].Pipeline && s.Stage <= plan.Stages[i-1].Stage) {
			return fmt.Sprintf("stages out of order: %+v", plan.Stages)
		}
		want, placed := ready[migrate.StageReady{Pipeline: s.Pipeline, Stage: s.Stage}]
		if !p.MemoryAware {
			want = plan.Estimate - p.Engine.MigrationSetup
		}
		if !placed || s.After != want {
			return fmt.Sprintf("stage %+v, want it ready after %s", s, want)
		}
	}
	return ""
}

func bound(p migrate.Planner) int64 {
	if !p.MemoryAware || p.BufferBytes <= 0 {
		return math.MaxInt64
	}
	return p.BufferBytes
}

func faultInSums(p migrate.Planner, _ migrate.Task, plan migrate.Plan) string {
	var sum migrate.Plan
	inter, intra, load := make(map[string]int64), make(map[string]int64), make(map[topology.Device]int64)
	var slowest int64
	for _, s := range plan.Steps {
		if s.FromDisk() {
			sum.DiskBytes += s.Bytes
			load[s.To] += s.Bytes
			slowest = max(slowest, load[s.To])
			continue
		}
		if s.Kind == migrate.CacheContext {
			sum.CacheBytes += s.Bytes
		} else {
			sum.ModelBytes += s.Bytes
		}
		if s.From.Node == s.To.Node {
			intra[s.To.Node] += s.Bytes
			sum.BusiestIntraBytes = max(sum.BusiestIntraBytes, intra[s.To.Node])
			continue
		}
		sum.InterNodeBytes += s.Bytes
		inter[s.To.Node] += s.Bytes
		inter[s.From.Node] += s.Bytes
		sum.BusiestNodeBytes = max(sum.BusiestNodeBytes, inter[s.To.Node], inter[s.From.Node])
	}
	sum.Estimate = p.Engine.MigrationSetup + max(
		vtime.Duration(float64(sum.BusiestNodeBytes)/p.Instance.InterNodeBytesPerSecond+float64(sum.BusiestIntraBytes)/p.Instance.IntraNodeBytesPerSecond),
		vtime.Duration(float64(slowest)/p.Engine.DiskBytesPerSecond))
	sum.Steps, sum.Stages, sum.Kept, sum.PeakBufferBytes = plan.Steps, plan.Stages, plan.Kept, plan.PeakBufferBytes
	if !reflect.DeepEqual(sum, plan) {
		return fmt.Sprintf("the steps add up to %+v, the plan says %+v", sum, plan)
	}
	return ""
}
