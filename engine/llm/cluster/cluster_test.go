package cluster_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
	"github.com/spotserve/spotserve/engine/model"
)

func small() model.Config {
	return model.Config{
		Name: "small", Layers: 4, Hidden: 32, Heads: 4, KVHeads: 4, HeadDim: 8, FFN: 32, Vocab: 50, Context: 64,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, Leaves: 4, BOS: -1,
	}
}

func options(t *testing.T, c model.Config) cluster.Options {
	t.Helper()
	source, err := model.Synthetic(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := cluster.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(weights.Close)
	return cluster.Options{Config: c, Blob: weights.Blob, CPU: kernel.Options{Threads: 1}, KVBytes: 1 << 20}
}

// ranks calls f for all ranks at once.
func ranks(t *testing.T, size int, f func(comm llm.Comm) error) {
	t.Helper()
	var all sync.WaitGroup
	for _, comm := range cluster.Comms(size) {
		all.Go(func() {
			if err := f(comm); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// tree is ((0+1)+(2+3))+... of vectors, by recursion.
func tree(of [][]float32, i int) float32 {
	if len(of) == 1 {
		return of[0][i]
	}
	return tree(of[:len(of)/2], i) + tree(of[len(of)/2:], i)
}

func TestSumIsTheTree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, size := range []int{1, 2, 4, 8, 16} {
		const rounds = 20
		vectors := make([][][]float32, rounds) // [round][rank]
		for round := range vectors {
			n := rng.IntN(50)
			for range size {
				x := make([]float32, n)
				for i := range x {
					x[i] = float32(math.Exp(rng.NormFloat64()*10)) * float32(1-2*rng.IntN(2))
				}
				vectors[round] = append(vectors[round], x)
			}
		}
		ranks(t, size, func(comm llm.Comm) error {
			for _, of := range vectors {
				x := slices.Clone(of[comm.Rank()])
				if err := comm.Sum(t.Context(), x); err != nil {
					return err
				}
				for i, v := range x {
					if want := tree(of, i); math.Float32bits(v) != math.Float32bits(want) {
						t.Errorf("rank %d of %d: element %d is %g, want %g", comm.Rank(), size, i, v, want)
					}
				}
			}
			return nil
		})
	}
}

func TestGatherKeepsTheRanksOrder(t *testing.T) {
	for _, size := range []int{1, 2, 4, 8} {
		var want []float32
		for rank := range size {
			for i := range rank + 1 {
				want = append(want, float32(10*rank+i))
			}
		}
		ranks(t, size, func(comm llm.Comm) error {
			part := make([]float32, comm.Rank()+1)
			for i := range part {
				part[i] = float32(10*comm.Rank() + i)
			}
			out := make([]float32, len(want))
			for range 5 {
				clear(out)
				if err := comm.Gather(t.Context(), out, part); err != nil {
					return err
				}
				if !slices.Equal(out, want) {
					t.Errorf("rank %d of %d: %v, want %v", comm.Rank(), size, out, want)
				}
			}
			return nil
		})
	}
}

func TestLengthsThatDoNotMatch(t *testing.T) {
	ranks(t, 2, func(comm llm.Comm) error {
		if err := comm.Sum(t.Context(), make([]float32, 1+comm.Rank())); err == nil {
			t.Errorf("rank %d sums vectors of two lengths", comm.Rank())
		}
		return nil
	})
	for _, size := range []int{1, 3} {
		ranks(t, 2, func(comm llm.Comm) error {
			if err := comm.Gather(t.Context(), make([]float32, size), make([]float32, 1)); err == nil {
				t.Errorf("two parts of 1 fill %d", size)
			}
			return nil
		})
	}
	if err := (llm.Alone{}).Gather(t.Context(), make([]float32, 2), make([]float32, 1)); err == nil {
		t.Error("a part of 1 fills 2")
	}
}

// TestPeerStaysAway: a rank that waits gives up with its context.
func TestPeerStaysAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	comms := cluster.Comms(2)
	var all sync.WaitGroup
	all.Go(func() {
		if err := comms[0].Sum(ctx, make([]float32, 3)); !errors.Is(err, context.Canceled) {
			t.Errorf("a sum: %v", err)
		}
		if err := comms[0].Gather(ctx, make([]float32, 3), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("a gather: %v", err)
		}
	})
	cancel()
	all.Wait()
}

func TestStepsAndMoves(t *testing.T) {
	c := small()
	o := options(t, c)
	prompt := []int32{3, 1, 4, 1, 5, 9, 2}
	batch := []llm.Sequence{{ID: 8, Tokens: prompt, Sample: true}, {ID: 5, Tokens: prompt[:3], Sample: true}}
	var want []int32
	for _, cut := range [][2]int{{0, 0}, {1, 1}, {2, 4}, {4, 2}} {
		o.Pipeline, o.Tensor = cut[0], cut[1]
		x, err := cluster.New(o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Step(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = slices.Clone(got)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: tokens %v, want %v", cut, got, want)
		}
		logits, err := x.Logits(t.Context(), batch)
		if err != nil || len(logits) != 2*c.Vocab || slices.Index(logits[:c.Vocab], slices.Max(logits[:c.Vocab])) != int(want[0]) {
			t.Errorf("%v: %d logits, %v", cut, len(logits), err)
		}
		if ids := x.Sequences(); !slices.Equal(ids, []uint64{5, 8}) || x.Tokens(8) != 7 || x.Tokens(5) != 3 || x.Tokens(1) != 0 {
			t.Errorf("%v: sequences %v with %d, %d and %d tokens", cut, ids, x.Tokens(5), x.Tokens(8), x.Tokens(1))
		}
		x.Truncate(8, 2)
		x.Drop(5)
		if ids := x.Sequences(); !slices.Equal(ids, []uint64{8}) || x.Tokens(8) != 2 {
			t.Errorf("%v: afterwards sequences %v, %d tokens", cut, ids, x.Tokens(8))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := x.Step(ctx, batch); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: a step that is given up: %v", cut, err)
		}
		if got, err := x.Step(t.Context(), batch); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: the next step: %v, %v", cut, got, err)
		}
		x.Close()
	}
}

func TestNewRefuses(t *testing.T) {
	for says, change := range map[string]func(o *cluster.Options){
		"powers of two up to 4":  func(o *cluster.Options) { o.Tensor = 3 },
		"powers of two up to 4 ": func(o *cluster.Options) { o.Tensor = 8 },
		"leave stage 2":          func(o *cluster.Options) { o.Pipeline = 3 },
		"hold no page":           func(o *cluster.Options) { o.KVBytes = 1 },
		"hidden is 0":            func(o *cluster.Options) { o.Config.Hidden = 0 },
		"has 0 bytes":            func(o *cluster.Options) { o.Blob = func(model.BlobID) []byte { return nil } },
	} {
		o := options(t, small())
		change(&o)
		if _, err := cluster.New(o); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(says)) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}

type unreadable struct{ model.Source }

var errUnreadable = errors.New("unreadable")

func (unreadable) ReadBlob(model.BlobID, []byte) error { return errUnreadable }

func TestLoadSaysWhatTheSourceSays(t *testing.T) {
	source, err := model.Synthetic(small(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Load(unreadable{source}); !errors.Is(err, errUnreadable) {
		t.Errorf("got %v", err)
	}
}
