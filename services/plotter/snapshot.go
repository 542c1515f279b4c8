package plotter

import (
	"context"
	"fmt"
	"sync"

	"github.com/spotserve/spotserve/platform/store"
)

// Snapshot returns a reader that answers a query that it was asked before from
// memory. The tables and figures of one report then show the same state of the
// store, and no run is measured twice. It is safe for concurrent use; its rows
// are shared and must not be changed. Close closes r.
func Snapshot(r store.Reader) store.Reader {
	return &snapshot{Reader: r, known: map[string]store.Rows{}}
}

type snapshot struct {
	store.Reader
	mu    sync.Mutex
	known map[string]store.Rows // by query and arguments
}

// Query implements store.Reader.
func (s *snapshot) Query(ctx context.Context, sql string, args ...any) (store.Rows, error) {
	key := fmt.Sprintf("%s\x00%#v", sql, args)
	s.mu.Lock()
	defer s.mu.Unlock()
	if rows, ok := s.known[key]; ok {
		return rows, nil
	}
	rows, err := s.Reader.Query(ctx, sql, args...)
	if err == nil {
		s.known[key] = rows
	}
	return rows, err
}
