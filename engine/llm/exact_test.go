package llm_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"testing"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
	"github.com/spotserve/spotserve/engine/model"
)

// TestLogitsDoNotDependOnTheCut: every (P, M), at each variant of a model.
func TestLogitsDoNotDependOnTheCut(t *testing.T) {
	for _, c := range variants() {
		t.Run(c.Name, func(t *testing.T) {
			r := newReference(t, c, 1, prompt(c, 1, 37), 8, llm.Sampling{})
			for _, x := range cuts(c) {
				k := newCluster(t, c, x.pipeline, x.tensor, x.cpu)
				checkLogits(t, x.String(), k, []llm.Sequence{r.step(0, r.prompt)}, r)
				for at := r.prompt; at < len(r.logits); at++ {
					checkLogits(t, x.String(), k, []llm.Sequence{r.step(at, 1)}, r)
				}
			}
		})
	}
}

// TestLogitsDoNotDependOnTheMachine: levels of instructions and threads.
func TestLogitsDoNotDependOnTheMachine(t *testing.T) {
	for _, c := range variants() {
		r := newReference(t, c, 1, prompt(c, 2, 35), 1, llm.Sampling{})
		for _, level := range kernel.Levels() {
			for threads, wait := range map[int]kernel.Wait{1: kernel.Block, 2: kernel.Spin, 3: kernel.Block, 5: kernel.Spin} {
				x := cut{1, 1, kernel.Options{Level: level, Threads: threads, Wait: wait}}
				k := newCluster(t, c, x.pipeline, x.tensor, x.cpu)
				what := fmt.Sprintf("%s: %v", c.Name, x)
				checkLogits(t, what, k, []llm.Sequence{r.step(0, r.prompt)}, r)
				checkLogits(t, what, k, []llm.Sequence{r.step(r.prompt, 1)}, r)
			}
		}
	}
}

// TestEveryChunkOfAPrompt: chunks of 1 to all tokens, so that they begin and end
// anywhere in a page.
func TestEveryChunkOfAPrompt(t *testing.T) {
	c := small()
	r := newReference(t, c, 1, prompt(c, 3, 67), 0, llm.Sampling{})
	k := newCluster(t, c, 2, 2, kernel.Options{Threads: 1})
	for size := 1; size <= r.prompt; size++ {
		k.Drop(r.id)
		for at := 0; at < r.prompt; at += size {
			n := min(size, r.prompt-at)
			checkLogits(t, fmt.Sprintf("chunks of %d", size), k, []llm.Sequence{r.step(at, n)}, r)
		}
	}
}

// TestEveryBatch: each subset of sequences in different states, prefill chunks and
// single tokens mixed, in both orders.
func TestEveryBatch(t *testing.T) {
	c := small()
	var refs []*reference
	for id := range 5 {
		refs = append(refs, newReference(t, c, uint64(id), prompt(c, id, 5+13*id), 3, llm.Sampling{}))
	}
	k := newCluster(t, c, 2, 2, kernel.Options{Threads: 2})
	for subset := 1; subset < 1<<len(refs); subset++ {
		var chosen []*reference
		for i, r := range refs {
			if subset>>i&1 == 1 {
				chosen = append(chosen, r)
			}
		}
		if subset%2 == 0 {
			for i, j := 0, len(chosen)-1; i < j; i, j = i+1, j-1 {
				chosen[i], chosen[j] = chosen[j], chosen[i]
			}
		}
		at := make([]int, len(chosen))
		for _, r := range chosen {
			k.Drop(r.id)
		}
		// Sequences with an odd number take their prompt in two chunks, so decodes
		// of some run beside prefills of others.
		for range 4 {
			var batch []llm.Sequence
			for i, r := range chosen {
				n := 1
				if at[i] == 0 {
					n = r.prompt
					if r.id%2 == 1 {
						n = r.prompt / 2
					}
				} else if at[i] < r.prompt {
					n = r.prompt - at[i]
				}
				batch = append(batch, r.step(at[i], n))
				at[i] += n
			}
			checkLogits(t, fmt.Sprintf("subset %b", subset), k, batch, chosen...)
		}
	}
}

// TestTokens: Next gives the reference's tokens, greedy and sampled in one batch.
func TestTokens(t *testing.T) {
	for _, c := range variants() {
		refs := []*reference{
			newReference(t, c, 1, prompt(c, 1, 20), 12, llm.Sampling{}),
			newReference(t, c, 2, prompt(c, 2, 9), 12, llm.Sampling{Temperature: 1, Seed: 5}),
			newReference(t, c, 3, prompt(c, 3, 33), 12, llm.Sampling{Temperature: 0.7, TopK: 9, Seed: 5}),
			newReference(t, c, 4, prompt(c, 3, 33), 12, llm.Sampling{Temperature: 2, TopP: 0.8, TopK: 50, Seed: 6}),
		}
		for _, x := range cuts(c) {
			k := newCluster(t, c, x.pipeline, x.tensor, x.cpu)
			for at := -1; at < 11; at++ {
				var batch []llm.Sequence
				for _, r := range refs {
					if at < 0 {
						batch = append(batch, r.step(0, r.prompt))
					} else {
						batch = append(batch, r.step(r.prompt+at, 1))
					}
				}
				batch[at&1].Sample = false // only some ask for a token
				next, err := k.Step(t.Context(), batch)
				if err != nil {
					t.Fatal(err)
				}
				if len(next) != len(refs)-1 {
					t.Fatalf("%d tokens for %d sequences that ask for one", len(next), len(refs)-1)
				}
				i := 0
				for j, r := range refs {
					if !batch[j].Sample {
						continue
					}
					if want := r.tokens[r.prompt+at+1]; next[i] != want {
						t.Fatalf("%s: %v: token %d of sequence %d is %d, want %d", c.Name, x, at+1, r.id, next[i], want)
					}
					i++
				}
			}
		}
	}
}

// TestEqualLogits: the lowest token wins, whichever ranks have the equals.
func TestEqualLogits(t *testing.T) {
	c := small()
	for _, lowest := range []int{0, 1, 30, 60, 101} {
		// All logits are zero, except that those below the lowest are no numbers.
		blob := func(id model.BlobID) []byte {
			b := append([]byte(nil), weights(t, c)(id)...)
			if id.Layer != c.Layers-1 {
				return b
			}
			from, to := c.VocabRange(id.Leaf)
			tensors := c.Tensors(id)
			head := b[tensors[len(tensors)-1].Offset:]
			row := make([]float32, c.Hidden)
			for token := from; token < to; token++ {
				clear(row)
				if token < lowest {
					row[0] = float32(math.NaN())
				}
				model.Encode(head[(token-from)*c.Hidden*4:][:c.Hidden*4], row, model.F32)
			}
			return b
		}
		for _, x := range cuts(c) {
			k, err := cluster.New(cluster.Options{Config: c, Blob: blob, Pipeline: x.pipeline, Tensor: x.tensor, CPU: x.cpu, KVBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			next, err := k.Step(t.Context(), []llm.Sequence{{ID: 1, Tokens: []int32{5}, Sample: true}})
			if err != nil || next[0] != int32(lowest) {
				t.Errorf("%v: token %v, %v; want %d", x, next, err, lowest)
			}
			_, err = k.Step(t.Context(), []llm.Sequence{{ID: 1, Tokens: []int32{5}, Sample: true, Sampling: llm.Sampling{Temperature: 1}}})
			if (err == nil) != (lowest == 0) {
				t.Errorf("%v: sampling from logits of which %d are no numbers: %v", x, lowest, err)
			}
			k.Close()
		}
	}
}

// TestLogitsArePinned: on every platform, and in every version that shares a
// cluster with this one.
func TestLogitsArePinned(t *testing.T) {
	pins := []uint64{0xf7957c57339ccb7, 0x47b7037fa6d7307b, 0x6e8a9782ca97f163, 0xe2c25d5481bbddcd, 0xca675e429b6651f1}
	for i, c := range variants() {
		k := newCluster(t, c, 1, 1, kernel.Options{Threads: 1})
		logits, err := k.Logits(t.Context(), []llm.Sequence{{ID: 1, Tokens: prompt(c, 8, 60), Sample: true}})
		if err != nil {
			t.Fatal(err)
		}
		h := fnv.New64a()
		for _, v := range logits {
			_ = binary.Write(h, binary.LittleEndian, v) // a hash's Write never fails
		}
		if got := h.Sum64(); got != pins[i] {
			t.Errorf("%s: the logits hash to %#x, want %#x", c.Name, got, pins[i])
		}
	}
}
