package dataplane

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spotserve/spotserve/core/event"
)

// registry knows the meshes that are open here, and which epochs there were.
type registry struct {
	mu      sync.Mutex
	open    map[meshName]*Mesh
	newest  map[string]event.Epoch // of each run, of all that were ever opened
	changed chan struct{}          // closed and replaced when a mesh opens
}

type meshName struct {
	run   string
	epoch event.Epoch
}

func newRegistry() *registry {
	return &registry{open: map[meshName]*Mesh{}, newest: map[string]event.Epoch{}, changed: make(chan struct{})}
}

func (r *registry) add(m *Mesh) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := meshName{m.run, m.epoch}
	newest, known := r.newest[m.run]
	switch {
	case r.open[name] != nil:
		return fmt.Errorf("%w: epoch %s of run %s is open already", ErrEpoch, m.epoch, m.run)
	case known && !newest.Less(m.epoch):
		return fmt.Errorf("%w: epoch %s of run %s is not after %s", ErrEpoch, m.epoch, m.run, newest)
	}
	r.open[name] = m
	r.newest[m.run] = m.epoch
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

func (r *registry) remove(m *Mesh) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, meshName{m.run, m.epoch})
}

func (r *registry) all() []*Mesh {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*Mesh
	for _, m := range r.open {
		out = append(out, m)
	}
	return out
}

// await returns the mesh of an epoch. A peer may be ahead: it waits for one that
// is yet to open, at most for wait. Errors: ErrEpoch.
func (r *registry) await(ctx context.Context, run string, epoch event.Epoch, wait time.Duration) (*Mesh, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		r.mu.Lock()
		m, newest, changed := r.open[meshName{run, epoch}], r.newest[run], r.changed
		r.mu.Unlock()
		if m != nil {
			return m, nil
		}
		if !newest.Less(epoch) {
			return nil, fmt.Errorf("%w: epoch %s of run %s is over, the newest is %s", ErrEpoch, epoch, run, newest)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: epoch %s of run %s has not begun, the newest is %s", ErrEpoch, epoch, run, newest)
		}
	}
}
