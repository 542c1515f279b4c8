package node

import (
	"reflect"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/model"
)

// TestDuty: a node's part of a plan, as it is read.
func TestDuty(t *testing.T) {
	a, b, c := topology.Device{Node: "a"}, topology.Device{Node: "b"}, topology.Device{Node: "c", GPU: 1}
	g := migrate.Geometry{Layers: 3, Leaves: 4}
	config := shape(1, 2, 2)
	place := func(d topology.Device, p, m int) topology.Placement {
		return topology.Placement{Device: d, Position: topology.DevicePosition{Pipeline: p, Tensor: m}}
	}
	weights := func(layer int, leaves uint64, from, to topology.Device) migrate.Step {
		return migrate.Step{Kind: migrate.ModelContext, Layer: layer, Leaves: leaves, From: from, To: to}
	}
	d := newDuty("a", g, event.ApplyMigration{
		Epoch: event.Epoch{Term: 1, N: 4}, Config: config,
		Placements: []topology.Placement{place(a, 0, 1)}, // layers 0 and 1, leaves 2 and 3
		Steps: []migrate.Step{
			{Kind: migrate.CacheContext, Layer: -1, From: b, To: a},
			{Kind: migrate.CacheContext, Layer: -1, From: b, To: a},
			{Kind: migrate.CacheContext, Layer: -1, From: a, To: a},
			weights(1, 1<<3, b, a),
			weights(0, 0, topology.Device{}, a), // does not tell its leaves
			weights(2, 1<<0|1<<1, a, c),
			weights(2, 1<<1, a, b),
			weights(1, 1<<3, c, a), // is on its way already
			weights(2, 1<<3, c, a), // not needed here
		},
		Pipelines: []event.PipelineStart{{Leader: true, Resume: []event.AssignedRequest{{Request: 3}}, Devices: []topology.Placement{
			place(b, 0, 0), place(a, 0, 1), place(c, 1, 0), place(topology.Device{Node: "d"}, 1, 1),
		}}},
	})
	id := func(layer, leaf int) model.BlobID { return model.BlobID{Layer: layer, Leaf: leaf} }
	if want := []errand{{id(1, 3), "b"}, {id(0, 2), ""}, {id(0, 3), ""}, {id(1, 2), ""}}; !slices.Equal(d.errands, want) {
		t.Errorf("errands %v, want %v", d.errands, want)
	}
	if want := map[model.BlobID]int{id(2, 0): 1, id(2, 1): 2}; !reflect.DeepEqual(d.sends, want) {
		t.Errorf("sends %v, want %v", d.sends, want)
	}
	if want := []string{"b", "c", "d"}; !slices.Equal(d.others, want) {
		t.Errorf("others %v, want %v", d.others, want)
	}
	s := d.starts[0]
	if !s.leads || !slices.Equal(s.sources, []string{"b"}) || s.leader() != (dataplane.Peer{Node: "b"}) || s.peer(1, 0) != (dataplane.Peer{Node: "c", Device: 1}) {
		t.Errorf("it starts %+v", s)
	}
	if want := []seat{{0, topology.DevicePosition{Tensor: 1}, migrate.Region{EndLayer: 2, FirstLeaf: 2, EndLeaf: 4}}}; !slices.Equal(s.seats, want) {
		t.Errorf("seats %+v, want %+v", s.seats, want)
	}
}

// TestPipelinesThatCannotBe are left out and named: a plan comes over the bus.
func TestPipelinesThatCannotBe(t *testing.T) {
	at := []topology.Placement{{Device: topology.Device{Node: "a"}}, {Device: topology.Device{Node: "b"}}}
	for devices, good := range map[int]bool{0: false, 1: false, 2: true} {
		d := newDuty("a", migrate.Geometry{Layers: 2, Leaves: 2}, event.ApplyMigration{
			Config: shape(1, 2, 1), Pipelines: []event.PipelineStart{{Leader: true, Devices: at[:devices]}},
		})
		misfits := d.leaveOut()
		if (len(d.starts) == 1) != good || (len(misfits) == 0) != good {
			t.Errorf("%d devices of 2: %d pipelines start, misfits are %q", devices, len(d.starts), misfits)
		}
	}
}
