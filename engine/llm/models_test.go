package llm_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
	"github.com/spotserve/spotserve/engine/model"
)

// small is a decoder of four leaves with heads that share keys, none of whose
// widths is a multiple of the kernels' lanes.
func small() model.Config {
	return model.Config{
		Name: "small", Layers: 4, Hidden: 56, Heads: 8, KVHeads: 4, HeadDim: 6, FFN: 84, Vocab: 103, Context: 600,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, Leaves: 4, BOS: -1,
	}
}

// variants of small: what readers of checkpoints can meet.
func variants() []model.Config {
	half := small()
	half.Name, half.DType = "bf16", model.BF16
	tied := small()
	tied.Name, tied.TiedHead, tied.Heads, tied.HeadDim, tied.FFN = "tied, one query head a key", true, 4, 14, 100
	scaled := small()
	scaled.Name, scaled.Leaves = "llama 3.1 positions, two leaves", 2
	scaled.Rope = model.Rope{Theta: 500000, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 16}
	whole := small()
	whole.Name, whole.Leaves, whole.KVHeads, whole.Heads, whole.Layers = "one leaf, one key head", 1, 1, 3, 3
	return []model.Config{small(), half, tied, scaled, whole}
}

var loaded sync.Map // of model.Config's text: weights are read once

// weights of seed 1, scaled like trained ones.
func weights(t testing.TB, c model.Config) func(model.BlobID) []byte {
	t.Helper()
	key := fmt.Sprintf("%+v", c)
	if b, ok := loaded.Load(key); ok {
		return b.(func(model.BlobID) []byte)
	}
	source, err := model.Synthetic(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	all, err := cluster.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	loaded.Store(key, all.Blob)
	return all.Blob
}

func newCluster(t testing.TB, c model.Config, pipeline, tensor int, cpu kernel.Options) *cluster.Cluster {
	t.Helper()
	x, err := cluster.New(cluster.Options{
		Config: c, Blob: weights(t, c), Pipeline: pipeline, Tensor: tensor, CPU: cpu, KVBytes: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// cut is a way to run a model.
type cut struct {
	pipeline, tensor int
	cpu              kernel.Options
}

func (x cut) String() string {
	return fmt.Sprintf("P=%d M=%d %v threads=%d", x.pipeline, x.tensor, x.cpu.Level, x.cpu.Threads)
}

// cuts are all (P, M) up to four that a model takes.
func cuts(c model.Config) (out []cut) {
	for _, p := range []int{1, 2, 4} {
		for m := 1; m <= c.Leaves; m *= 2 {
			if p <= c.Layers && (p-1)*((c.Layers+p-1)/p) < c.Layers {
				out = append(out, cut{pipeline: p, tensor: m, cpu: kernel.Options{Threads: 1}})
			}
		}
	}
	return out
}

// prompt is n tokens made of a seed.
func prompt(c model.Config, seed, n int) []int32 {
	out := make([]int32, n)
	x := uint64(seed)*2654435761 + 12345
	for i := range out {
		x = x*6364136223846793005 + 1442695040888963407
		out[i] = int32(x >> 33 % uint64(c.Vocab))
	}
	return out
}

// reference holds what a sequence's tokens have to be, computed token by token by
// one rank on one thread in portable Go, and the logits after each position.
type reference struct {
	id       uint64
	prompt   int     // tokens of it
	tokens   []int32 // prompt and output
	logits   [][]float32
	sampling llm.Sampling
}

func newReference(t testing.TB, c model.Config, id uint64, prompt []int32, output int, p llm.Sampling) *reference {
	t.Helper()
	x := newCluster(t, c, 1, 1, kernel.Options{Level: kernel.Generic, Threads: 1})
	r := &reference{id: id, prompt: len(prompt), tokens: append([]int32(nil), prompt...), sampling: p}
	for at := range len(prompt) + output {
		step := []llm.Sequence{{ID: id, Start: at, Tokens: r.tokens[at : at+1], Sample: true, Sampling: p}}
		logits, err := x.Logits(t.Context(), step)
		if err != nil {
			t.Fatal(err)
		}
		r.logits = append(r.logits, append([]float32(nil), logits...))
		if at+1 < len(r.tokens) || at+1 == len(prompt)+output {
			continue
		}
		next, err := x.Step(t.Context(), step)
		if err != nil {
			t.Fatal(err)
		}
		r.tokens = append(r.tokens, next[0])
	}
	return r
}

// step is the sequence's part of a batch: n tokens from a position on.
func (r *reference) step(from, n int) llm.Sequence {
	return llm.Sequence{ID: r.id, Start: from, Tokens: r.tokens[from : from+n], Sample: true, Sampling: r.sampling}
}

// checkLogits computes a batch and compares with the references, in the batch's order.
func checkLogits(t testing.TB, what string, x *cluster.Cluster, batch []llm.Sequence, refs ...*reference) {
	t.Helper()
	got, err := x.Logits(context.Background(), batch)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	vocab := len(refs[0].logits[0])
	for i, r := range refs {
		last := batch[i].Start + len(batch[i].Tokens) - 1
		if at := differs(got[i*vocab:(i+1)*vocab], r.logits[last]); at >= 0 {
			t.Fatalf("%s: sequence %d, position %d: logit %d is %x, want %x", what, r.id, last, at,
				math.Float32bits(got[i*vocab+at]), math.Float32bits(r.logits[last][at]))
		}
	}
}

// differs is the first element whose bits differ; -1 if there is none.
func differs(a, b []float32) int {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}
