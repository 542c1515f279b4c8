package dataplane_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/engine/dataplane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a few nodes that know each other's addresses.
type rig struct {
	t *testing.T

	mu      sync.Mutex
	addrs   map[string]string
	resolve int // calls
}

func newRig(t *testing.T) *rig { return &rig{t: t, addrs: map[string]string{}} }

func (r *rig) Resolve(_ context.Context, node string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resolve++
	addr, ok := r.addrs[node]
	if !ok {
		return "", fmt.Errorf("no address of %s", node)
	}
	return addr, nil
}

func (r *rig) resolved() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resolve
}

func (r *rig) publish(node, addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addrs[node] = addr
}

func (r *rig) options(node string, change ...func(*dataplane.Options)) dataplane.Options {
	o := dataplane.Options{Node: node, Resolve: r.Resolve, Timeout: 5 * time.Second}
	for _, f := range change {
		f(&o)
	}
	return o
}

// node starts a node's server.
func (r *rig) node(name string, change ...func(*dataplane.Options)) *dataplane.Server {
	r.t.Helper()
	s, err := dataplane.Listen("127.0.0.1:0", r.options(name, change...))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			r.t.Error(err)
		}
	})
	r.publish(name, s.Addr())
	return s
}

func (r *rig) client(change ...func(*dataplane.Options)) *dataplane.Client {
	r.t.Helper()
	c, err := dataplane.NewClient(r.options("client", change...))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// holder provides items from memory, by name.
type holder struct {
	mu    sync.Mutex
	items map[dataplane.Item][]byte
	fails map[dataplane.Item]error
	open  int // opened and not released
	most  int // of open at a time
}

func newHolder() *holder {
	return &holder{items: map[dataplane.Item][]byte{}, fails: map[dataplane.Item]error{}}
}

func (h *holder) provide(o *dataplane.Options) { o.Provider = h }

func (h *holder) Open(run string, item dataplane.Item) ([]byte, func(), error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.fails[item]; err != nil {
		return nil, nil, err
	}
	data, ok := h.items[item]
	if !ok || run != "e2e-1" {
		return nil, nil, dataplane.ErrNotHeld
	}
	h.open++
	h.most = max(h.most, h.open)
	return data, sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.open--
	}), nil
}

// counts are how many items are open, and were at most.
func (h *holder) counts() (open, most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open, h.most
}

func (h *holder) Held(run string, item dataplane.Item) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if run != "e2e-1" {
		return 0
	}
	if item.Kind == dataplane.Weights {
		if _, ok := h.items[item]; ok {
			return 1
		}
		return 0
	}
	for held := range maps.Keys(h.items) {
		if held.Kind == item.Kind && held.Sequence == item.Sequence && held.Layer == item.Layer && held.Leaf == item.Leaf && held.From <= item.From {
			return held.To - item.From
		}
	}
	return 0
}

func weights(layer, leaf int) dataplane.Item {
	return dataplane.Item{Kind: dataplane.Weights, Layer: layer, Leaf: leaf}
}

// pattern is n bytes that differ from place to place, and by seed.
func pattern(n int, seed uint64) []byte {
	b := make([]byte, n)
	x := seed*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

var errEnough = errors.New("enough")

func contextWithCause(t *testing.T) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	return ctx, cancel
}
