package migrate_test

import (
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

// geometry has ten layers of eight leaves: cells of 100 bytes, a token of KV
// cache of one byte a cell.
var geometry = migrate.NewGeometry(cost.Model{Layers: 10, WeightBytes: 8000, KVBytesPerToken: 80}, 8)

func TestRegionsTileTheModel(t *testing.T) {
	for _, c := range []topology.ParallelConfig{
		{Data: 1, Pipeline: 1, Tensor: 1}, {Data: 2, Pipeline: 2, Tensor: 8}, {Data: 1, Pipeline: 3, Tensor: 4},
		{Data: 1, Pipeline: 4, Tensor: 2}, {Data: 1, Pipeline: 10, Tensor: 1},
	} {
		var cells [10][8]int
		for rank := range c.Devices() {
			r := geometry.Region(c, topology.PositionOf(c, rank))
			for l := r.FirstLayer; l < r.EndLayer; l++ {
				for f := r.FirstLeaf; f < r.EndLeaf; f++ {
					cells[l][f]++
				}
			}
		}
		for l, row := range cells {
			for f, n := range row {
				if n != c.Data {
					t.Fatalf("%s: cell (%d, %d) belongs to %d devices, want one a pipeline", c, l, f, n)
				}
			}
		}
	}
}

func TestRegionByHand(t *testing.T) {
	c := topology.ParallelConfig{Data: 2, Pipeline: 4, Tensor: 2}
	for _, tt := range []struct {
		position topology.DevicePosition
		want     migrate.Region
	}{
		{topology.DevicePosition{}, migrate.Region{FirstLayer: 0, EndLayer: 3, FirstLeaf: 0, EndLeaf: 4}},
		{topology.DevicePosition{Data: 1, Pipeline: 2, Tensor: 1}, migrate.Region{FirstLayer: 6, EndLayer: 9, FirstLeaf: 4, EndLeaf: 8}},
		{topology.DevicePosition{Pipeline: 3}, migrate.Region{FirstLayer: 9, EndLayer: 10, FirstLeaf: 0, EndLeaf: 4}}, // what is left
	} {
		if got := geometry.Region(c, tt.position); got != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.position, got, tt.want)
		}
	}
	if got := geometry.CacheBytes(migrate.Region{EndLayer: 3, EndLeaf: 4}, 5); got != 3*4*5 {
		t.Errorf("five tokens in twelve cells take %d bytes, want 60", got)
	}
}

func TestIntersect(t *testing.T) {
	r := migrate.Region{FirstLayer: 2, EndLayer: 6, FirstLeaf: 0, EndLeaf: 4}
	for _, tt := range []struct{ other, want migrate.Region }{
		{r, r},
		{migrate.Region{FirstLayer: 4, EndLayer: 9, FirstLeaf: 2, EndLeaf: 8}, migrate.Region{FirstLayer: 4, EndLayer: 6, FirstLeaf: 2, EndLeaf: 4}},
		{migrate.Region{FirstLayer: 6, EndLayer: 9, EndLeaf: 8}, migrate.Region{}},               // touches
		{migrate.Region{FirstLayer: 2, EndLayer: 6, FirstLeaf: 4, EndLeaf: 8}, migrate.Region{}}, // beside
		{migrate.Region{}, migrate.Region{}},
	} {
		if a, b := r.Intersect(tt.other), tt.other.Intersect(r); a != tt.want || b != tt.want {
			t.Errorf("%+v and %+v share %+v, reversed %+v, want %+v", r, tt.other, a, b, tt.want)
		}
	}
}

func TestHoldings(t *testing.T) {
	dev := func(node string, gpu int) topology.Device { return topology.Device{Node: node, GPU: gpu} }
	h := migrate.NewHoldings()
	for _, d := range []topology.Device{dev("b", 0), dev("a", 1), dev("a", 0)} {
		h.Put(migrate.Holding{Device: d, Pipeline: 7})
	}
	copied := h.Clone()
	without := h.Without([]string{"a"})
	h.Forget(dev("a", 1))
	h.Put(migrate.Holding{Device: dev("b", 0), Pipeline: 8}) // replaces

	if all := h.All(); len(all) != 2 || all[0].Device != dev("a", 0) || all[1].Pipeline != 8 {
		t.Errorf("holds %+v", all)
	}
	if h.Works(dev("a", 1)) || !h.Works(dev("a", 0)) {
		t.Error("forgot the wrong device")
	}
	if _, ok := h.Of(dev("c", 0)); ok {
		t.Error("holds what nobody put")
	}
	if all := copied.All(); len(all) != 3 || all[2].Pipeline != 7 {
		t.Errorf("the copy holds %+v", all)
	}
	if all := without.All(); len(all) != 1 || all[0].Device.Node != "b" {
		t.Errorf("without a: %+v", all)
	}
}

// place fills config in rank order with nodes of two GPUs, the first given.
func place(config topology.ParallelConfig, first int) []topology.Placement {
	return onNodes(config, 2, first)
}

// holdings is what placements of config hold.
func holdings(config topology.ParallelConfig, placements []topology.Placement) *migrate.Holdings {
	h := migrate.NewHoldings()
	for _, p := range placements {
		h.Put(migrate.Holding{Device: p.Device, Pipeline: p.Position.Data, Model: geometry.Region(config, p.Position)})
	}
	return h
}
