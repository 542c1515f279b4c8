package assign_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/assign"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

func devices(nodes ...string) []topology.Device {
	var out []topology.Device
	for _, n := range nodes {
		out = append(out, topology.Device{Node: n, GPU: 0}, topology.Device{Node: n, GPU: 1})
	}
	return out
}

func working(nodes ...string) *migrate.Holdings {
	h := migrate.NewHoldings()
	for _, d := range devices(nodes...) {
		h.Put(migrate.Holding{Device: d})
	}
	return h
}

func TestRankOrder(t *testing.T) {
	config := topology.ParallelConfig{Data: 2, Pipeline: 1, Tensor: 2}
	for _, tt := range []struct {
		name    string
		devices []topology.Device
		held    *migrate.Holdings
		want    []string // devices in position order
	}{
		{"by id, not as given", devices("node-10", "node-2"), working(), []string{"node-2/0", "node-2/1", "node-10/0", "node-10/1"}},
		{"what works stays in use", devices("node-1", "node-2", "node-3"), working("node-2", "node-3"),
			[]string{"node-2/0", "node-2/1", "node-3/0", "node-3/1"}},
		{"idle ones fill up", devices("node-1", "node-2", "node-3"), working("node-3"),
			[]string{"node-1/0", "node-1/1", "node-3/0", "node-3/1"}},
		{"too few", devices("node-1"), working(), nil},
	} {
		before := slices.Clone(tt.devices)
		var got []string
		for rank, p := range (assign.RankOrder{}).Map(assign.Request{Config: config, Devices: tt.devices, Held: tt.held}) {
			if p.Position != topology.PositionOf(config, rank) {
				t.Errorf("%s: position %d is %v", tt.name, rank, p.Position)
			}
			got = append(got, p.Device.String())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if !slices.Equal(before, tt.devices) {
			t.Errorf("%s: the caller's devices changed order", tt.name)
		}
	}
	if got := (assign.RankOrder{}).Map(assign.Request{Devices: devices("node-1"), Held: working()}); got != nil {
		t.Errorf("no configuration gets %v", got)
	}
}

// TestEveryMapperFillsPositionsOnce is what the planner relies on, whatever the
// mapper optimises: every position has one device, and no device two.
func TestEveryMapperFillsPositionsOnce(t *testing.T) {
	mappers := []assign.DeviceMapper{assign.RankOrder{}, assign.KuhnMunkres{Geometry: geometry}}
	config := topology.ParallelConfig{Data: 2, Pipeline: 3, Tensor: 2}
	var nodes []string
	for n := range 9 {
		nodes = append(nodes, fmt.Sprintf("node-%d", n))
	}
	for _, m := range mappers {
		for n := 6; n <= len(nodes); n++ {
			seen := make(map[topology.Device]bool)
			for rank, p := range m.Map(assign.Request{Config: config, Devices: devices(nodes[:n]...), Held: working(nodes[2:5]...)}) {
				if seen[p.Device] || p.Position.Rank(config) != rank {
					t.Errorf("%T: %v at rank %d", m, p, rank)
				}
				seen[p.Device] = true
			}
			if len(seen) != config.Devices() {
				t.Errorf("%T fills %d of %d positions", m, len(seen), config.Devices())
			}
		}
	}
}
