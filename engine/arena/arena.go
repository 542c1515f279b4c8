// Package arena allocates large blocks of memory outside the Go heap, up to a
// limit: weights and KV cache. A block goes back to the operating system at the
// moment it is freed, so a node can give up one layer and load another within
// its limit, and the garbage collector never looks at them.
package arena

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// ErrFull says that a block does not fit below the limit. Errors of Alloc that
// are ErrFull are a *FullError.
var ErrFull = errors.New("arena is full")

// FullError says how much was asked for and how much there is, in bytes.
type FullError struct {
	Asked, Used, Limit int64
}

func (e *FullError) Error() string {
	return fmt.Sprintf("arena is full: %d bytes asked for, %d of %d in use", e.Asked, e.Used, e.Limit)
}

// Is reports that a FullError is ErrFull.
func (*FullError) Is(target error) bool { return target == ErrFull }

// Arena counts the blocks that are allocated from it. It is safe for concurrent
// use.
type Arena struct {
	limit int64
	page  int64

	mu   sync.Mutex
	used int64
	peak int64
}

// New returns an arena of at most limit bytes; 0 is no limit.
func New(limit int64) *Arena {
	return &Arena{limit: max(limit, 0), page: int64(os.Getpagesize())}
}

// Alloc returns a block of n zero bytes that starts on a page of memory. It
// counts whole pages, and costs a system call: carve small things out of a larger
// block. Errors: ErrFull; the operating system's, where that has no memory.
func (a *Arena) Alloc(n int64) (*Block, error) {
	if n <= 0 {
		return nil, fmt.Errorf("arena: %d bytes asked for, must be positive", n)
	}
	size := (n + a.page - 1) / a.page * a.page
	if size < n || int64(int(size)) != size {
		return nil, fmt.Errorf("arena: %d bytes asked for, more than there are addresses", n)
	}
	if err := a.take(n, size); err != nil {
		return nil, err
	}
	memory, err := mapMemory(int(size))
	if err != nil {
		a.give(size)
		return nil, fmt.Errorf("arena: map %d bytes: %w", size, err)
	}
	return &Block{arena: a, memory: memory, n: int(n)}, nil
}

func (a *Arena) take(asked, size int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.limit > 0 && size > a.limit-a.used {
		return &FullError{Asked: asked, Used: a.used, Limit: a.limit}
	}
	a.used += size
	a.peak = max(a.peak, a.used)
	return nil
}

func (a *Arena) give(size int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= size
}

// Limit is the most bytes that may be in use; 0 is no limit.
func (a *Arena) Limit() int64 { return a.limit }

// Used is how many bytes are in use, in whole pages.
func (a *Arena) Used() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// Peak is the most that Used ever was.
func (a *Arena) Peak() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.peak
}

// Block is a piece of an arena.
type Block struct {
	arena *Arena
	n     int

	mu     sync.Mutex
	memory []byte // nil once freed
}

// Bytes is the block's memory, nil after Free. It must not be used after Free: the
// addresses are gone, and the process would end.
func (b *Block) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.memory == nil {
		return nil
	}
	return b.memory[:b.n:b.n]
}

// Free gives the memory back to the operating system. Freeing a block again does
// nothing.
func (b *Block) Free() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.memory == nil {
		return nil
	}
	size := int64(len(b.memory))
	if err := unmapMemory(b.memory); err != nil {
		return fmt.Errorf("arena: unmap %d bytes: %w", size, err)
	}
	b.memory = nil
	b.arena.give(size)
	return nil
}
