package weights_test

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/engine/arena"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/weights"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var shape = model.Config{
	Name: "small", Layers: 4, Hidden: 32, Heads: 4, KVHeads: 2, HeadDim: 8, FFN: 64, Vocab: 50, Context: 64, NormEps: 1e-5,
	Rope: model.Rope{Theta: 10_000}, Leaves: 2, BOS: -1,
}

func source(t *testing.T) model.Source {
	t.Helper()
	s, err := model.Synthetic(shape, 7)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func blobOf(t *testing.T, id model.BlobID) []byte {
	t.Helper()
	b := make([]byte, shape.BlobBytes(id))
	if err := source(t).ReadBlob(id, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func cells() (out []model.BlobID) {
	for layer := range shape.Layers {
		for leaf := range shape.Leaves {
			out = append(out, model.BlobID{Layer: layer, Leaf: leaf})
		}
	}
	return out
}

// room is memory for n of the larger blobs.
func room(n int64) *arena.Arena {
	var most int64
	for _, id := range cells() {
		most = max(most, shape.BlobBytes(id))
	}
	page := int64(4096)
	if most%page != 0 {
		most += page - most%page
	}
	return arena.New(n * most)
}

func newStore(memory *arena.Arena) *weights.Store {
	return weights.NewStore(weights.Options{Config: shape, Memory: memory})
}

func put(t *testing.T, s *weights.Store, id model.BlobID) {
	t.Helper()
	g, err := s.Stage(t.Context(), id)
	if err != nil || g == nil {
		t.Fatal(g, err)
	}
	copy(g.Bytes(), blobOf(t, id))
	g.Put()
}

func TestBlobsAreSeenWhenTheyAreWhole(t *testing.T) {
	memory := room(8)
	s := newStore(memory)
	id := model.BlobID{Layer: 1}
	if _, _, err := s.Get(id); !errors.Is(err, weights.ErrNotHeld) {
		t.Fatalf("got %v", err)
	}
	g, err := s.Stage(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(g.Bytes())) != shape.BlobBytes(id) {
		t.Fatalf("%d bytes for a blob of %d", len(g.Bytes()), shape.BlobBytes(id))
	}
	if s.Has(id) || s.Bytes() != 0 || len(s.List()) != 0 {
		t.Error("a blob on its way is seen")
	}
	copy(g.Bytes(), blobOf(t, id))
	g.Put()
	data, release, err := s.Get(id)
	if err != nil || !bytes.Equal(data, blobOf(t, id)) || s.Bytes() != int64(len(data)) {
		t.Fatal("other bytes", err)
	}
	if g, err := s.Stage(t.Context(), id); g != nil || err != nil {
		t.Errorf("a blob that is here is staged: %v, %v", g, err)
	}
	// Who uses it keeps it, dropped or not.
	s.Drop(id)
	s.Drop(id)
	if s.Has(id) || memory.Used() == 0 || !bytes.Equal(data, blobOf(t, id)) {
		t.Error("a blob in use went away")
	}
	release()
	if memory.Used() != 0 {
		t.Errorf("%d bytes are in use after all", memory.Used())
	}
	g, err = s.Stage(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	g.Discard()
	if memory.Used() != 0 || s.Has(id) {
		t.Error("what was discarded is there")
	}
	for _, bad := range []model.BlobID{{Layer: 4}, {Leaf: 2}, {Layer: -1}, {Leaf: -1}} {
		if _, err := s.Stage(t.Context(), bad); !errors.Is(err, weights.ErrNoBlob) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// Two who want the same blob load it once.
func TestStagedOnce(t *testing.T) {
	s := newStore(room(1)) // two would not fit
	id := model.BlobID{Layer: 2}
	g, err := s.Stage(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Stage(ctx, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second one got %v", err)
	}
	var wg sync.WaitGroup
	second := make([]*weights.Staged, 2)
	for i := range second {
		wg.Go(func() {
			var err error
			if second[i], err = s.Stage(t.Context(), id); err != nil {
				t.Error(err)
			}
			if second[i] != nil {
				second[i].Put()
			}
		})
	}
	g.Discard() // the first one failed: one of those who wait takes over
	wg.Wait()
	if (second[0] == nil) == (second[1] == nil) || !s.Has(id) {
		t.Errorf("staged by %v", second)
	}
}

// Blobs that need not stay make room, oldest first; those in use and those that
// are held do not.
func TestRoom(t *testing.T) {
	memory := room(4)
	s := newStore(memory)
	ids := cells()
	for _, id := range ids[:4] {
		put(t, s, id)
	}
	s.Hold([]model.BlobID{ids[0], ids[2]})
	_, release, err := s.Get(ids[1])
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, ids[4]) // takes the place of 3
	if want := []model.BlobID{ids[0], ids[1], ids[2], ids[4]}; !slices.Equal(s.List(), want) {
		t.Fatalf("%v are here, want %v", s.List(), want)
	}
	release()
	put(t, s, ids[3]) // takes the place of 1, which is older than 4
	if want := []model.BlobID{ids[0], ids[2], ids[3], ids[4]}; !slices.Equal(s.List(), want) {
		t.Fatalf("%v are here, want %v", s.List(), want)
	}
	s.Hold(s.List())
	if _, err := s.Stage(t.Context(), ids[1]); !errors.Is(err, arena.ErrFull) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Alloc(memory.Limit()); !errors.Is(err, arena.ErrFull) || len(s.List()) != 4 {
		t.Fatalf("%v are here, %v", s.List(), err)
	}
	s.Hold(nil)
	if b, err := s.Alloc(memory.Limit()); err != nil || len(s.List()) != 0 {
		t.Fatalf("%v are here, %v", s.List(), err)
	} else if err := b.Free(); err != nil {
		t.Fatal(err)
	}
	put(t, s, ids[0])
	s.Clear()
	if memory.Used() != 0 || memory.Peak() > memory.Limit() {
		t.Errorf("%d bytes are in use, the peak was %d of %d", memory.Used(), memory.Peak(), memory.Limit())
	}
}

// place is a loader of scripted outcomes; then it loads.
type place struct {
	t    *testing.T
	name string

	mu     sync.Mutex
	fails  []func(dst []byte) error
	loaded []model.BlobID
}

func (p *place) String() string { return p.name }

func (p *place) Load(_ context.Context, id model.BlobID, dst []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded = append(p.loaded, id)
	copy(dst, blobOf(p.t, id))
	if len(p.fails) > 0 {
		fail := p.fails[0]
		p.fails = p.fails[1:]
		return fail(dst)
	}
	return nil
}

func sums(t *testing.T) func(model.BlobID) (uint32, bool) {
	return func(id model.BlobID) (uint32, bool) {
		return crc32.Checksum(blobOf(t, id), crc32.MakeTable(crc32.Castagnoli)), id.Layer > 0
	}
}

func TestLoadInTheOrderOfThePlan(t *testing.T) {
	memory := room(8)
	s := weights.NewStore(weights.Options{Config: shape, Memory: memory, Sum: sums(t)})
	ids := cells()
	put(t, s, ids[3])
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	p, disk := &place{t: t, name: "a peer"}, weights.FromSource("disk", source(t))
	p.fails = []func([]byte) error{
		func([]byte) error { return nil },
		func(dst []byte) error { clear(dst); return weights.ErrNotHeld },
		func(dst []byte) error { dst[5] ^= 1; return nil }, // says that all is well
	}
	var steps []weights.Step
	for _, id := range ids {
		steps = append(steps, weights.Step{Blob: id, From: []weights.Loader{p, disk}})
	}
	var progress []weights.Progress
	if err := s.Load(t.Context(), steps, 1, func(x weights.Progress) { progress = append(progress, x) }); err != nil {
		t.Fatal(err)
	}
	var order []model.BlobID
	var sum int64
	var elsewhere int
	for i, x := range progress {
		sum += shape.BlobBytes(x.Blob)
		if x.Blob != ids[i] || x.Bytes != sum || x.Of != shape.WeightBytes() {
			t.Errorf("event %d: %+v, want %s and %d of %d bytes", i, x, ids[i], sum, shape.WeightBytes())
		}
		switch x.From {
		case nil:
			if want := (model.BlobID{Layer: 1, Leaf: 1}); x.Blob != want {
				t.Errorf("%s was here", x.Blob)
			}
		case disk:
			elsewhere++
			fallthrough
		default:
			order = append(order, x.Blob)
		}
	}
	if !slices.Equal(p.loaded, order) || len(progress) != 8 {
		t.Errorf("the peer was asked for %v, %d events", p.loaded, len(progress))
	}
	// One was not held; the other had a bit flipped, which shows where sums are known.
	want := 1
	if p.loaded[2].Layer > 0 {
		want = 2
	}
	if elsewhere != want {
		t.Errorf("%d blobs came from the disk, want %d", elsewhere, want)
	}
	for _, id := range cells() {
		data, release, err := s.Get(id)
		if err != nil || id != p.loaded[2] && !bytes.Equal(data, blobOf(t, id)) {
			t.Errorf("%s: other bytes, %v", id, err)
		}
		release()
	}
}

func TestLoadFails(t *testing.T) {
	memory := room(3)
	s := weights.NewStore(weights.Options{Config: shape, Memory: memory, Sum: sums(t)})
	ids := cells()
	broken := errors.New("the disk is gone")
	down := &place{t: t, name: "the disk", fails: []func([]byte) error{func([]byte) error { return broken }}}
	flips := &place{t: t, name: "a peer", fails: []func([]byte) error{func(dst []byte) error { dst[0]++; return nil }}}
	err := s.Load(t.Context(), []weights.Step{{Blob: ids[2], From: []weights.Loader{flips, down}}}, 2, nil)
	for _, want := range []error{weights.ErrChecksum, broken} {
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	for _, text := range []string{"layer 1 leaf 0", "a peer", "the disk"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(text)) {
			t.Errorf("%v does not name %q", err, text)
		}
	}
	if err := s.Load(t.Context(), []weights.Step{{Blob: ids[2]}}, 2, nil); err == nil {
		t.Error("a blob came from nowhere")
	}
	if memory.Used() != 0 {
		t.Errorf("%d bytes are in use after loads that failed", memory.Used())
	}
	// Too little memory: what fits is there, and the error says what is lacking.
	s.Hold(ids)
	var steps []weights.Step
	for _, id := range ids {
		steps = append(steps, weights.Step{Blob: id, From: []weights.Loader{weights.FromSource("seed", source(t))}})
	}
	var full *arena.FullError
	if err := s.Load(t.Context(), steps, 2, nil); !errors.As(err, &full) {
		t.Errorf("got %v", err)
	}
	if n := len(s.List()); n < 2 || memory.Used() > memory.Limit() {
		t.Errorf("%d blobs are here, %d bytes of %d", n, memory.Used(), memory.Limit())
	}
	// Told to stop, it stops.
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if err := s.Load(ctx, steps, 2, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	s.Clear()
	if memory.Used() != 0 {
		t.Errorf("%d bytes are in use", memory.Used())
	}
}

// Loads of overlapping sets at once, with places that fail at times, within a
// memory that is too small for all sets together, leave right blobs and no memory.
func TestLoadsAtOnce(t *testing.T) {
	memory := room(6)
	s := weights.NewStore(weights.Options{Config: shape, Memory: memory})
	seed := weights.FromSource("seed", source(t))
	var wg sync.WaitGroup
	for worker := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(worker)))
			for range 30 {
				ids := cells()
				r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
				var steps []weights.Step
				for _, id := range ids[:2] {
					flaky := &place{t: t, name: "flaky"}
					if r.IntN(2) == 0 {
						flaky.fails = []func([]byte) error{func([]byte) error { return weights.ErrNotHeld }}
					}
					steps = append(steps, weights.Step{Blob: id, From: []weights.Loader{flaky, seed}})
				}
				if err := s.Load(t.Context(), steps, 2, nil); err != nil {
					t.Error(err)
				}
				for _, id := range ids[:2] {
					data, release, err := s.Get(id)
					if err != nil {
						continue // made room for another load
					}
					if !bytes.Equal(data, blobOf(t, id)) {
						t.Errorf("%s: other bytes", id)
					}
					release()
				}
			}
		})
	}
	wg.Wait()
	s.Clear()
	if memory.Used() != 0 || memory.Peak() > memory.Limit() {
		t.Errorf("%d bytes are in use, the peak was %d of %d", memory.Used(), memory.Peak(), memory.Limit())
	}
}
