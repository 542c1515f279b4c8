// Package book is the address book of the data plane: where in the network the
// nodes' weights and KV caches are to be had. It lies in the bus's key-value
// bucket, one entry a node, written by the process that stands for it last.
package book

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/bus"
)

// awayAfter is how long an answer of the bus is waited for where there is another.
const awayAfter = time.Second

// Book reads and writes the entries. It is safe for concurrent use.
type Book struct {
	keys  bus.KeyValue
	mu    sync.Mutex
	known map[string]string // what was read last
}

// New returns the book in a bucket.
func New(keys bus.KeyValue) *Book { return &Book{keys: keys, known: make(map[string]string)} }

// Put enters the address of a node, "host:port".
func (b *Book) Put(ctx context.Context, node, address string) error {
	for {
		_, revision, err := b.keys.Get(ctx, access.AddressKey(node))
		if err != nil {
			return fmt.Errorf("address of node %s: %w", node, err)
		}
		_, err = b.keys.Put(ctx, access.AddressKey(node), []byte(address), revision)
		if errors.Is(err, bus.ErrTaken) {
			continue // another process entered itself meanwhile: the last one counts
		} else if err != nil {
			return fmt.Errorf("address of node %s: %w", node, err)
		}
		return nil
	}
}

// Get returns the address of a node. A node that never entered one is an error.
// While the bus is away it is the one that was read last: the data plane needs no
// bus, and has to find its peers again meanwhile.
func (b *Book) Get(ctx context.Context, node string) (address string, err error) {
	known := b.last(node)
	if known != "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, awayAfter)
		defer cancel()
	}
	value, revision, err := b.keys.Get(ctx, access.AddressKey(node))
	switch {
	case err != nil && known != "":
		return known, nil
	case err != nil:
		return "", fmt.Errorf("address of node %s: %w", node, err)
	case revision == 0 || len(value) == 0:
		return "", fmt.Errorf("address of node %s: none is known under key %s", node, access.AddressKey(node))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[node] = string(value)
	return string(value), nil
}

func (b *Book) last(node string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[node]
}
