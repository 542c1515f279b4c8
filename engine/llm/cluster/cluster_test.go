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
	blob, err := cluster.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	return cluster.Options{Config: c, Blob: blob, CPU: kernel.Options{Threads: 1}, KVBytes: 1 << 20}
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

func TestGenerate(t *testing.T) {
	c := small()
	o := options(t, c)
	generate := func(o cluster.Options, chunk, most, stopAfter int) (out []int32) {
		x, err := cluster.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		err = x.Generate(t.Context(), []int32{3, 1, 4, 1, 5, 9, 2}, llm.Sampling{Temperature: 1, Seed: 3}, chunk, most, func(token int32) bool {
			out = append(out, token)
			return len(out) != stopAfter
		})
		if err != nil {
			t.Fatal(err)
		}
		if ids := x.Sequences(); len(ids) != 0 {
			t.Errorf("sequences %v are left", ids)
		}
		return out
	}
	want := generate(o, 100, 20, 0)
	if len(want) != 20 {
		t.Fatalf("%d tokens, want 20", len(want))
	}
	cut := o
	cut.Pipeline, cut.Tensor = 4, 2
	if got := generate(cut, 2, 20, 0); !slices.Equal(got, want) {
		t.Errorf("tokens %v, want %v", got, want)
	}
	if got := generate(o, 1, 20, 5); !slices.Equal(got, want[:5]) {
		t.Errorf("a listener that stops after 5 got %v, want %v", got, want[:5])
	}
	if got := generate(o, 1, 0, 0); len(got) != 0 {
		t.Errorf("no tokens were asked for, got %v", got)
	}
	end := o
	end.Config.EOS = []int{int(want[7])}
	first := slices.Index(want, want[7])
	if got := generate(end, 3, 20, 0); !slices.Equal(got, want[:first+1]) {
		t.Errorf("until the end token: %v, want %v", got, want[:first+1])
	}
}

func TestGenerateRefuses(t *testing.T) {
	x, err := cluster.New(options(t, small()))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	any := func(int32) bool { return true }
	for name, err := range map[string]error{
		"no prompt":           x.Generate(t.Context(), nil, llm.Sampling{}, 1, 1, any),
		"no chunk":            x.Generate(t.Context(), []int32{1}, llm.Sampling{}, 0, 1, any),
		"less than no tokens": x.Generate(t.Context(), []int32{1}, llm.Sampling{}, 1, -1, any),
		"a token too large":   x.Generate(t.Context(), []int32{50, 1}, llm.Sampling{}, 1, 1, any),
		"beyond the context":  x.Generate(t.Context(), []int32{1}, llm.Sampling{}, 1, 65, any),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Generate(ctx, []int32{1}, llm.Sampling{}, 1, 1, any); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled generation: %v", err)
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
