package topology_test

import (
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/topology"
)

func TestParallelConfig(t *testing.T) {
	c := topology.ParallelConfig{Data: 2, Pipeline: 3, Tensor: 4, Batch: 4, PrefillMicroBatches: 4, DecodeMicroBatches: 1}
	if got := c.Devices(); got != 24 {
		t.Errorf("%s occupies %d devices, want 24", c, got)
	}
	if got := c.DevicesPerPipeline(); got != 12 {
		t.Errorf("a pipeline of %s occupies %d devices, want 12", c, got)
	}
	if got := c.String(); got != "2x3x4" {
		t.Errorf("prints %q, want 2x3x4", got)
	}
	if c.IsZero() || !(topology.ParallelConfig{}).IsZero() {
		t.Error("only a configuration without pipelines is zero")
	}
	more := c
	more.Data, more.Batch = 5, 1
	if !c.SameShape(more) {
		t.Errorf("%s and %s cut the model alike", c, more)
	}
	for _, other := range []topology.ParallelConfig{{Data: 2, Pipeline: 2, Tensor: 4}, {Data: 2, Pipeline: 3, Tensor: 8}} {
		if c.SameShape(other) {
			t.Errorf("%s and %s do not cut the model alike", c, other)
		}
	}
}

// TestRankCountsPositions walks every configuration of up to 4x4x4: ranks count
// the positions in (d, p, m) order, and PositionOf finds the way back.
func TestRankCountsPositions(t *testing.T) {
	for data := 1; data <= 4; data++ {
		for pipeline := 1; pipeline <= 4; pipeline++ {
			for tensor := 1; tensor <= 4; tensor++ {
				c := topology.ParallelConfig{Data: data, Pipeline: pipeline, Tensor: tensor}
				rank := 0
				for d := range data {
					for p := range pipeline {
						for m := range tensor {
							pos := topology.DevicePosition{Data: d, Pipeline: p, Tensor: m}
							if got := pos.Rank(c); got != rank {
								t.Fatalf("rank of %v in %s is %d, want %d", pos, c, got, rank)
							}
							if got := topology.PositionOf(c, rank); got != pos {
								t.Fatalf("position %d of %s is %v, want %v", rank, c, got, pos)
							}
							rank++
						}
					}
				}
				if rank != c.Devices() {
					t.Fatalf("%s has %d positions and %d devices", c, rank, c.Devices())
				}
			}
		}
	}
}

func TestCompareNodesCountsAsPeopleDo(t *testing.T) {
	inOrder := []string{
		"", "10", "a", "a1", "a1b", "a2", "a10", "node", "node-", "node-0", "node-002", "node-02", "node-2",
		"node-10", "node-10a", "node-10a2", "node-10a10", "node-11", "node-9999999999999999999998",
		"node-9999999999999999999999", "nodes",
	}
	for i, a := range inOrder {
		for j, b := range inOrder {
			want := 0
			switch {
			case i < j:
				want = -1
			case i > j:
				want = 1
			}
			if got := topology.CompareNodes(a, b); got != want {
				t.Errorf("CompareNodes(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

// FuzzCompareNodes: a total order is reflexive, antisymmetric and transitive,
// and only equal names compare as equal.
func FuzzCompareNodes(f *testing.F) {
	f.Add("node-2", "node-10", "node-010")
	f.Add("a1", "a01", "a1b")
	f.Add("", "0", "00")
	f.Fuzz(checkOrder)
}

func checkOrder(t *testing.T, a, b, c string) {
	t.Helper()
	if (topology.CompareNodes(a, b) == 0) != (a == b) {
		t.Errorf("%q and %q compare as %d", a, b, topology.CompareNodes(a, b))
	}
	if x, y := topology.CompareNodes(a, b), topology.CompareNodes(b, a); x != -y {
		t.Errorf("%q and %q compare as %d, reversed as %d", a, b, x, y)
	}
	names := []string{a, b, c}
	slices.SortFunc(names, topology.CompareNodes)
	if topology.CompareNodes(names[0], names[2]) > 0 {
		t.Errorf("%q is not transitive", names)
	}
}

// TestCompareNodesIsTotal draws short names of few letters, so that zeros and
// digits meet in every way.
func TestCompareNodesIsTotal(t *testing.T) {
	r := draw.Stream(1, "names")
	name := func() string {
		b := make([]byte, r.IntN(6))
		for i := range b {
			b[i] = "a-0012"[r.IntN(6)]
		}
		return string(b)
	}
	for range 20_000 {
		checkOrder(t, name(), name(), name())
	}
}

func TestDevicesSortByNodeThenIndex(t *testing.T) {
	devices := []topology.Device{{Node: "node-10", GPU: 0}, {Node: "node-2", GPU: 1}, {Node: "node-2", GPU: 0}}
	slices.SortFunc(devices, topology.Device.Compare)
	want := []topology.Device{{Node: "node-2", GPU: 0}, {Node: "node-2", GPU: 1}, {Node: "node-10", GPU: 0}}
	if !slices.Equal(devices, want) {
		t.Errorf("sorted as %v, want %v", devices, want)
	}
	if got := devices[2].String(); got != "node-10/0" {
		t.Errorf("prints %q, want node-10/0", got)
	}
}
