// Package weights keeps the model context of a node: blobs of weights in memory
// outside the Go heap, which stay while configurations and inference engines come
// and go. A blob is seen when it is whole and checked, not before, and keeps its
// place while somebody uses it.
//
// Blobs come from Loaders: the model's own place (a file, a seed, a bucket; see
// FromSource and package bucket), and other nodes (see package node). Store.Load
// brings what a plan lacks in the plan's order.
package weights

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"sync"

	"github.com/spotserve/spotserve/engine/arena"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/model"
)

// Errors of a store. Those of memory are arena.ErrFull.
var (
	// ErrNotHeld says that a blob is not here. Data planes pass it on as itself.
	ErrNotHeld = dataplane.ErrNotHeld
	// ErrNoBlob says that the model has no such blob.
	ErrNoBlob = errors.New("no blob of the model")
	// ErrChecksum says that the bytes of a blob are not those that were published.
	ErrChecksum = errors.New("wrong checksum of a blob")
)

// Options are what a store needs.
type Options struct {
	Config model.Config
	// Memory is where blobs lie; its limit is the store's, and others may take from
	// it too.
	Memory *arena.Arena
	// Sum returns the CRC32C of a blob where that is known; nil: of none. Blobs are
	// held to it wherever they come from.
	Sum func(model.BlobID) (sum uint32, known bool)
}

// Store holds blobs. It is safe for concurrent use.
type Store struct {
	options Options

	mu      sync.Mutex
	blobs   map[model.BlobID]*blob
	staged  map[model.BlobID]*Staged
	keep    map[model.BlobID]bool
	put     uint64 // blobs that were put, ever
	changed chan struct{}
}

type blob struct {
	block   *arena.Block
	bytes   int64
	order   uint64 // of being put
	uses    int
	dropped bool
}

// NewStore returns an empty store.
func NewStore(o Options) *Store {
	if o.Sum == nil {
		o.Sum = func(model.BlobID) (uint32, bool) { return 0, false }
	}
	return &Store{
		options: o, blobs: map[model.BlobID]*blob{}, staged: map[model.BlobID]*Staged{}, keep: map[model.BlobID]bool{},
		changed: make(chan struct{}),
	}
}

// Get returns a blob. Its bytes stay as they are until release is called, once, even
// if the blob is dropped meanwhile. Errors: ErrNotHeld.
func (s *Store) Get(id model.BlobID) (data []byte, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blobs[id]
	if b == nil {
		return nil, nil, fmt.Errorf("weights of %s: %w", id, ErrNotHeld)
	}
	b.uses++
	return b.block.Bytes()[:b.bytes], func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		b.uses--
		s.freeUnused(b)
	}, nil
}

// Has says whether a blob is here.
func (s *Store) Has(id model.BlobID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[id] != nil
}

// List names the blobs that are here, by layer and leaf.
func (s *Store) List() []model.BlobID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.blobs), compare)
}

func compare(a, b model.BlobID) int {
	return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Leaf, b.Leaf))
}

// Bytes is how much the blobs that are here have together.
func (s *Store) Bytes() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.blobs {
		n += b.bytes
	}
	return n
}

// Hold names the blobs that have to stay. The others stay too, until their memory
// is needed: see Evict.
func (s *Store) Hold(set []model.BlobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.keep)
	for _, id := range set {
		s.keep[id] = true
	}
}

// Drop forgets a blob. Its memory is free once nobody uses it.
func (s *Store) Drop(id model.BlobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(id)
}

func (s *Store) drop(id model.BlobID) {
	if b := s.blobs[id]; b != nil {
		delete(s.blobs, id)
		b.dropped = true
		s.freeUnused(b)
	}
}

// freeUnused cannot fail: a block is unmapped once, as it was mapped.
func (s *Store) freeUnused(b *blob) {
	if b.dropped && b.uses == 0 {
		_ = b.block.Free()
	}
}

// Evict drops one blob that neither Hold names nor anybody uses, the one that came
// first, and says whether there was one.
func (s *Store) Evict() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest *blob
	var name model.BlobID
	for id, b := range s.blobs {
		if !s.keep[id] && b.uses == 0 && (oldest == nil || b.order < oldest.order) {
			oldest, name = b, id
		}
	}
	if oldest == nil {
		return false
	}
	s.drop(name)
	return true
}

// Alloc lends memory, for other things too: where it is full, blobs that do not
// have to stay make room. Errors: arena.ErrFull.
func (s *Store) Alloc(bytes int64) (*arena.Block, error) {
	for {
		b, err := s.options.Memory.Alloc(bytes)
		if !errors.Is(err, arena.ErrFull) || !s.Evict() {
			return b, err
		}
	}
}

// Staged is memory for a blob that is on its way.
type Staged struct {
	store *Store
	id    model.BlobID
	block *arena.Block
	bytes int64
}

// Stage returns memory to fill with a blob; nil if the blob is here. Somebody else
// who has staged the same blob is waited for. Errors: ErrNoBlob, arena.ErrFull,
// ctx's cause.
func (s *Store) Stage(ctx context.Context, id model.BlobID) (*Staged, error) {
	c := s.options.Config
	if id.Layer < 0 || id.Layer >= c.Layers || id.Leaf < 0 || id.Leaf >= c.Leaves {
		return nil, fmt.Errorf("%w: %s of %d layers of %d leaves", ErrNoBlob, id, c.Layers, c.Leaves)
	}
	g := &Staged{store: s, id: id, bytes: c.BlobBytes(id)}
	for {
		s.mu.Lock()
		if s.blobs[id] != nil {
			s.mu.Unlock()
			return nil, nil
		}
		busy, changed := s.staged[id] != nil, s.changed
		if !busy {
			s.staged[id] = g
			s.mu.Unlock()
			break
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	block, err := s.Alloc(g.bytes)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.unstage(id)
		return nil, fmt.Errorf("weights of %s: %w", id, err)
	}
	g.block = block
	return g, nil
}

func (s *Store) unstage(id model.BlobID) {
	delete(s.staged, id)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Bytes is the memory to fill: as long as the blob.
func (g *Staged) Bytes() []byte { return g.block.Bytes()[:g.bytes] }

// Check holds what was filled in to the sum of the blob, if that is known. Errors:
// ErrChecksum.
func (g *Staged) Check() error {
	want, known := g.store.options.Sum(g.id)
	if !known {
		return nil
	}
	if got := crc32.Checksum(g.Bytes(), castagnoli); got != want {
		return fmt.Errorf("%w: %s sums to %08x, published is %08x", ErrChecksum, g.id, got, want)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Put makes the blob seen. It must be whole, and checked. Staged is not used any
// more after it.
func (g *Staged) Put() {
	s := g.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put++
	s.blobs[g.id] = &blob{block: g.block, bytes: g.bytes, order: s.put}
	s.unstage(g.id)
}

// Discard gives the memory back. Staged is not used any more after it.
func (g *Staged) Discard() {
	_ = g.block.Free() // mapped by Stage, and freed once
	s := g.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unstage(g.id)
}

// Clear drops all blobs.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.blobs {
		s.drop(id)
	}
	clear(s.keep)
}
