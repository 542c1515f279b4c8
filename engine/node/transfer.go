package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/engine/arena"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/model"
)

// fetches is how many pieces are on their way to a node at a time.
const fetches = 4

// heldWithin is how long a node may take to say what it holds. One that takes
// longer is passed over.
const heldWithin = 3 * time.Second

// transfer brings the context of a plan to this node.
type transfer struct {
	*Node
	duty
	ctx context.Context
	// peers are the nodes to ask when the plan's own source fails: those that this
	// plan or the one before names.
	peers []string

	received, loaded atomic.Int64 // bytes
	recovered        atomic.Int64 // pieces that came from elsewhere than planned
}

// transfer fetches what the plan lacks, the cache first, and opens the lines as
// their part is complete.
func (n *Node) transfer(ctx context.Context, d duty, lines []*line) {
	t := &transfer{Node: n, duty: d, ctx: ctx, peers: n.acquaint(d.others)}
	for _, l := range lines {
		l.cached = t.fetchCache(l.start)
	}
	t.fetchWeights(lines)
	if ctx.Err() == nil {
		n.emit(engineop.ContextLanded{
			Epoch: d.epoch, Bytes: t.received.Load(), DiskBytes: t.loaded.Load(), Recovered: int(t.recovered.Load()),
		})
	}
}

// acquaint returns the nodes that this plan or the one before names, and keeps this
// plan's for the next time.
func (n *Node) acquaint(named []string) []string {
	all := slices.Clone(named)
	for _, x := range n.known {
		if !slices.Contains(all, x) {
			all = append(all, x)
		}
	}
	n.known = named
	return all
}

// fetchWeights fetches the blobs in the order of the plan, several at a time. A
// line whose last one has come is told.
func (t *transfer) fetchWeights(lines []*line) {
	var mu sync.Mutex
	missing := make([]map[model.BlobID]bool, len(lines))
	for i, l := range lines {
		missing[i] = make(map[model.BlobID]bool)
		for _, s := range l.seats {
			for id := range cells(s.region) {
				missing[i][id] = true
			}
		}
	}
	landed := func(id model.BlobID) {
		mu.Lock()
		defer mu.Unlock()
		for i, l := range lines {
			if missing[i][id] {
				if delete(missing[i], id); len(missing[i]) == 0 {
					close(l.here)
				}
			}
		}
	}
	errands := make(chan errand)
	var workers sync.WaitGroup
	for range fetches {
		workers.Go(func() {
			for e := range errands {
				if t.bring(e) {
					landed(e.blob)
				}
			}
		})
	}
	for _, e := range t.errands {
		errands <- e
	}
	close(errands)
	workers.Wait()
}

// bring has a blob here at last: it tries until it is, or the plan is over.
func (t *transfer) bring(e errand) bool {
	pause := firstPause
	for t.ctx.Err() == nil {
		err := t.bringOnce(e)
		if err == nil {
			return true
		}
		if t.ctx.Err() != nil {
			break
		}
		t.log.Error("weights cannot be had; try again", "blob", e.blob.String(), "in", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-t.ctx.Done():
		}
		pause = min(2*pause, 5*time.Second)
	}
	return false
}

func (t *transfer) bringOnce(e errand) error {
	if t.store.has(e.blob) {
		return nil
	}
	block, err := t.alloc(t.config.BlobBytes(e.blob))
	if err != nil {
		return fmt.Errorf("%w; the plan has %d bytes of weights on this node", err, t.weightBytes())
	}
	return t.bringInto(e, block)
}

// bringInto fills a block with a blob and puts it on the shelf.
func (t *transfer) bringInto(e errand, block *arena.Block) error {
	bytes := t.config.BlobBytes(e.blob)
	source, err := t.fill(e, block.Bytes()[:bytes])
	if err != nil {
		free(block)
		return err
	}
	t.store.put(e.blob, block, int(bytes))
	if source == "" {
		t.loaded.Add(bytes)
		t.stats.loaded.Add(bytes)
	} else {
		t.received.Add(bytes)
		t.stats.received.Add(bytes)
	}
	if source != e.from {
		t.recovered.Add(1)
		t.stats.recovered.Add(1)
	}
	return nil
}

// weightBytes is what the plan has here.
func (t *transfer) weightBytes() (n int64) {
	for id := range t.needs {
		n += t.config.BlobBytes(id)
	}
	return n
}

// fill fetches a blob and says from whom: "" is the model's own place.
func (t *transfer) fill(e errand, dst []byte) (source string, err error) {
	item := dataplane.Item{Kind: dataplane.Weights, Layer: e.blob.Layer, Leaf: e.blob.Leaf}
	transfer := dataplane.Transfer{Run: t.Run, Item: item, Dst: dst}
	if e.from != "" && e.from != t.Name {
		if err = t.client.Resume(t.ctx, e.from, &transfer); err == nil {
			return e.from, nil
		}
		t.log.Warn("weights do not come from the node that the plan names; look elsewhere", "blob", e.blob.String(), "node", e.from, "error", err)
		for _, peer := range t.peers {
			if peer == e.from || t.ctx.Err() != nil || !t.holds(peer, item) {
				continue
			}
			if t.client.Resume(t.ctx, peer, &transfer) == nil {
				return peer, nil
			}
		}
	}
	if t.ctx.Err() != nil {
		return "", context.Cause(t.ctx)
	}
	return "", t.Model.ReadBlob(e.blob, dst)
}

// holds asks a node whether it has an item.
func (t *transfer) holds(node string, item dataplane.Item) bool {
	held, err := t.askHeld(node, []dataplane.Item{item})
	return err == nil && held[0] > 0
}

func (t *transfer) askHeld(node string, items []dataplane.Item) ([]int32, error) {
	ctx, cancel := context.WithTimeout(t.ctx, heldWithin)
	defer cancel()
	return t.client.Held(ctx, node, t.Run, items)
}
