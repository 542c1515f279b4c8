package assign

import (
	"slices"

	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

// KuhnMunkres maps devices to positions so that they keep the most bytes of
// what they hold: model context of the position, and KV cache of the batch that
// the position's pipeline inherits. Among mappings that keep equally much it
// takes one in which most devices stay exactly where they were, and then goes
// by device id: on nodes of equal size that hold nothing it equals RankOrder.
//
// It works on two levels, so that neighbouring positions share nodes: positions
// in (d, p, m) order are cut into groups, devices of a node into slots of the
// size of a group; a matching inside each pair of group and slot says what the
// pair would keep, a matching of groups with slots takes the best pairs.
//
// Tensor-parallel groups are never cut while every one finds a node with room
// for it; then a slot is as many of them as divides all nodes evenly, which on
// nodes of equal size is the whole node. Otherwise as many as can be are placed
// whole, then as many halves of the others as can be, and so on; on nodes of one
// size, a power of two, they then span the fewest nodes possible.
//
// Nothing overflows while the bytes that a node holds, times the positions, stay
// below 2^60: a terabyte a node allows a million positions.
type KuhnMunkres struct {
	Geometry migrate.Geometry
}

// Map implements DeviceMapper.
func (k KuhnMunkres) Map(r Request) []topology.Placement {
	n := r.Config.Devices()
	if min(r.Config.Data, r.Config.Pipeline, r.Config.Tensor) < 1 || n > len(r.Devices) {
		return nil
	}
	m := newMatcher(k.Geometry, r.Config)
	nodes := nodesOf(r)
	size := groupSize(nodes, r.Config)
	groups := cut([]group{{end: n}}, size)
	for {
		groups = m.place(groups, slotsOf(nodes, size))
		if len(groups) == 0 {
			return m.placements
		}
		nodes = m.idle(nodes)
		size = max(size/2, 1)
		groups = cut(groups, size)
	}
}

// KeptBytes is how many bytes of context the devices of placements hold already
// of what they need there, model and inherited KV cache.
func KeptBytes(r Request, placements []topology.Placement, geometry migrate.Geometry) int64 {
	heirs := heirsOf(r.Inherit)
	var sum int64
	for _, p := range placements {
		d := newDevice(r.Held, heirs, p.Device)
		sum += d.keeps(geometry, geometry.Region(r.Config, p.Position), p.Position.Data)
	}
	return sum
}

// device is a GPU with what it holds.
type device struct {
	topology.Device
	model    migrate.Region
	pipeline int // that it worked for, -1 if it holds nothing
	// heirs are the new pipelines that inherit KV cache of pipeline.
	heirs []migrate.Inheritance
}

func newDevice(held *migrate.Holdings, heirs map[int][]migrate.Inheritance, d topology.Device) device {
	x, ok := held.Of(d)
	if !ok {
		return device{Device: d, pipeline: -1}
	}
	return device{Device: d, model: x.Model, pipeline: x.Pipeline, heirs: heirs[x.Pipeline]}
}

// keeps is the bytes that d holds of region, which a position of pipeline
// wants.
func (d device) keeps(g migrate.Geometry, region migrate.Region, pipeline int) int64 {
	shared := d.model.Intersect(region)
	bytes := shared.Cells() * g.CellBytes
	for _, h := range d.heirs {
		if h.To == pipeline {
			bytes += g.CacheBytes(shared, h.Tokens)
		}
	}
	return bytes
}

// relatives yields the new pipelines at whose positions more than d's model
// context counts: the one that has the number of its old one, and the heirs.
func (d device) relatives(yield func(int) bool) {
	if d.pipeline < 0 || !yield(d.pipeline) {
		return
	}
	for _, h := range d.heirs {
		if !yield(h.To) {
			return
		}
	}
}

func heirsOf(inherit []migrate.Inheritance) map[int][]migrate.Inheritance {
	out := make(map[int][]migrate.Inheritance, len(inherit))
	for _, in := range inherit {
		if in.Tokens > 0 {
			out[in.From] = append(out[in.From], in)
		}
	}
	return out
}

// nodesOf lists the request's devices by node and device id.
func nodesOf(r Request) [][]device {
	sorted := slices.Clone(r.Devices)
	slices.SortFunc(sorted, topology.Device.Compare)
	heirs := heirsOf(r.Inherit)
	var out [][]device
	for i, d := range sorted {
		if i == 0 || d.Node != sorted[i-1].Node {
			out = append(out, nil)
		}
		last := &out[len(out)-1]
		*last = append(*last, newDevice(r.Held, heirs, d))
	}
	return out
}

// group is the positions of ranks [first, end).
type group struct{ first, end int }

// cut cuts groups into consecutive ones of at most size positions.
func cut(groups []group, size int) []group {
	var out []group
	for _, g := range groups {
		for first := g.first; first < g.end; first += size {
			out = append(out, group{first, min(first+size, g.end)})
		}
	}
	return out
}

// groupSize is the size of groups and slots to begin with: one tensor-parallel
// group, or as many as divide what every node has room for if that is room for
// all of them.
func groupSize(nodes [][]device, c topology.ParallelConfig) int {
	room, step := 0, 0
	for _, n := range nodes {
		whole := len(n) / c.Tensor
		room += whole
		step = gcd(step, whole)
	}
	if room < c.Data*c.Pipeline {
		return c.Tensor
	}
	return step * c.Tensor
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// slotsOf cuts the devices of each node into as many slots of size as there is
// room for. The last slot of a node has what is left over to choose from too.
func slotsOf(nodes [][]device, size int) [][]device {
	var out [][]device
	for _, n := range nodes {
		for len(n) >= 2*size {
			out = append(out, n[:size])
			n = n[size:]
		}
		if len(n) >= size {
			out = append(out, n)
		}
	}
	return out
}
