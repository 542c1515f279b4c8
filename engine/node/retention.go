package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/spotserve/spotserve/engine/arena"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/weights"
)

// retention knows what of the context is still of use, and to whom.
type retention struct {
	mu     sync.Mutex
	plans  uint64
	needs  map[model.BlobID]bool // of the present plan
	before map[model.BlobID]bool // of the one before
	sends  map[model.BlobID]int  // what the present plan has others fetch, how often
	used   map[uint64]uint64     // the plan under which a sequence was used last
}

// makeRoom sets the memory up.
func (n *Node) makeRoom() (err error) {
	n.arena = arena.New(n.Memory)
	o := weights.Options{Config: n.config, Memory: n.arena}
	if published, ok := n.Model.(interface {
		Sum(model.BlobID) (uint32, bool)
	}); ok {
		o.Sum = published.Sum
	}
	n.store = weights.NewStore(o)
	n.kept.used = make(map[uint64]uint64)
	memory := n.Memory
	if memory <= 0 {
		memory = 1 << 62
	}
	n.cache, err = kv.New(kv.Options{Config: n.config, MaxBytes: memory, Alloc: n.lend})
	return err
}

// lend gives the cache memory. Whoever computes goes before those who are still to
// fetch from here.
func (n *Node) lend(bytes int64) (kv.Block, error) {
	b, err := n.store.Alloc(bytes)
	if errors.Is(err, arena.ErrFull) && n.yield() {
		b, err = n.store.Alloc(bytes)
	}
	if err != nil {
		return nil, err
	}
	return lent{b}, nil
}

// lent is memory as the cache takes it.
type lent struct{ *arena.Block }

// Free gives the memory back. That fails only where it was given back before.
func (l lent) Free() { _ = l.Block.Free() }

// retain drops the context that neither the plan of d nor the one before needs.
// Sequences in pipelines that run on stay, in the part of the model that either
// plan has here.
func (n *Node) retain(d duty, kept []*line) {
	k := &n.kept
	sequences := n.cache.Sequences() // who lends the cache memory takes our mutex
	k.mu.Lock()
	k.plans++
	k.before, k.needs, k.sends = k.needs, d.needs, d.sends
	for _, s := range d.starts {
		for _, r := range s.resume {
			k.used[uint64(r.Request)] = k.plans
		}
	}
	for _, l := range kept {
		for id := range l.live {
			k.used[id] = k.plans
		}
	}
	stale := make(map[uint64]bool)
	for _, id := range sequences {
		stale[id] = k.used[id]+1 < k.plans
	}
	for id := range k.used {
		if k.used[id]+1 < k.plans {
			delete(k.used, id)
		}
	}
	n.hold()
	k.mu.Unlock()
	for _, id := range n.store.List() {
		if !k.needs[id] && !k.before[id] {
			n.store.Drop(id)
		}
	}
	for _, id := range sequences {
		if stale[id] {
			n.cache.Drop(id)
			continue
		}
		for layer := range n.config.Layers {
			for leaf := range n.config.Leaves {
				if x := (model.BlobID{Layer: layer, Leaf: leaf}); !k.needs[x] && !k.before[x] {
					// One that is being sent stays until the next plan.
					n.cache.DropRegion(id, cellRegion(x))
				}
			}
		}
	}
}

func cellRegion(id model.BlobID) kv.Region {
	return kv.Region{Layers: [2]int{id.Layer, id.Layer + 1}, Leaves: [2]int{id.Leaf, id.Leaf + 1}}
}

// touch notes that a line uses a sequence under the present plan.
func (l *line) touch(id uint64) {
	k := &l.node.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used[id] = k.plans
	l.live[id] = true
}

// forget drops the cache of a sequence that has ended.
func (l *line) forget(id uint64) {
	k := &l.node.kept
	k.mu.Lock()
	delete(k.used, id)
	delete(l.live, id)
	k.mu.Unlock()
	l.node.cache.Drop(id)
}

// hold has the store keep what the present plan needs here, and what it has others
// fetch from here. The caller has retention's mutex.
func (n *Node) hold() {
	set := slices.Collect(maps.Keys(n.kept.needs))
	for id := range n.kept.sends {
		if !n.kept.needs[id] {
			set = append(set, id)
		}
	}
	n.store.Hold(set)
}

// yield lets go of what others are still to fetch, and reports whether there was
// any. They find it elsewhere.
func (n *Node) yield() bool {
	n.kept.mu.Lock()
	defer n.kept.mu.Unlock()
	left := len(n.kept.sends)
	if left > 0 {
		n.log.Warn("memory is short: let go of weights that other nodes are still to fetch", "blobs", left)
		clear(n.kept.sends)
		n.hold()
	}
	return left > 0
}

// awaited reports whether others are still to fetch something from here.
func (n *Node) awaited() bool {
	n.kept.mu.Lock()
	defer n.kept.mu.Unlock()
	return len(n.kept.sends) > 0
}

// clear drops everything.
func (n *Node) clear() {
	n.kept.mu.Lock()
	n.kept.needs, n.kept.before, n.kept.sends = nil, nil, nil
	clear(n.kept.used)
	n.kept.mu.Unlock()
	n.store.Clear()
	for _, id := range n.cache.Sequences() {
		n.cache.Drop(id)
	}
}

// provider gives out the node's context.
type provider struct{ *Node }

// Open implements dataplane.Provider.
func (p provider) Open(run string, item dataplane.Item) (data []byte, release func(), err error) {
	switch {
	case run != p.Run:
		return nil, nil, fmt.Errorf("context of run %s: %w", run, dataplane.ErrNotHeld)
	case item.Kind == dataplane.Weights:
		return p.store.Get(model.BlobID{Layer: item.Layer, Leaf: item.Leaf})
	}
	if item.To > p.config.Context || p.cache.Tokens(item.Sequence, item.Layer, item.Leaf) < item.To {
		return nil, nil, fmt.Errorf("%s: %w", item, dataplane.ErrNotHeld)
	}
	data = make([]byte, kv.ExportBytes(p.config, item.To-item.From))
	if err := p.cache.Export(item.Sequence, item.Layer, item.Leaf, item.From, item.To, data); err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", item, dataplane.ErrNotHeld, err)
	}
	return data, func() {}, nil
}

// Held implements dataplane.Provider.
func (p provider) Held(run string, item dataplane.Item) int {
	switch {
	case run != p.Run:
		return 0
	case item.Kind == dataplane.Weights:
		if p.store.Has(model.BlobID{Layer: item.Layer, Leaf: item.Leaf}) {
			return 1
		}
		return 0
	}
	return max(0, min(p.cache.Tokens(item.Sequence, item.Layer, item.Leaf), item.To)-item.From)
}

// delivered notes that a peer has got a piece.
func (n *Node) delivered(_ string, item dataplane.Item, bytes int) {
	n.stats.sent.Add(int64(bytes))
	if item.Kind == dataplane.Weights {
		n.kept.mu.Lock()
		defer n.kept.mu.Unlock()
		id := model.BlobID{Layer: item.Layer, Leaf: item.Leaf}
		if n.kept.sends[id]--; n.kept.sends[id] <= 0 {
			delete(n.kept.sends, id)
			n.hold()
		}
	}
}
