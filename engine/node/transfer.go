package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/engine/arena"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/weights"
)

// fetches is how many pieces are on their way to a node at a time.
const fetches = 4

// heldWithin is how long a node may take to say what it holds. One that takes
// longer is passed over.
const heldWithin = 3 * time.Second

// fetchedWithin is how long weights that do not fit wait for other nodes to fetch
// what is kept for them.
const fetchedWithin = 2 * time.Second

// transfer brings the context of a plan to this node.
type transfer struct {
	*Node
	duty
	ctx context.Context
	// ahead: it is for a plan to come. Who computes goes on meanwhile, so that what
	// was lacking may have become whole, or useless.
	ahead bool
	// peers are the nodes to ask when the plan's own source fails: those that this
	// plan or the one before names.
	peers []string

	received, loaded atomic.Int64 // bytes
	recovered        atomic.Int64 // pieces that came from elsewhere than planned

	mu sync.Mutex
	// lost are nodes that could not be reached, attempts of the data plane
	// included: this transfer asks them for nothing more.
	lost map[string]bool
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

// fetchWeights fetches the blobs in the order of the plan, several at a time, until
// all are here or the plan is over. A line whose last one has come is told.
func (t *transfer) fetchWeights(lines []*line) {
	missing := make([]map[model.BlobID]bool, len(lines))
	for i, l := range lines {
		missing[i] = make(map[model.BlobID]bool)
		for _, s := range l.seats {
			for id := range cells(s.region) {
				missing[i][id] = true
			}
		}
	}
	planned := make(map[model.BlobID]string, len(t.errands))
	steps := make([]weights.Step, len(t.errands))
	for i, e := range t.errands {
		planned[e.blob], steps[i] = e.from, t.step(e)
	}
	landed := func(p weights.Progress) {
		t.count(p, planned[p.Blob])
		for i, l := range lines {
			if missing[i][p.Blob] {
				if delete(missing[i], p.Blob); len(missing[i]) == 0 {
					close(l.here)
				}
			}
		}
	}
	t.insist(func() error { return t.store.Load(t.ctx, steps, fetches, landed) })
}

// insist calls load until it succeeds or the plan is over. Memory that is short
// may become free when others have fetched what they need from here; if not, they
// have to find it elsewhere.
func (t *transfer) insist(load func() error) {
	pause, began := firstPause, time.Now()
	for {
		err := load()
		if err == nil || t.ctx.Err() != nil {
			return
		}
		level := slog.LevelError
		if errors.Is(err, arena.ErrFull) {
			err = fmt.Errorf("%w; the plan has %d bytes of weights here", err, t.weightBytes())
			if time.Since(began) > fetchedWithin && t.yield() {
				continue
			}
			if t.awaited() {
				level = slog.LevelDebug
			}
		}
		t.log.Log(t.ctx, level, "weights cannot be had; try again", "epoch", t.duty.epoch, "in", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-t.ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
}

// step says where a blob may come from: from whom the plan says, from anybody else,
// from the model's own place.
func (t *transfer) step(e errand) weights.Step {
	s := weights.Step{Blob: e.blob}
	if e.from != "" && e.from != t.Name {
		s.From = append(s.From, fromNode{t, e.from}, fromAnybody{t, e.from})
	}
	s.From = append(s.From, weights.FromSource("the model's own place", t.Model))
	return s
}

// fromNode loads from the node that a plan names.
type fromNode struct {
	*transfer
	node string
}

func (f fromNode) String() string { return "node " + f.node }

// Load implements weights.Loader.
func (f fromNode) Load(_ context.Context, id model.BlobID, dst []byte) error {
	return f.resume(f.node, &dataplane.Transfer{Run: f.Run, Item: weightsOf(id), Dst: dst})
}

// fromAnybody loads from whoever else has a blob.
type fromAnybody struct {
	*transfer
	but string
}

func (f fromAnybody) String() string { return "other nodes" }

// Load implements weights.Loader.
func (f fromAnybody) Load(_ context.Context, id model.BlobID, dst []byte) error {
	t := dataplane.Transfer{Run: f.Run, Item: weightsOf(id), Dst: dst}
	for _, peer := range f.peers {
		if peer != f.but && f.holds(peer, t.Item) && f.resume(peer, &t) == nil {
			return nil
		}
	}
	return weights.ErrNotHeld
}

func weightsOf(id model.BlobID) dataplane.Item {
	return dataplane.Item{Kind: dataplane.Weights, Layer: id.Layer, Leaf: id.Leaf}
}

// count counts a blob that has come.
func (t *transfer) count(p weights.Progress, planned string) {
	bytes, where := t.config.BlobBytes(p.Blob), ""
	switch from := p.From.(type) {
	case nil:
		return // it was here
	case fromNode:
		where = from.node
		t.received.Add(bytes)
		t.stats.received.Add(bytes)
	case fromAnybody:
		where = "*"
		t.received.Add(bytes)
		t.stats.received.Add(bytes)
	default:
		t.loaded.Add(bytes)
		t.stats.loaded.Add(bytes)
	}
	if where != planned {
		t.recovered.Add(1)
		t.stats.recovered.Add(1)
	}
}

// weightBytes is what the plan has here.
func (t *transfer) weightBytes() (n int64) {
	for id := range t.needs {
		n += t.config.BlobBytes(id)
	}
	return n
}

// errLost says that a node was passed over.
var errLost = errors.New("could not be fetched from before")

// resume fetches what is missing of an item from a node.
func (t *transfer) resume(node string, item *dataplane.Transfer) error {
	if t.isLost(node) {
		return errLost
	}
	err := t.client.Resume(t.ctx, node, item)
	t.judge(node, err)
	return err
}

// holds asks a node whether it has an item.
func (t *transfer) holds(node string, item dataplane.Item) bool {
	held := t.askHeld(node, []dataplane.Item{item})
	return len(held) > 0 && held[0] > 0
}

// askHeld asks a node how much of some items it has; nil if it does not say.
func (t *transfer) askHeld(node string, items []dataplane.Item) []int32 {
	if t.isLost(node) {
		return nil
	}
	ctx, cancel := context.WithTimeout(t.ctx, heldWithin)
	defer cancel()
	held, err := t.client.Held(ctx, node, t.Run, items)
	t.judge(node, err)
	if err != nil {
		return nil
	}
	return held
}

func (t *transfer) isLost(node string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost[node] || t.ctx.Err() != nil
}

// judge draws its conclusions from how an exchange with a node went: one that just
// does not have a piece may have others.
func (t *transfer) judge(node string, err error) {
	if err == nil || t.ctx.Err() != nil {
		return
	}
	if errors.Is(err, dataplane.ErrNotHeld) {
		t.log.Debug("a node does not have what it was asked for", "peer", node, "error", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost == nil {
		t.lost = make(map[string]bool)
	}
	if !t.lost[node] {
		t.lost[node] = true
		t.log.Warn("a node cannot be fetched from; look elsewhere", "epoch", t.duty.epoch, "peer", node, "error", err)
	}
}
