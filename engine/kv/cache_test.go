package kv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/model"
)

func shape() model.Config {
	return model.Config{
		Name: "small", Layers: 3, Hidden: 16, Heads: 8, KVHeads: 4, HeadDim: 6, FFN: 8, Vocab: 10, Context: 200,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, Leaves: 2, BOS: -1,
	}
}

// pageBytes of shape: two heads a leaf, keys and values.
const pageBytes = 2 * 2 * kv.PageTokens * 6 * 4

// lender counts what it has lent.
type lender struct {
	lent, limit int64
}

type loan struct {
	from *lender
	b    []byte
}

var errLender = errors.New("nothing left to lend")

func (l *lender) alloc(n int64) (kv.Block, error) {
	if l.lent+n > l.limit {
		return nil, errLender
	}
	l.lent += n
	return &loan{l, make([]byte, n)}, nil
}

func (x *loan) Bytes() []byte { return x.b }

func (x *loan) Free() {
	x.from.lent -= int64(len(x.b))
	for i := range x.b {
		x.b[i] = 0xff // who still reads it reads NaN
	}
}

func newCache(t *testing.T, o kv.Options) *kv.Cache {
	t.Helper()
	if o.Config.Layers == 0 {
		o.Config = shape()
	}
	c, err := kv.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// element is what a test stores: a function of its place.
func element(id uint64, layer, leaf, head, kind, position, i int) float32 {
	return float32(((((int(id)*3+layer)*2+leaf)*2+head)*2+kind)*1000+position) + float32(i)/8
}

// rows are positions [from, from+n) of a cell as a shard has them: [position]
// [head][head_dim].
func rows(c model.Config, id uint64, layer, leaf, kind, from, n int) []float32 {
	var out []float32
	for p := from; p < from+n; p++ {
		for h := range c.KVHeads / c.Leaves {
			for i := range c.HeadDim {
				out = append(out, element(id, layer, leaf, h, kind, p, i))
			}
		}
	}
	return out
}

// exported is what Export has to write.
func exported(c model.Config, id uint64, layer, leaf, from, to int) []byte {
	var out []byte
	for h := range c.KVHeads / c.Leaves {
		for kind := range 2 {
			for p := from; p < to; p++ {
				for i := range c.HeadDim {
					out = binary.LittleEndian.AppendUint32(out, math.Float32bits(element(id, layer, leaf, h, kind, p, i)))
				}
			}
		}
	}
	return out
}

func write(c *kv.Cache, id uint64, layer, leaf, from, n int) error {
	h, err := c.Hold(id, kv.Region{Layers: [2]int{layer, layer + 1}, Leaves: [2]int{leaf, leaf + 1}}, from+n)
	if err != nil {
		return err
	}
	defer h.Release()
	m := c.Config()
	return h.Cell(layer, leaf).Write(from, n, rows(m, id, layer, leaf, 0, from, n), rows(m, id, layer, leaf, 1, from, n), m.KVHeads/m.Leaves*m.HeadDim)
}

func all(c model.Config) kv.Region {
	return kv.Region{Layers: [2]int{0, c.Layers}, Leaves: [2]int{0, c.Leaves}}
}

// TestAgainstTwin does random things to a cache and to a map of what each cell has.
func TestAgainstTwin(t *testing.T) {
	const limit = 40 * pageBytes
	type key struct {
		id          uint64
		layer, leaf int
	}
	full := 0
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		lend := &lender{limit: limit}
		cache := newCache(t, kv.Options{Alloc: lend.alloc, MaxBytes: limit})
		c := cache.Config()
		tokens, pages := map[key]int{}, map[key]int{}
		used := func() (n int) {
			for _, p := range pages {
				n += p
			}
			return n
		}
		for range 400 {
			k := key{uint64(rng.IntN(4)), rng.IntN(c.Layers), rng.IntN(c.Leaves)}
			have := tokens[k]
			switch rng.IntN(10) {
			case 0: // truncate
				n := rng.IntN(c.Context)
				cache.Truncate(k.id, n)
				for x := range pages {
					if x.id == k.id {
						tokens[x] = min(tokens[x], n)
						pages[x] = min(pages[x], (n+kv.PageTokens-1)/kv.PageTokens)
					}
				}
			case 1: // drop
				cache.Drop(k.id)
				for x := range pages {
					if x.id == k.id {
						delete(tokens, x)
						delete(pages, x)
					}
				}
			case 2: // drop one cell
				cache.DropRegion(k.id, kv.Region{Layers: [2]int{k.layer, k.layer + 1}, Leaves: [2]int{k.leaf, k.leaf + 1}})
				delete(tokens, k)
				delete(pages, k)
			default: // append, write again, or import
				from := max(have-rng.IntN(20), 0)
				to := min(from+1+rng.IntN(70), c.Context)
				var err error
				if rng.IntN(2) == 0 {
					err = write(cache, k.id, k.layer, k.leaf, from, to-from)
				} else {
					err = cache.Import(k.id, k.layer, k.leaf, from, to, exported(c, k.id, k.layer, k.leaf, from, to))
				}
				need := max((to+kv.PageTokens-1)/kv.PageTokens, pages[k])
				if used()-pages[k]+need > limit/pageBytes {
					if !errors.Is(err, kv.ErrFull) {
						t.Fatalf("seed %d: %d pages of %d in use, want ErrFull, got %v", seed, used(), limit/pageBytes, err)
					}
					full++
					break
				}
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				tokens[k], pages[k] = max(have, to), need
			}
			if got := cache.Used(); got != int64(used())*pageBytes {
				t.Fatalf("seed %d: %d bytes used, want %d pages of %d", seed, got, used(), pageBytes)
			}
			if got := cache.Bytes(); got != lend.lent || got > limit || got < cache.Used() {
				t.Fatalf("seed %d: %d bytes held, %d lent of %d", seed, got, lend.lent, limit)
			}
			for x, n := range tokens {
				if got := cache.Tokens(x.id, x.layer, x.leaf); got != n {
					t.Fatalf("seed %d: %+v has %d tokens, want %d", seed, x, got, n)
				}
			}
			if n := tokens[k]; n > 0 {
				from := rng.IntN(n)
				to := from + 1 + rng.IntN(n-from)
				dst := make([]byte, kv.ExportBytes(c, to-from))
				if err := cache.Export(k.id, k.layer, k.leaf, from, to, dst); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(dst, exported(c, k.id, k.layer, k.leaf, from, to)) {
					t.Fatalf("seed %d: %+v: positions %d to %d are exported wrong", seed, k, from, to-1)
				}
			}
		}
		for id := range uint64(4) {
			cache.Drop(id)
		}
		if lend.lent != 0 || len(cache.Sequences()) != 0 {
			t.Errorf("seed %d: an empty cache keeps %d bytes and %d sequences", seed, lend.lent, len(cache.Sequences()))
		}
	}
	if full == 0 {
		t.Error("no seed ever filled the cache")
	}
}

func TestReserveIsAllOrNothing(t *testing.T) {
	cache := newCache(t, kv.Options{MaxBytes: 6 * pageBytes}) // a page a cell
	c := cache.Config()
	if err := cache.Reserve(1, all(c), kv.PageTokens); err != nil {
		t.Fatal(err)
	}
	if err := cache.Reserve(1, all(c), 1); err != nil || cache.Used() != 6*pageBytes {
		t.Errorf("less than there is room for: %v, %d bytes used", err, cache.Used())
	}
	err := cache.Reserve(2, all(c), 1)
	if !errors.Is(err, kv.ErrFull) || !strings.Contains(err.Error(), "sequence 2 with 1 tokens") {
		t.Errorf("a full cache says %v", err)
	}
	if got := cache.Sequences(); !slices.Equal(got, []uint64{1}) {
		t.Errorf("sequences %v, want 1 alone", got)
	}
	cache.Drop(1)
	if err := cache.Reserve(2, all(c), 1); err != nil {
		t.Errorf("after the drop: %v", err)
	}
}

// TestLenderHasLess: what the cache may take is more than there is.
func TestLenderHasLess(t *testing.T) {
	lend := &lender{limit: 5 * pageBytes}
	cache := newCache(t, kv.Options{Alloc: lend.alloc, MaxBytes: 100 * pageBytes})
	err := cache.Reserve(1, all(cache.Config()), 1)
	if !errors.Is(err, kv.ErrFull) || !errors.Is(err, errLender) {
		t.Errorf("six cells of five pages: %v", err)
	}
	if cache.Used() != 0 || lend.lent != 0 {
		t.Errorf("a reservation that failed keeps %d bytes, %d lent", cache.Used(), lend.lent)
	}
	if err := cache.Reserve(1, kv.Region{Layers: [2]int{0, 2}, Leaves: [2]int{0, 2}}, 1); err != nil {
		t.Errorf("four cells: %v", err)
	}
}

func TestHoldKeepsPages(t *testing.T) {
	lend := &lender{limit: 100 * pageBytes}
	cache := newCache(t, kv.Options{Alloc: lend.alloc, MaxBytes: 100 * pageBytes})
	c := cache.Config()
	region := kv.Region{Layers: [2]int{1, 2}, Leaves: [2]int{0, 1}}
	if err := write(cache, 7, 1, 0, 0, 40); err != nil {
		t.Fatal(err)
	}
	hold, err := cache.Hold(7, region, 40)
	if err != nil {
		t.Fatal(err)
	}
	if cache.DropRegion(7, region) {
		t.Error("a region that is held was dropped")
	}
	cache.Truncate(7, 10)
	if got := cache.Tokens(7, 1, 0); got != 10 {
		t.Errorf("%d tokens after the truncation, want 10", got)
	}
	cache.Drop(7)
	if len(cache.Sequences()) != 0 || cache.Tokens(7, 1, 0) != 0 {
		t.Error("a sequence is there after its drop")
	}
	// Another sequence of that name is another.
	if err := write(cache, 7, 1, 0, 0, 3); err != nil {
		t.Fatal(err)
	}
	if got := hold.Cell(1, 0).Keys(1)[1][5]; got != element(7, 1, 0, 1, 0, kv.PageTokens, 5) {
		t.Errorf("what was held reads %v", got)
	}
	before := cache.Used()
	hold.Release()
	hold.Release() // a second time is nothing
	if got := cache.Used(); got != before-2*pageBytes {
		t.Errorf("%d bytes used after the release, %d before", got, before)
	}
	dst := make([]byte, kv.ExportBytes(c, 3))
	if err := cache.Export(7, 1, 0, 0, 3, dst); err != nil || !bytes.Equal(dst, exported(c, 7, 1, 0, 0, 3)) {
		t.Errorf("the second sequence 7: %v", err)
	}
	cache.Drop(7)
	if lend.lent != 0 {
		t.Errorf("%d bytes are still lent", lend.lent)
	}
}

// TestExportWhileAppending: under the race detector, exports and steps that write
// again share a cell.
func TestExportWhileAppending(t *testing.T) {
	cache := newCache(t, kv.Options{MaxBytes: 1 << 20})
	c := cache.Config()
	if err := write(cache, 1, 0, 0, 0, 1); err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	both.Go(func() {
		for n := 1; n < c.Context; n++ {
			// Every position is computed twice, as by a step that is repeated.
			if err := write(cache, 1, 0, 0, n-1, 2); err != nil {
				t.Error(err)
			}
		}
	})
	both.Go(func() {
		for n := 0; n < c.Context; n = cache.Tokens(1, 0, 0) {
			if n == 0 {
				continue
			}
			dst := make([]byte, kv.ExportBytes(c, n))
			if err := cache.Export(1, 0, 0, 0, n, dst); err != nil {
				t.Error(err)
				return
			}
			if !bytes.Equal(dst, exported(c, 1, 0, 0, 0, n)) {
				t.Errorf("%d positions are exported wrong", n)
				return
			}
		}
	})
	both.Wait()
}

func TestBadInput(t *testing.T) {
	cache := newCache(t, kv.Options{MaxBytes: 1 << 20})
	c := cache.Config()
	if err := write(cache, 1, 0, 1, 0, 5); err != nil {
		t.Fatal(err)
	}
	one := make([]byte, kv.ExportBytes(c, 1))
	for name, tt := range map[string]struct {
		err  error
		is   error
		says string
	}{
		"export of an unknown sequence":  {cache.Export(2, 0, 1, 0, 1, one), kv.ErrNotHeld, "sequence 2"},
		"export of an unknown cell":      {cache.Export(1, 0, 0, 0, 1, one), kv.ErrNotHeld, "leaf 0"},
		"export beyond the tokens":       {cache.Export(1, 0, 1, 5, 6, one), kv.ErrNotHeld, "positions 5 to 5 of 5"},
		"export of nothing":              {cache.Export(1, 0, 1, 1, 1, nil), nil, "must rise"},
		"export of a negative position":  {cache.Export(1, 0, 1, -1, 0, one), nil, "must rise"},
		"export into less room":          {cache.Export(1, 0, 1, 0, 2, one), nil, "2 positions of a cell take 192 bytes, got 96"},
		"export of an unknown layer":     {cache.Export(1, 3, 0, 0, 1, one), nil, "3 layers of 2 leaves"},
		"export of an unknown leaf":      {cache.Export(1, 0, 2, 0, 1, one), nil, "3 layers of 2 leaves"},
		"import after a gap":             {cache.Import(1, 0, 1, 6, 7, one), kv.ErrGap, "position 6"},
		"import into nothing, not first": {cache.Import(9, 0, 1, 1, 2, one), kv.ErrGap, "0 are there"},
		"import beyond the context":      {cache.Import(1, 0, 1, 200, 201, one), nil, "context of 200"},
		"reserve beyond the context":     {cache.Reserve(1, all(c), 201), nil, "takes 0 to 200"},
		"reserve of less than nothing":   {cache.Reserve(1, all(c), -1), nil, "takes 0 to 200"},
		"reserve of no layers":           {cache.Reserve(1, kv.Region{Leaves: [2]int{0, 1}}, 1), nil, "has no"},
		"write after a gap":              {write(cache, 1, 0, 1, 6, 1), kv.ErrGap, "position 6: 5 are there"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.says) || tt.is != nil && !errors.Is(tt.err, tt.is) {
			t.Errorf("%s: %v, want %v and %q", name, tt.err, tt.is, tt.says)
		}
	}
	if got := cache.Sequences(); !slices.Equal(got, []uint64{1}) {
		t.Errorf("what failed left sequences %v", got)
	}
	if got := cache.Tokens(1, 5, 5); got != 0 {
		t.Errorf("an unknown cell has %d tokens", got)
	}
	if _, err := cache.Hold(1, all(c), 0); err == nil {
		t.Error("a hold of no position is taken")
	}
	cache.Truncate(3, 1)
	cache.Drop(3)
	if _, err := kv.New(kv.Options{Config: c, MaxBytes: pageBytes - 1}); err == nil || !strings.Contains(err.Error(), "must be at least 3072") {
		t.Errorf("a cache of less than a page: %v", err)
	}
	if _, err := kv.New(kv.Options{MaxBytes: 1 << 20}); err == nil {
		t.Error("a model without a shape is taken")
	}
	odd := func(n int64) (kv.Block, error) { return &loan{&lender{}, make([]byte, n+4)[1 : n+1]}, nil }
	if err := newCache(t, kv.Options{Alloc: odd, MaxBytes: 1 << 20}).Reserve(1, all(c), 1); err == nil || !strings.Contains(err.Error(), "aligned") {
		t.Errorf("memory that is not aligned: %v", err)
	}
}
