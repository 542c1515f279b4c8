package assign_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/assign"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

// geometry has twelve layers of eight leaves: cells of 100 bytes, a token of KV
// cache of one byte a cell.
var geometry = migrate.NewGeometry(cost.Model{Layers: 12, WeightBytes: 9600, KVBytesPerToken: 96}, 8)

var mapper = assign.KuhnMunkres{Geometry: geometry}

func config(data, pipeline, tensor int) topology.ParallelConfig {
	return topology.ParallelConfig{Data: data, Pipeline: pipeline, Tensor: tensor}
}

// gpus lists the GPUs of nodes, by the numbers in their names.
func gpus(each int, numbers ...int) []topology.Device {
	var out []topology.Device
	for _, n := range numbers {
		for g := range each {
			out = append(out, topology.Device{Node: fmt.Sprintf("node-%d", n), GPU: g})
		}
	}
	return out
}

// holdIn has devices hold the positions of c, in rank order.
func holdIn(c topology.ParallelConfig, devices []topology.Device) *migrate.Holdings {
	h := migrate.NewHoldings()
	for rank, d := range devices[:c.Devices()] {
		p := topology.PositionOf(c, rank)
		h.Put(migrate.Holding{Device: d, Pipeline: p.Data, Model: geometry.Region(c, p)})
	}
	return h
}

// nodesOf lists the number of the node that each run of each positions is on.
// It fails if they are not on one.
func nodesOf(t *testing.T, placements []topology.Placement, each int) []int {
	t.Helper()
	var out []int
	for part := range slices.Chunk(placements, each) {
		for _, p := range part {
			if p.Device.Node != part[0].Device.Node {
				t.Fatalf("positions %v and %v are on %s and %s", part[0].Position, p.Position, part[0].Device.Node, p.Device.Node)
			}
		}
		var n int
		if _, err := fmt.Sscanf(part[0].Device.Node, "node-%d", &n); err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

func TestMapByHand(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new topology.ParallelConfig
		held     []int // nodes of four GPUs that hold the old positions in order
		at       []int // nodes at hand
		inherit  []migrate.Inheritance
		want     []int // nodes of the new positions, four at a time
		kept     int64
	}{
		{
			name: "one node replaced: only its positions move",
			old:  config(2, 2, 8), held: []int{0, 1, 2, 3, 4, 5, 6, 7},
			new: config(2, 2, 8), at: []int{0, 1, 8, 3, 4, 5, 6, 7},
			want: []int{0, 1, 8, 3, 4, 5, 6, 7}, kept: 7 * 4 * 6 * 100,
		},
		{
			name: "the replaced one comes first in order, and its replica would like its place",
			old:  config(2, 2, 4), held: []int{1, 2, 3, 4},
			new: config(2, 2, 4), at: []int{0, 2, 3, 4},
			want: []int{0, 2, 3, 4}, kept: 3 * 12 * 400,
		},
		{
			name: "nodes stay where they were though ids say otherwise",
			old:  config(1, 3, 4), held: []int{9, 4, 7},
			new: config(1, 3, 4), at: []int{1, 4, 7, 9},
			want: []int{9, 4, 7}, kept: 3 * 4 * 800,
		},
		{
			name: "a new pipeline takes the nodes that have nothing to keep, by id",
			old:  config(1, 2, 4), held: []int{5, 3},
			new: config(2, 2, 4), at: []int{1, 3, 5, 8, 20},
			want: []int{5, 3, 1, 8}, kept: 2 * 4 * 1200,
		},
		{
			name: "fewer, wider stages: each node goes where its layers are, then by id",
			old:  config(1, 4, 4), held: []int{3, 2, 1, 0},
			new: config(1, 2, 8), at: []int{0, 1, 2, 3},
			// A position wants six layers of one leaf, a GPU has three layers of two
			// leaves: two GPUs of a node keep one leaf each, and both halves of a
			// stage would do for its node.
			want: []int{2, 3, 0, 1}, kept: 4 * 2 * 300,
		},
		{
			name: "without a batch to go on with, pipelines keep their numbers",
			old:  config(2, 1, 4), held: []int{0, 1},
			new: config(2, 1, 4), at: []int{0, 1},
			want: []int{0, 1}, kept: 2 * 9600,
		},
		{
			name: "cache chooses between replicas: both batches change pipelines",
			old:  config(2, 1, 4), held: []int{0, 1},
			new: config(2, 1, 4), at: []int{0, 1},
			inherit: []migrate.Inheritance{{From: 1, To: 0, Tokens: 2}, {From: 0, To: 1, Tokens: 1}},
			want:    []int{1, 0}, kept: 2*9600 + 3*96,
		},
		{
			name: "the batch that goes on chooses which replica stays",
			old:  config(3, 1, 4), held: []int{0, 1, 2},
			new: config(1, 1, 4), at: []int{0, 1, 2},
			inherit: []migrate.Inheritance{{From: 2, To: 0, Tokens: 50}},
			want:    []int{2}, kept: 9600 + 50*96,
		},
		{
			name: "much cache outweighs weights",
			old:  config(1, 2, 4), held: []int{0, 1},
			new: config(1, 1, 4), at: []int{0, 1, 2},
			inherit: []migrate.Inheritance{{From: 0, To: 0, Tokens: 7}},
			want:    []int{0}, kept: 4800 + 7*48,
		},
	} {
		r := assign.Request{Config: tt.new, Devices: gpus(4, tt.at...), Held: holdIn(tt.old, gpus(4, tt.held...)), Inherit: tt.inherit}
		got := mapper.Map(r)
		if nodes := nodesOf(t, got, 4); !slices.Equal(nodes, tt.want) {
			t.Errorf("%s: nodes %v, want %v", tt.name, nodes, tt.want)
		}
		if kept := assign.KeptBytes(r, got, geometry); kept != tt.kept {
			t.Errorf("%s: keeps %d bytes, want %d", tt.name, kept, tt.kept)
		}
		if tt.old != tt.new || tt.inherit != nil {
			continue
		}
		for rank, p := range got {
			if was, ok := r.Held.Of(p.Device); ok && p.Device != gpus(4, tt.held...)[rank] {
				t.Errorf("%s: %s moves from %+v to %v", tt.name, p.Device, was, p.Position)
			}
		}
	}
}

// TestMapWeighsBytesBeforePlaces: two pipelines that swap their batches swap
// their devices for a byte of cache a GPU, though all eight could stay.
func TestMapWeighsBytesBeforePlaces(t *testing.T) {
	light := geometry
	light.CacheCellBytes = 1. / 24
	r := assign.Request{
		Config: config(2, 1, 4), Devices: gpus(4, 0, 1), Held: holdIn(config(2, 1, 4), gpus(4, 0, 1)),
		Inherit: []migrate.Inheritance{{From: 1, To: 0, Tokens: 1}},
	}
	got := assign.KuhnMunkres{Geometry: light}.Map(r)
	if nodes := nodesOf(t, got, 4); !slices.Equal(nodes, []int{1, 0}) {
		t.Errorf("nodes %v, want the one with the cache first", nodes)
	}
	if kept := assign.KeptBytes(r, got, light); kept != 2*9600+4 {
		t.Errorf("keeps %d bytes, want the model twice and 4 of cache", kept)
	}
}

// TestMapChoosesAmongSpareGPUs: nodes of six GPUs have room for one
// tensor-parallel group of four each, on any of their GPUs.
func TestMapChoosesAmongSpareGPUs(t *testing.T) {
	c := config(2, 1, 4)
	devices := gpus(6, 0, 1)
	held := []topology.Device{devices[5], devices[2], devices[4], devices[3], devices[6], devices[7], devices[9], devices[11]}
	got := mapper.Map(assign.Request{Config: c, Devices: devices, Held: holdIn(c, held)})
	for rank, p := range got {
		if p.Device != held[rank] {
			t.Errorf("position %v is on %s, want %s, which holds it", p.Position, p.Device, held[rank])
		}
	}
}
