package migrate

import (
	"iter"
	"maps"
	"slices"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/topology"
)

// Region is a rectangle of a model's context: layers [FirstLayer, EndLayer) by
// leaves [FirstLeaf, EndLeaf). A leaf is the share of a layer that one GPU
// holds at the model's largest tensor-parallel degree.
type Region struct {
	FirstLayer, EndLayer int
	FirstLeaf, EndLeaf   int
}

// Cells is the number of (layer, leaf) cells of r.
func (r Region) Cells() int64 {
	return int64(r.EndLayer-r.FirstLayer) * int64(r.EndLeaf-r.FirstLeaf)
}

// Intersect is the part that r and o share.
func (r Region) Intersect(o Region) Region {
	x := Region{
		FirstLayer: max(r.FirstLayer, o.FirstLayer), EndLayer: min(r.EndLayer, o.EndLayer),
		FirstLeaf: max(r.FirstLeaf, o.FirstLeaf), EndLeaf: min(r.EndLeaf, o.EndLeaf),
	}
	if x.EndLayer <= x.FirstLayer || x.EndLeaf <= x.FirstLeaf {
		return Region{}
	}
	return x
}

func (r Region) contains(layer, leaf int) bool {
	return r.FirstLayer <= layer && layer < r.EndLayer && r.FirstLeaf <= leaf && leaf < r.EndLeaf
}

// cells yields the layer and the leaf of every cell of r, layer by layer.
func (r Region) cells() iter.Seq2[int, int] {
	return func(yield func(layer, leaf int) bool) {
		for l := r.FirstLayer; l < r.EndLayer; l++ {
			for f := r.FirstLeaf; f < r.EndLeaf; f++ {
				if !yield(l, f) {
					return
				}
			}
		}
	}
}

// width is the number of leaves of a layer in r.
func (r Region) width(layer int) int {
	if layer < r.FirstLayer || layer >= r.EndLayer {
		return 0
	}
	return r.EndLeaf - r.FirstLeaf
}

// Geometry cuts a model into cells.
type Geometry struct {
	Layers    int
	Leaves    int   // largest tensor-parallel degree
	CellBytes int64 // weights of one cell
	// CacheCellBytes is the KV cache of one token in one cell.
	CacheCellBytes float64
}

// NewGeometry returns the geometry of m at tensor-parallel degrees up to
// maxTensor.
func NewGeometry(m cost.Model, maxTensor int) Geometry {
	cells := int64(m.Layers) * int64(maxTensor)
	return Geometry{
		Layers: m.Layers, Leaves: maxTensor,
		CellBytes:      m.WeightBytes / cells,
		CacheCellBytes: float64(m.KVBytesPerToken) / float64(cells),
	}
}

// Region is the context of position p of c. Stages take ceil(Layers/P) layers
// each, the last one what is left.
func (g Geometry) Region(c topology.ParallelConfig, p topology.DevicePosition) Region {
	per := (g.Layers + c.Pipeline - 1) / c.Pipeline
	leaves := g.Leaves / c.Tensor
	return Region{
		FirstLayer: min(p.Pipeline*per, g.Layers), EndLayer: min((p.Pipeline+1)*per, g.Layers),
		FirstLeaf: p.Tensor * leaves, EndLeaf: (p.Tensor + 1) * leaves,
	}
}

// CacheBytes is the KV cache of tokens tokens in r.
func (g Geometry) CacheBytes(r Region, tokens int) int64 {
	return g.cacheBytes(r.Cells(), tokens)
}

func (g Geometry) cacheBytes(cells int64, tokens int) int64 {
	return int64(g.CacheCellBytes * float64(cells) * float64(tokens))
}

// Holding is what one device keeps.
type Holding struct {
	Device   topology.Device
	Pipeline int // whose batches' KV cache it keeps
	Model    Region
}

// Holdings is what all devices keep: at most one position's context each.
type Holdings struct {
	byDevice map[topology.Device]Holding
}

// NewHoldings returns holdings of nothing.
func NewHoldings() *Holdings {
	return &Holdings{byDevice: make(map[topology.Device]Holding)}
}

// Put replaces what a device holds.
func (h *Holdings) Put(x Holding) { h.byDevice[x.Device] = x }

// Drop forgets all devices of a node.
func (h *Holdings) Drop(node string) {
	for d := range h.byDevice {
		if d.Node == node {
			delete(h.byDevice, d)
		}
	}
}

// Works reports whether d holds a position's context.
func (h *Holdings) Works(d topology.Device) bool {
	_, ok := h.byDevice[d]
	return ok
}

// Of returns what d holds.
func (h *Holdings) Of(d topology.Device) (Holding, bool) {
	x, ok := h.byDevice[d]
	return x, ok
}

// All returns every holding, by device.
func (h *Holdings) All() []Holding {
	out := make([]Holding, 0, len(h.byDevice))
	for _, x := range h.byDevice {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Holding) int { return a.Device.Compare(b.Device) })
	return out
}

// Forget says that d keeps nothing that can be relied on.
func (h *Holdings) Forget(d topology.Device) { delete(h.byDevice, d) }

// Clone returns an independent copy.
func (h *Holdings) Clone() *Holdings {
	return &Holdings{byDevice: maps.Clone(h.byDevice)}
}

// Without returns a copy that knows nothing of the given nodes.
func (h *Holdings) Without(nodes []string) *Holdings {
	out := h.Clone()
	for _, n := range nodes {
		out.Drop(n)
	}
	return out
}
