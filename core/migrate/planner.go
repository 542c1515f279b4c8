package migrate

import (
	"math"
	"slices"

	"github.com/spotserve/spotserve/core/cost"
)

// Planner is the paper's Algorithm 2: the KV cache of every inherited batch
// moves first, in the order of the task; then the weights, layer by layer, in
// an order that keeps the context in transit on every GPU within U_max.
//
// A piece comes from a device of the same node if one holds it, else from the
// holder whose node has the least traffic, and from disk if nobody holds it.
// Leaving devices send first. What they cannot send before they go is given up:
// an inherited batch's cache as a whole, weights by taking them from devices
// that stay longer, or from disk. Making room, a device first drops what most
// others still hold.
type Planner struct {
	Geometry Geometry
	Instance cost.InstanceType
	Engine   cost.EngineCosts
	// BufferBytes is U_max, the context in transit on one GPU, in bytes; 0 or
	// less sets no bound.
	BufferBytes int64
	// MemoryAware orders the weights by layer under U_max, early stages first,
	// and lets a stage start when its own context is there. Without it weights
	// move position by position under no bound, and every stage waits for all:
	// the ablation of the migration planner.
	MemoryAware bool
}

// Plan implements MigrationPlanner.
func (p Planner) Plan(t Task) Plan {
	s := newScene(p.Geometry, t)
	d := p.draft(s, s.whole())
	if fewer, ok := d.withoutRivals(); ok {
		// Cache is given up before weights, but not in vain.
		if again := p.draft(s, fewer); len(again.rivals) == 0 {
			d = again
		}
	}
	return p.sum(d)
}

// bound is the buffer that the plan has to keep within.
func (p Planner) bound() int64 {
	if !p.MemoryAware || p.BufferBytes <= 0 {
		return math.MaxInt64
	}
	return p.BufferBytes
}

// draft plans all weights and those of the kept caches that fit. A cache that
// is given up frees memory that the plan so far counted on, so all begins anew
// without it; every round gives up one at least.
func (p Planner) draft(s *scene, kept []bool) *draft {
	for {
		d := newDraft(p, s, slices.Clone(kept))
		if d.moveCaches() {
			d.moveWeights()
			return d
		}
		kept = d.kept
	}
}

// sum makes the plan of a draft: set-up, the busiest node's network traffic,
// the busiest node's inner traffic, and the slowest device's reload bound it.
func (p Planner) sum(d *draft) Plan {
	moving := d.all()
	out := Plan{
		Steps: d.steps, Kept: d.kept,
		Estimate:         p.Engine.MigrationSetup + moving,
		BusiestNodeBytes: largest(d.inter), BusiestIntraBytes: largest(d.intra),
		PeakBufferBytes: d.peak,
	}
	for _, s := range d.steps {
		switch {
		case s.FromDisk():
			out.DiskBytes += s.Bytes
		case s.Kind == CacheContext:
			out.CacheBytes += s.Bytes
		default:
			out.ModelBytes += s.Bytes
		}
		if !s.FromDisk() && s.From.Node != s.To.Node {
			out.InterNodeBytes += s.Bytes
		}
	}
	for i, stage := range d.stages {
		if d.unreachable[i] {
			continue
		}
		stage.After = d.ready[i]
		if !p.MemoryAware {
			stage.After = moving
		}
		out.Stages = append(out.Stages, stage)
	}
	return out
}
