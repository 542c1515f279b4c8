package node

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/model"
)

// duty is a node's part of a configuration.
type duty struct {
	epoch event.Epoch
	needs map[model.BlobID]bool // weights of all placements
	// errands has all weights that the placements need: those that the plan brings
	// first, in its order.
	errands []errand
	starts  []*start
	others  []string // nodes that the plan names beside this one, in node order
	// sends counts how often the plan has this node send each blob to another.
	sends map[model.BlobID]int
}

// errand is a blob to have, and the node that the plan takes it from: "" is none.
type errand struct {
	blob model.BlobID
	from string
}

// start is a pipeline that this node has new shards of.
type start struct {
	epoch   event.Epoch
	index   int
	config  topology.ParallelConfig
	leads   bool
	devices []dataplane.Peer // of all positions, by rank
	seats   []seat           // of this node
	resume  []event.AssignedRequest
	sources []string // nodes that the plan takes the KV cache from
}

// seat is a device at its position in a pipeline.
type seat struct {
	device int // of this node
	at     topology.DevicePosition
	region migrate.Region
}

// peer is the device at a stage and a rank of it.
func (s *start) peer(stage, rank int) dataplane.Peer { return s.devices[stage*s.config.Tensor+rank] }

// leader is the device that the pipeline's steps come from.
func (s *start) leader() dataplane.Peer { return s.devices[0] }

// newDuty reads a node's part of a plan.
func newDuty(node string, g migrate.Geometry, b event.ApplyMigration) duty {
	d := duty{epoch: b.Epoch, needs: make(map[model.BlobID]bool), sends: make(map[model.BlobID]int)}
	regions := make(map[int]migrate.Region) // by device
	for _, p := range b.Placements {
		r := g.Region(b.Config, p.Position)
		regions[p.Device.GPU] = r
		for id := range cells(r) {
			d.needs[id] = true
		}
	}
	d.readWeights(node, regions, b.Steps)
	for _, p := range b.Pipelines {
		d.starts = append(d.starts, newStart(node, regions, b, p))
	}
	d.others = namedNodes(node, b)
	return d
}

// leaveOut takes out the pipelines that cannot be, and says why.
func (d *duty) leaveOut() (misfits []string) {
	d.starts = slices.DeleteFunc(d.starts, func(s *start) bool {
		want := s.config.Pipeline * s.config.Tensor
		fits := len(s.devices) == want && want > 0
		if !fits {
			misfits = append(misfits, fmt.Sprintf("pipeline %d has %d devices, %s takes %d", s.index, len(s.devices), s.config, want))
		}
		return !fits
	})
	return misfits
}

func newStart(node string, regions map[int]migrate.Region, b event.ApplyMigration, p event.PipelineStart) *start {
	s := &start{epoch: b.Epoch, index: p.Pipeline, config: b.Config, leads: p.Leader, resume: p.Resume}
	for _, x := range p.Devices {
		s.devices = append(s.devices, dataplane.Peer{Node: x.Device.Node, Device: x.Device.GPU})
	}
	for _, x := range b.Placements {
		if x.Position.Data == p.Pipeline {
			s.seats = append(s.seats, seat{device: x.Device.GPU, at: x.Position, region: regions[x.Device.GPU]})
		}
	}
	for _, x := range b.Steps {
		comes := x.Kind == migrate.CacheContext && x.Pipeline == p.Pipeline && x.To.Node == node && x.From.Node != node
		if comes && !slices.Contains(s.sources, x.From.Node) {
			s.sources = append(s.sources, x.From.Node)
		}
	}
	return s
}

// readWeights takes the order of the weights and their sources from the plan.
func (d *duty) readWeights(node string, regions map[int]migrate.Region, steps []migrate.Step) {
	listed := make(map[model.BlobID]bool)
	for _, s := range steps {
		switch {
		case s.Kind != migrate.ModelContext:
		case s.To.Node != node:
			for id := range moved(s, migrate.Region{}) {
				d.sends[id]++
			}
		default:
			for id := range moved(s, regions[s.To.GPU]) {
				if d.needs[id] && !listed[id] {
					listed[id] = true
					d.errands = append(d.errands, errand{id, s.From.Node})
				}
			}
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(d.needs), compareBlobs) {
		if !listed[id] {
			d.errands = append(d.errands, errand{blob: id})
		}
	}
}

// moved yields the blobs of a step: where that does not tell the leaves, all of
// the receiver's.
func moved(s migrate.Step, to migrate.Region) iter.Seq[model.BlobID] {
	return func(yield func(model.BlobID) bool) {
		if s.Leaves == 0 {
			for leaf := to.FirstLeaf; leaf < to.EndLeaf; leaf++ {
				if !yield(model.BlobID{Layer: s.Layer, Leaf: leaf}) {
					return
				}
			}
			return
		}
		for leaf := range 64 {
			if s.Leaves>>leaf&1 == 1 && !yield(model.BlobID{Layer: s.Layer, Leaf: leaf}) {
				return
			}
		}
	}
}

// namedNodes lists all nodes that a plan names but this one.
func namedNodes(node string, b event.ApplyMigration) []string {
	named := make(map[string]bool)
	for _, s := range b.Steps {
		named[s.From.Node], named[s.To.Node] = true, true
	}
	for _, p := range b.Pipelines {
		for _, x := range p.Devices {
			named[x.Device.Node] = true
		}
	}
	delete(named, node)
	delete(named, "") // the disk
	return slices.SortedFunc(maps.Keys(named), topology.CompareNodes)
}

// cells yields the cells of a region, layer by layer.
func cells(r migrate.Region) iter.Seq[model.BlobID] {
	return func(yield func(model.BlobID) bool) {
		for layer := r.FirstLayer; layer < r.EndLayer; layer++ {
			for leaf := r.FirstLeaf; leaf < r.EndLeaf; leaf++ {
				if !yield(model.BlobID{Layer: layer, Leaf: leaf}) {
					return
				}
			}
		}
	}
}

func compareBlobs(a, b model.BlobID) int {
	return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Leaf, b.Leaf))
}
