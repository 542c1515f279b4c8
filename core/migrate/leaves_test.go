package migrate_test

import (
	"fmt"
	"math/bits"

	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

// faultInLeaves: the leaves that weights steps name are what their device lacks of
// the layer, each once, held by the source, and as many as the bytes. Steps of cache
// name none.
func faultInLeaves(p migrate.Planner, task migrate.Task, plan migrate.Plan) string {
	type row struct {
		to    topology.Device
		layer int
	}
	needed := needs(p.Geometry, task)
	got := make(map[row]uint64)
	bytes := make(map[row]int64)
	for i, s := range plan.Steps {
		if s.Kind == migrate.CacheContext {
			if s.Leaves != 0 {
				return fmt.Sprintf("step %d, of cache, names the leaves %b", i, s.Leaves)
			}
			continue
		}
		at := row{s.To, s.Layer}
		if got[at]&s.Leaves != 0 {
			return fmt.Sprintf("step %d brings %s leaves %b of layer %d again", i, s.To, got[at]&s.Leaves, s.Layer)
		}
		got[at] |= s.Leaves
		bytes[at] += s.Bytes
		own, _ := task.Held.Of(s.To)
		from, _ := task.Held.Of(s.From)
		for f := range 64 {
			cell := migrate.Region{FirstLayer: s.Layer, EndLayer: s.Layer + 1, FirstLeaf: f, EndLeaf: f + 1}
			switch {
			case s.Leaves&(1<<f) == 0:
			case needed[s.To].Intersect(cell) != cell || own.Model.Intersect(cell) == cell:
				return fmt.Sprintf("step %d brings %s leaf %d of layer %d, which it does not lack", i, s.To, f, s.Layer)
			case !s.FromDisk() && from.Model.Intersect(cell) != cell:
				return fmt.Sprintf("step %d takes leaf %d of layer %d from %s, which does not hold it", i, f, s.Layer, s.From)
			}
		}
	}
	for at, leaves := range got {
		if n := int64(bits.OnesCount64(leaves)) * p.Geometry.CellBytes; n != bytes[at] {
			return fmt.Sprintf("%s gets %d bytes of layer %d, and leaves %b of %d", at.to, bytes[at], at.layer, leaves, n)
		}
	}
	return ""
}
