package migrate

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// Direct plans every missing piece from one device that holds it, in position
// order: cache first, then weights. It knows no memory bound.
type Direct struct {
	Geometry Geometry
	Instance cost.InstanceType
	Engine   cost.EngineCosts
}

// Plan implements MigrationPlanner.
func (p Direct) Plan(t Task) Plan {
	holders := p.index(t.Held)
	load := make(map[topology.Device]int64) // bytes each source sends already
	b := builder{leaving: t.Leaving, at: make(map[stepKey]int)}
	for _, in := range t.Inherit {
		p.moveCache(&b, t, in, load)
	}
	for _, place := range t.Placements {
		p.moveModel(&b, t, place, holders, load)
	}
	out := p.sum(b.steps)
	for range t.Inherit {
		out.Kept = append(out.Kept, true)
	}
	for _, place := range t.Placements {
		out.Stages = append(out.Stages, StageReady{place.Position.Data, place.Position.Pipeline, out.Estimate - p.Engine.MigrationSetup})
	}
	return out
}

// index lists, for every cell, the devices that hold its weights, by device.
func (p Direct) index(h *Holdings) [][]topology.Device {
	cells := make([][]topology.Device, p.Geometry.Layers*p.Geometry.Leaves)
	for _, x := range h.All() {
		for l := x.Model.FirstLayer; l < x.Model.EndLayer; l++ {
			for f := x.Model.FirstLeaf; f < x.Model.EndLeaf; f++ {
				i := l*p.Geometry.Leaves + f
				cells[i] = append(cells[i], x.Device)
			}
		}
	}
	return cells
}

func (p Direct) moveModel(b *builder, t Task, place topology.Placement, holders [][]topology.Device, load map[topology.Device]int64) {
	need := p.Geometry.Region(t.Config, place.Position)
	have, _ := t.Held.Of(place.Device)
	for l := need.FirstLayer; l < need.EndLayer; l++ {
		for f := need.FirstLeaf; f < need.EndLeaf; f++ {
			if have.Model.contains(l, f) {
				continue
			}
			from := nearest(place.Device, holders[l*p.Geometry.Leaves+f], load)
			load[from] += p.Geometry.CellBytes
			b.add(ModelContext, place, from, p.Geometry.CellBytes)
		}
	}
}

// moveCache gives every position of the inheriting pipeline its part of the KV
// cache from the old pipeline's devices.
func (p Direct) moveCache(b *builder, t Task, in Inheritance, load map[topology.Device]int64) {
	for _, place := range t.Placements {
		if place.Position.Data != in.To {
			continue
		}
		need := p.Geometry.Region(t.Config, place.Position)
		for _, x := range t.Held.All() {
			shared := need.Intersect(x.Model)
			if x.Pipeline != in.From || x.Device == place.Device || shared.Cells() == 0 {
				continue
			}
			bytes := p.Geometry.CacheBytes(shared, in.Tokens)
			load[x.Device] += bytes
			b.add(CacheContext, place, x.Device, bytes)
		}
	}
}

// nearest picks the source of a cell: a device of the same node, else the one
// that sends least so far, ties by device id; the disk when nobody has it.
func nearest(to topology.Device, holders []topology.Device, load map[topology.Device]int64) topology.Device {
	var best topology.Device
	for i, d := range holders {
		switch {
		case i == 0:
			best = d
		case (d.Node == to.Node) != (best.Node == to.Node):
			if d.Node == to.Node {
				best = d
			}
		case load[d] < load[best]:
			best = d
		}
	}
	return best
}

// builder merges what goes from one device to another into one step a kind.
type builder struct {
	leaving map[string]vtime.Time
	steps   []Step
	at      map[stepKey]int
}

type stepKey struct {
	kind ContextKind
	from topology.Device
	to   topology.Device
}

func (b *builder) add(kind ContextKind, to topology.Placement, from topology.Device, bytes int64) {
	if bytes == 0 {
		return
	}
	k := stepKey{kind, from, to.Device}
	i, ok := b.at[k]
	if !ok {
		i = len(b.steps)
		b.at[k] = i
		b.steps = append(b.steps, Step{
			Kind: kind, Pipeline: to.Position.Data, Stage: to.Position.Pipeline,
			From: from, To: to.Device, Deadline: b.deadline(from.Node, to.Device.Node),
		})
	}
	b.steps[i].Bytes += bytes
}

func (b *builder) deadline(nodes ...string) vtime.Time {
	deadline := vtime.Never
	for _, n := range nodes {
		if at, ok := b.leaving[n]; ok {
			deadline = min(deadline, at)
		}
	}
	return deadline
}

// sum adds up a plan and estimates it: set-up, the busiest node's network
// traffic, the busiest node's inner traffic, and the slowest device's reload.
func (p Direct) sum(steps []Step) Plan {
	out := Plan{Steps: steps}
	between, within := make(map[string]int64), make(map[string]int64)
	disk := make(map[topology.Device]int64)
	for _, s := range steps {
		switch {
		case s.FromDisk():
			out.DiskBytes += s.Bytes
			disk[s.To] += s.Bytes
			continue
		case s.From.Node == s.To.Node:
			within[s.To.Node] += s.Bytes
		default:
			out.InterNodeBytes += s.Bytes
			between[s.From.Node] += s.Bytes
			between[s.To.Node] += s.Bytes
		}
		if s.Kind == CacheContext {
			out.CacheBytes += s.Bytes
		} else {
			out.ModelBytes += s.Bytes
		}
	}
	out.BusiestNodeBytes, out.BusiestIntraBytes = largestOf(between), largestOf(within)
	transfer := vtime.Duration(float64(out.BusiestNodeBytes)/p.Instance.InterNodeBytesPerSecond +
		float64(out.BusiestIntraBytes)/p.Instance.IntraNodeBytesPerSecond)
	reload := vtime.Duration(float64(largestOf(disk)) / p.Engine.DiskBytesPerSecond)
	out.Estimate = p.Engine.MigrationSetup + max(transfer, reload, time.Duration(0))
	return out
}

func largestOf[K comparable](m map[K]int64) int64 {
	var most int64
	for _, v := range m {
		most = max(most, v)
	}
	return most
}

// Missed reports whether a step of the plan would end past its deadline when
// the plan begins at begin.
func (p Plan) Missed(begin vtime.Time, setup time.Duration) bool {
	end := begin.Add(p.Estimate - setup)
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Deadline < end })
}
