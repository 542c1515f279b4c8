package arena_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/engine/arena"
)

var page = int64(os.Getpagesize())

func alloc(t *testing.T, a *arena.Arena, n int64) *arena.Block {
	t.Helper()
	b, err := a.Alloc(n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func free(t *testing.T, b *arena.Block) {
	t.Helper()
	if err := b.Free(); err != nil {
		t.Fatal(err)
	}
}

func TestAllocAndFree(t *testing.T) {
	a := arena.New(4 * page)
	b := alloc(t, a, page+1)
	data := b.Bytes()
	if int64(len(data)) != page+1 || cap(data) != len(data) {
		t.Fatalf("got a block of %d bytes, room for %d, want %d", len(data), cap(data), page+1)
	}
	for i, v := range data {
		if v != 0 {
			t.Fatalf("byte %d of a new block is %d", i, v)
		}
		data[i] = byte(i)
	}
	if a.Used() != 2*page || a.Peak() != 2*page {
		t.Fatalf("used %d, peak %d, want two pages", a.Used(), a.Peak())
	}
	free(t, b)
	free(t, b)
	if a.Used() != 0 || a.Peak() != 2*page || b.Bytes() != nil {
		t.Fatalf("after freeing twice: used %d, peak %d, bytes %v", a.Used(), a.Peak(), b.Bytes())
	}
}

func TestFullSaysAskedUsedAndLimit(t *testing.T) {
	a := arena.New(4 * page)
	b := alloc(t, a, 3*page)
	_, err := a.Alloc(page + 1)
	var full *arena.FullError
	if !errors.Is(err, arena.ErrFull) || !errors.As(err, &full) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if want := (arena.FullError{Asked: page + 1, Used: 3 * page, Limit: 4 * page}); *full != want {
		t.Fatalf("got %+v, want %+v", *full, want)
	}
	free(t, b)
	free(t, alloc(t, a, 4*page))
	if a.Used() != 0 {
		t.Fatalf("used %d after all was freed", a.Used())
	}
}

func TestBadSizes(t *testing.T) {
	a := arena.New(0)
	for _, n := range []int64{0, -1, 1<<63 - 1} {
		if _, err := a.Alloc(n); err == nil || errors.Is(err, arena.ErrFull) || !strings.Contains(err.Error(), "asked for") {
			t.Errorf("Alloc(%d): got %v", n, err)
		}
	}
	// More than any machine has addresses: the system's error, and nothing is counted.
	if _, err := a.Alloc(1 << 60); err == nil {
		t.Error("2^60 bytes were mapped")
	}
	if a.Used() != 0 || a.Limit() != 0 {
		t.Errorf("used %d, limit %d", a.Used(), a.Limit())
	}
}

// Blocks are outside the heap: freeing them needs no collection, and their bytes
// are not the collector's.
func TestOutsideTheHeap(t *testing.T) {
	const n = 256 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b := alloc(t, arena.New(n), n)
	runtime.ReadMemStats(&after)
	if grown := after.HeapSys - min(before.HeapSys, after.HeapSys); grown >= n {
		t.Errorf("the heap grew by %d bytes for a block of %d", grown, n)
	}
	free(t, b)
}

// Random sizes in several goroutines never pass the limit, never overlap, and
// leave nothing.
func TestConcurrent(t *testing.T) {
	limit := 64 * page
	a := arena.New(limit)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			var mine []*arena.Block
			for i := range 500 {
				if len(mine) > 0 && r.IntN(2) == 0 {
					k := r.IntN(len(mine))
					for at, v := range mine[k].Bytes() {
						if v != byte(worker+1) {
							t.Errorf("byte %d is %d, wrote %d", at, v, worker+1)
							break
						}
					}
					if err := mine[k].Free(); err != nil {
						t.Error(err)
					}
					mine = append(mine[:k], mine[k+1:]...)
					continue
				}
				b, err := a.Alloc(1 + r.Int64N(12*page))
				if errors.Is(err, arena.ErrFull) {
					continue
				} else if err != nil {
					t.Error(i, err)
					return
				}
				for at := range b.Bytes() {
					b.Bytes()[at] = byte(worker + 1)
				}
				mine = append(mine, b)
			}
			for _, b := range mine {
				if err := b.Free(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if a.Used() != 0 || a.Peak() > limit || a.Peak() == 0 {
		t.Errorf("used %d, peak %d, limit %d", a.Used(), a.Peak(), limit)
	}
}
