package llm_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
	"github.com/spotserve/spotserve/engine/model"
)

// move copies the first n positions of a sequence, in pieces of at most size.
func move(t testing.TB, c model.Config, from, to *cluster.Cluster, id uint64, n, size int) {
	t.Helper()
	for layer := range c.Layers {
		for leaf := range c.Leaves {
			for at := 0; at < n; at += size {
				until := min(at+size, n)
				b := make([]byte, kv.ExportBytes(c, until-at))
				if err := from.Export(id, layer, leaf, at, until, b); err != nil {
					t.Fatal(err)
				}
				if err := to.Import(id, layer, leaf, at, until, b); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestMoveInMidDecode: from every cut to every other, after every kind of loss: all
// of the cache moves, a part of it, none; what is missing is computed again.
func TestMoveInMidDecode(t *testing.T) {
	c := small()
	r := newReference(t, c, 1, prompt(c, 4, 40), 12, llm.Sampling{})
	stop := r.prompt + 6 // positions that are computed before the move
	losses := []int{stop, stop - 1, 32, 31, 1, 0}
	for i, a := range cuts(c) {
		for j, b := range cuts(c) {
			// All of the cache, and one of the losses in turn.
			for _, kept := range []int{stop, losses[1+(i+j)%(len(losses)-1)]} {
				before, after := newCluster(t, c, a.pipeline, a.tensor, a.cpu), newCluster(t, c, b.pipeline, b.tensor, b.cpu)
				if _, err := before.Step(t.Context(), []llm.Sequence{r.step(0, stop)}); err != nil {
					t.Fatal(err)
				}
				move(t, c, before, after, r.id, kept, 17)
				if got := after.Tokens(r.id); got != kept {
					t.Fatalf("%d tokens landed of %d", got, kept)
				}
				what := fmt.Sprintf("%v, then %v with %d positions", a, b, kept)
				if kept < stop {
					checkLogits(t, what, after, []llm.Sequence{r.step(kept, stop-kept)}, r)
				}
				for at := stop; at < len(r.logits); at++ {
					checkLogits(t, what, after, []llm.Sequence{r.step(at, 1)}, r)
				}
				before.Close()
				after.Close()
			}
		}
	}
}

// TestRandomLives runs sequences through random reconfigurations: random cuts,
// threads and levels, batches and chunks, with caches that arrive whole, in part or
// not at all, steps that are repeated, and truncations. Tokens and logits are
// those of the lives without any.
func TestRandomLives(t *testing.T) {
	models := variants()
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 7))
		c := models[rng.IntN(len(models))]
		t.Run(fmt.Sprintf("%d %s", seed, c.Name), func(t *testing.T) {
			randomLife(t, rng, c)
		})
	}
}

func randomLife(t *testing.T, rng *rand.Rand, c model.Config) {
	var refs []*reference
	for id := range 2 + rng.IntN(3) {
		p := llm.Sampling{}
		if rng.IntN(2) == 0 {
			p = llm.Sampling{Temperature: 0.5 + rng.Float32(), TopK: rng.IntN(20), TopP: rng.Float32(), Seed: rng.Uint64()}
		}
		refs = append(refs, newReference(t, c, uint64(id), prompt(c, rng.IntN(1000), 1+rng.IntN(70)), 20, p))
	}
	all, levels := cuts(c), kernel.Levels()
	var now *cluster.Cluster
	produced := make([][]int32, len(refs)) // with the prompt
	for i, r := range refs {
		produced[i] = slices.Clone(r.tokens[:r.prompt])
	}
	left := func() (out []int) {
		for i, r := range refs {
			if len(produced[i]) < len(r.tokens) {
				out = append(out, i)
			}
		}
		return out
	}
	for len(left()) > 0 {
		if now == nil || rng.IntN(12) == 0 {
			x := all[rng.IntN(len(all))]
			x.cpu = kernel.Options{Level: levels[rng.IntN(len(levels))], Threads: 1 + rng.IntN(3)}
			next := newCluster(t, c, x.pipeline, x.tensor, x.cpu)
			for _, r := range refs {
				if now == nil {
					continue
				}
				kept := now.Tokens(r.id)
				if rng.IntN(3) == 0 {
					kept = rng.IntN(kept + 1)
				}
				move(t, c, now, next, r.id, kept, 1+rng.IntN(40))
			}
			if now != nil {
				now.Close()
			}
			now = next
		}
		if rng.IntN(10) == 0 {
			now.Truncate(uint64(rng.IntN(len(refs))), rng.IntN(60))
		}
		var batch []llm.Sequence
		var whose []*reference
		for _, i := range left() {
			if rng.IntN(4) == 0 {
				continue
			}
			// What the cache lacks comes first; sometimes positions that it has
			// are computed again.
			start := max(min(now.Tokens(refs[i].id), len(produced[i])-1)-max(rng.IntN(12)-8, 0), 0)
			n := 1 + rng.IntN(len(produced[i])-start)
			if rng.IntN(2) == 0 {
				n = len(produced[i]) - start
			}
			q := llm.Sequence{ID: refs[i].id, Start: start, Tokens: produced[i][start : start+n], Sampling: refs[i].sampling, Sample: true}
			batch, whose = append(batch, q), append(whose, refs[i])
		}
		if len(batch) == 0 {
			continue
		}
		if rng.IntN(3) == 0 {
			checkLogits(t, "a life", now, batch, whose...)
		}
		next, err := now.Step(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for k, q := range batch {
			at := q.Start + len(q.Tokens)
			if want := whose[k].tokens; at >= whose[k].prompt && at < len(want) && next[k] != want[at] {
				t.Fatalf("token %d of sequence %d is %d, want %d", at, q.ID, next[k], want[at])
			}
			if i := slices.Index(refs, whose[k]); at == len(produced[i]) && at < len(refs[i].tokens) {
				produced[i] = append(produced[i], next[k])
			}
		}
	}
}
