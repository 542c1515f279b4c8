package migrate_test

import (
	"fmt"
	"math"

	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

// unit is context that is freed together: a layer, or the cache of an old
// pipeline at layer -1.
type unit struct{ layer, pipeline int }

// device is the memory of one device while a plan is carried out.
type device struct {
	room  int64          // the more of what it held before and will hold after
	holds int64          // bytes, at this step
	spare map[unit]int64 // of holds: old context that it does not keep
}

// faultInBuffers carries the plan out on devices that free old context when its
// unit has moved, and drop it before only when they have to: what no later step
// sends. No device ever holds more than U_max on top of its room.
func faultInBuffers(p migrate.Planner, task migrate.Task, plan migrate.Plan) string {
	devices := memories(p.Geometry, task, plan)
	last := make(map[unit]int)                      // step that completes a unit
	sends := make(map[topology.Device]map[unit]int) // last step that sends some that its holder does not keep
	of := func(s migrate.Step) unit {
		if s.Kind == migrate.ModelContext {
			return unit{layer: s.Layer}
		}
		for _, in := range task.Inherit {
			if in.To == s.Pipeline {
				return unit{layer: -1, pipeline: in.From}
			}
		}
		panic("a cache that nobody inherits")
	}
	needed := needs(p.Geometry, task)
	for i, s := range plan.Steps {
		last[of(s)] = i
		if keepsToSend(p.Geometry, task, needed, s) {
			continue
		}
		if sends[s.From] == nil {
			sends[s.From] = make(map[unit]int)
		}
		sends[s.From][of(s)] = i
	}
	free := func(d *device, u unit) {
		d.holds -= d.spare[u]
		delete(d.spare, u)
	}
	for _, d := range devices {
		for u := range d.spare {
			if _, moves := last[u]; !moves {
				free(d, u)
			}
		}
	}
	var peak int64
	for i, s := range plan.Steps {
		d := devices[s.To]
		d.holds += s.Bytes
		for u := range d.spare {
			at, sent := sends[s.To][u]
			if d.holds-d.room > bound(p) && (!sent || at < i) {
				free(d, u)
			}
		}
		peak = max(peak, d.holds-d.room)
		if peak > bound(p) {
			return fmt.Sprintf("step %d fills %s to %d bytes of %d allowed", i, s.To, peak, bound(p))
		}
		if last[of(s)] == i {
			for _, d := range devices {
				free(d, of(s))
			}
		}
	}
	switch {
	case plan.PeakBufferBytes > bound(p):
		return fmt.Sprintf("peak %d over the bound %d", plan.PeakBufferBytes, bound(p))
	case bound(p) == math.MaxInt64 && plan.PeakBufferBytes != peak && len(task.Leaving) == 0:
		return fmt.Sprintf("peak %d, want %d", plan.PeakBufferBytes, peak)
	}
	for at, d := range devices {
		if after := d.holds; d.room < after {
			return fmt.Sprintf("%s ends with %d bytes, more than %d", at, after, d.room)
		}
	}
	return ""
}

// memories is what the placed devices hold before the first step.
func memories(g migrate.Geometry, task migrate.Task, plan migrate.Plan) map[topology.Device]*device {
	out := make(map[topology.Device]*device)
	for _, place := range task.Placements {
		need := g.Region(task.Config, place.Position)
		own, _ := task.Held.Of(place.Device)
		d := &device{spare: make(map[unit]int64)}
		out[place.Device] = d
		before, after := own.Model.Cells()*g.CellBytes, need.Cells()*g.CellBytes
		for l := own.Model.FirstLayer; l < own.Model.EndLayer; l++ {
			row := migrate.Region{FirstLayer: l, EndLayer: l + 1, FirstLeaf: own.Model.FirstLeaf, EndLeaf: own.Model.EndLeaf}
			if extra := row.Cells() - row.Intersect(need).Cells(); extra > 0 {
				d.spare[unit{layer: l}] = extra * g.CellBytes
			}
		}
		for i, in := range task.Inherit {
			if !plan.Kept[i] {
				continue
			}
			keeps := int64(0)
			if in.To == place.Position.Data {
				after += g.CacheBytes(need, in.Tokens)
				keeps = g.CacheBytes(need.Intersect(own.Model), in.Tokens)
			}
			if own.Pipeline == in.From {
				before += g.CacheBytes(own.Model, in.Tokens)
				d.spare[unit{-1, in.From}] = g.CacheBytes(own.Model, in.Tokens) - keeps
			}
		}
		d.holds, d.room = before, max(before, after)
	}
	return out
}

// keepsToSend reports whether a step sends weights that its source keeps.
func keepsToSend(g migrate.Geometry, task migrate.Task, needed map[topology.Device]migrate.Region, s migrate.Step) bool {
	if s.Kind != migrate.ModelContext {
		return false
	}
	own, _ := task.Held.Of(s.From)
	row := migrate.Region{FirstLayer: s.Layer, EndLayer: s.Layer + 1, EndLeaf: g.Leaves}
	return s.Bytes <= own.Model.Intersect(needed[s.From]).Intersect(needed[s.To]).Intersect(row).Cells()*g.CellBytes
}
