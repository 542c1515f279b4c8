package dataplane_test

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
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

func TestRefusals(t *testing.T) {
	r := newRig(t)
	held := newHolder()
	here, broken := weights(1, 2), weights(1, 3)
	held.items[here] = pattern(10, 1)
	held.fails[broken] = errors.New("the disk is gone")
	s := r.node("a", held.provide)
	c := r.client(func(o *dataplane.Options) { o.Streams = 1 })
	long := strings.Repeat("x", 1025)
	for name, x := range map[string]struct {
		node, run string
		item      dataplane.Item
		bytes     int
		want      error
		text      string
	}{
		"not held":           {"a", run, weights(1, 4), 10, dataplane.ErrNotHeld, "layer 1 leaf 4 from a"},
		"other run":          {"a", "e2e-2", here, 10, dataplane.ErrNotHeld, ""},
		"too short":          {"a", run, here, 9, dataplane.ErrLength, "10 bytes here, asked for are 9"},
		"too long":           {"a", run, here, 11, dataplane.ErrLength, "10 bytes here, asked for are 11"},
		"nothing asked for":  {"a", run, here, 0, dataplane.ErrLength, ""},
		"cannot be read":     {"a", run, broken, 10, dataplane.ErrProvider, "the disk is gone"},
		"no kind":            {"a", run, dataplane.Item{}, 10, dataplane.ErrFrame, "kind 0"},
		"weights of tokens":  {"a", run, dataplane.Item{Kind: dataplane.Weights, To: 3}, 10, dataplane.ErrFrame, ""},
		"cache of no tokens": {"a", run, dataplane.Item{Kind: dataplane.Cache, From: 3, To: 3}, 10, dataplane.ErrFrame, ""},
		"negative layer":     {"a", run, weights(-1, 0), 10, dataplane.ErrFrame, "-1"},
		"long run":           {"a", long, here, 10, dataplane.ErrFrame, "1025 bytes, allowed are 1024"},
	} {
		err := c.Fetch(t.Context(), x.node, x.run, x.item, make([]byte, x.bytes))
		if !errors.Is(err, x.want) || !strings.Contains(err.Error(), x.text) {
			t.Errorf("%s: got %v, want %v with %q", name, err, x.want, x.text)
		}
	}
	// The connection is as good as before.
	if err := c.Fetch(t.Context(), "a", run, here, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if n := r.resolved(); n != 1 {
		t.Errorf("the address was asked for %d times, one connection would do", n)
	}
	err := s.Close()
	if open, _ := held.counts(); err != nil || open != 0 {
		t.Errorf("%d items are open, %v", open, err)
	}
}

func TestHeld(t *testing.T) {
	r := newRig(t)
	held := newHolder()
	held.items[weights(0, 1)] = []byte{1}
	held.items[dataplane.Item{Kind: dataplane.Cache, Layer: 2, Leaf: 3, Sequence: 1 << 63, From: 0, To: 40}] = []byte{1}
	r.node("a", held.provide)
	c := r.client()
	cache := func(from, to int) dataplane.Item {
		return dataplane.Item{Kind: dataplane.Cache, Layer: 2, Leaf: 3, Sequence: 1 << 63, From: from, To: to}
	}
	items := []dataplane.Item{weights(0, 1), weights(0, 2), cache(0, 10), cache(0, 100), cache(39, 41), cache(60, 61)}
	got, err := c.Held(t.Context(), "a", run, items)
	if want := []int32{1, 0, 10, 40, 1, 0}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	// More than one question's worth.
	many := make([]dataplane.Item, 40_000)
	for i := range many {
		many[i] = weights(i%3, i%2)
	}
	got, err = c.Held(t.Context(), "a", run, many)
	if err != nil || len(got) != len(many) {
		t.Fatal(len(got), err)
	}
	for i, n := range got {
		if held := i%3 == 0 && i%2 == 1; held != (n == 1) {
			t.Fatalf("item %d: %d is held, want %t", i, n, held)
		}
	}
	if got, err := c.Held(t.Context(), "a", run, nil); err != nil || len(got) != 0 {
		t.Errorf("nothing asked: %v, %v", got, err)
	}
	if _, err := c.Held(t.Context(), "a", run, []dataplane.Item{{}}); !errors.Is(err, dataplane.ErrFrame) {
		t.Errorf("got %v", err)
	}
}

// However many fetches there are, a peer gets no more connections than streams,
// and all items come.
func TestStreamsAreBounded(t *testing.T) {
	const items, streams = 40, 3
	r := newRig(t)
	held := newHolder()
	for i := range items {
		held.items[weights(i, 0)] = pattern(200_000+i, uint64(i))
	}
	type delivery struct {
		item  dataplane.Item
		bytes int
	}
	delivered := make(chan delivery, items)
	s := r.node("a", held.provide, func(o *dataplane.Options) {
		o.Delivered = func(_ string, item dataplane.Item, n int) { delivered <- delivery{item, n} }
	})
	p := newProxy(t, s.Addr(), always(noFault))
	r.publish("a", p.addr())
	c := r.client(func(o *dataplane.Options) { o.Streams = streams })
	var wg sync.WaitGroup
	for i := range items {
		wg.Go(func() {
			want := held.items[weights(i, 0)]
			dst := make([]byte, len(want))
			if err := c.Fetch(t.Context(), "a", run, weights(i, 0), dst); err != nil || !bytes.Equal(dst, want) {
				t.Errorf("item %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if _, most := held.counts(); p.count() > streams || most > streams {
		t.Errorf("%d connections and %d items at a time, allowed are %d", p.count(), most, streams)
	}
	seen := map[dataplane.Item]bool{}
	for range items {
		d := <-delivered
		if seen[d.item] || d.bytes != len(held.items[d.item]) {
			t.Errorf("%s: delivered before: %t, %d bytes of %d", d.item, seen[d.item], d.bytes, len(held.items[d.item]))
		}
		seen[d.item] = true
	}
}

// A server that has as many connections as it may says so, and serves again when
// one has ended.
func TestBusy(t *testing.T) {
	r := newRig(t)
	held := newHolder()
	held.items[weights(0, 0)] = []byte("abcd")
	s := r.node("a", held.provide, func(o *dataplane.Options) { o.MaxConns = 1 })
	other, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	c := r.client(func(o *dataplane.Options) { o.Attempts = 2 })
	if err := c.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 4)); !errors.Is(err, dataplane.ErrBusy) {
		t.Fatalf("got %v, want ErrBusy", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	patient := r.client(func(o *dataplane.Options) { o.Attempts = 50 })
	if err := patient.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
}

func TestBadOptions(t *testing.T) {
	r := newRig(t)
	for name, o := range map[string]dataplane.Options{
		"no node":       {Resolve: r.Resolve},
		"long node":     {Node: strings.Repeat("n", 1025), Resolve: r.Resolve},
		"no resolver":   {Node: "a"},
		"huge messages": {Node: "a", Resolve: r.Resolve, MaxMessage: 1 << 40},
	} {
		if _, err := dataplane.Listen("127.0.0.1:0", o); err == nil {
			t.Errorf("%s: a server listens", name)
		}
		if _, err := dataplane.NewClient(o); err == nil {
			t.Errorf("%s: there is a client", name)
		}
	}
	if _, err := dataplane.Listen("nowhere:1:2", r.options("a")); err == nil {
		t.Error("a server listens nowhere")
	}
}
