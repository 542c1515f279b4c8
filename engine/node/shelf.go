package node

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spotserve/spotserve/engine/arena"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/model"
)

// shelf holds blobs outside the Go heap. Who uses one keeps it where it is until
// it is released, dropped or not.
type shelf struct {
	mu    sync.Mutex
	blobs map[model.BlobID]*blob
}

type blob struct {
	block   *arena.Block
	bytes   int
	uses    int
	dropped bool
}

func (s *shelf) has(id model.BlobID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[id] != nil
}

// get returns a blob, which stays until release is called, once.
func (s *shelf) get(id model.BlobID) (data []byte, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blobs[id]
	if b == nil {
		return nil, nil, fmt.Errorf("weights of %s: %w", id, dataplane.ErrNotHeld)
	}
	b.uses++
	return b.block.Bytes()[:b.bytes], func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		b.uses--
		b.freeUnused()
	}, nil
}

// put takes over a block that holds a whole blob.
func (s *shelf) put(id model.BlobID, block *arena.Block, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs[id] != nil {
		free(block) // somebody was first, with the same bytes
		return
	}
	s.blobs[id] = &blob{block: block, bytes: bytes}
}

// drop forgets a blob. Its memory is free when nobody uses it any more.
func (s *shelf) drop(id model.BlobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.blobs[id]; b != nil {
		delete(s.blobs, id)
		b.dropped = true
		b.freeUnused()
	}
}

func (b *blob) freeUnused() {
	if b.dropped && b.uses == 0 {
		free(b.block)
	}
}

// list names the blobs that nobody uses, or all, in their order.
func (s *shelf) list(unused bool) []model.BlobID {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]model.BlobID, 0, len(s.blobs))
	for id, b := range s.blobs {
		if !unused || b.uses == 0 {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, compareBlobs)
	return out
}

// bytes is how much the shelf holds.
func (s *shelf) bytes() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.blobs {
		n += int64(b.bytes)
	}
	return n
}

// alloc lends memory. Where that is full it drops weights that the present plan
// does not need.
func (n *Node) alloc(bytes int64) (*arena.Block, error) {
	for {
		b, err := n.arena.Alloc(bytes)
		if !errors.Is(err, arena.ErrFull) || !n.evict() {
			return b, err
		}
	}
}

// free gives memory back. That fails only if it was mapped by nobody.
func free(b *arena.Block) { _ = b.Free() }
