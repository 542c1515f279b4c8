package dataplane_test

import (
	"bytes"
	"testing"

	"github.com/spotserve/spotserve/engine/dataplane"
)

func TestFetch(t *testing.T) {
	r := newRig(t)
	held := newHolder()
	var items []dataplane.Item
	for i, n := range []int{1, 3, 4096, dataplane.ChunkBytes - 1, dataplane.ChunkBytes, dataplane.ChunkBytes + 1, 5*dataplane.ChunkBytes + 17} {
		item := weights(i, 2*i)
		items = append(items, item)
		held.items[item] = pattern(n, uint64(i))
	}
	r.node("a", held.provide)
	c := r.client()
	for _, item := range items {
		want := held.items[item]
		dst := make([]byte, len(want))
		var progress []int
		err := c.Resume(t.Context(), "a", &dataplane.Transfer{
			Run: "e2e-1", Item: item, Dst: dst, Progress: func(n int) { progress = append(progress, n) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst, want) {
			t.Errorf("%s came as other bytes", item)
		}
		if n := (len(want) + dataplane.ChunkBytes - 1) / dataplane.ChunkBytes; len(progress) != n || progress[n-1] != len(want) {
			t.Errorf("%d bytes: progress was %v, want %d chunks", len(want), progress, n)
		}
	}
}
