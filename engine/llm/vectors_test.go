package llm_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
	"github.com/spotserve/spotserve/engine/model"
)

// vector is a model and what llama.cpp and numpy make of it; see
// testdata/independent/README.md.
type vector struct {
	Name     string
	Config   model.Config
	Seed     uint64
	Generate int
	Answers  []struct {
		Prompt, Tokens []int32
		Logits         []struct {
			Step  int
			Token int32
			Logit float64
		}
	}
}

// TestAgainstIndependentImplementations: the same tokens as llama.cpp, and logits
// near those of float64, uncut and cut, all answers of a case in one batch.
func TestAgainstIndependentImplementations(t *testing.T) {
	const tolerance = 1e-4
	text, err := os.ReadFile("testdata/independent/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			source, err := model.Synthetic(v.Config, v.Seed)
			if err != nil {
				t.Fatal(err)
			}
			weights, err := cluster.Load(source)
			if err != nil {
				t.Fatal(err)
			}
			defer weights.Close()
			all := cuts(v.Config)
			for _, x := range []cut{all[0], all[len(all)-1]} {
				k, err := cluster.New(cluster.Options{
					Config: v.Config, Blob: weights.Blob, Pipeline: x.pipeline, Tensor: x.tensor, CPU: kernel.Options{Threads: 1}, KVBytes: 64 << 20,
				})
				if err != nil {
					t.Fatal(err)
				}
				largest := compare(t, v, k)
				if !(largest <= tolerance) {
					t.Errorf("%v: logits are off by %g, at most %g", x, largest, tolerance)
				}
				t.Logf("%v: off by at most %.2g", x, largest)
				k.Close()
			}
		})
	}
}

// compare answers all prompts of a case and returns the largest difference of a
// logit.
func compare(t *testing.T, v vector, k *cluster.Cluster) (largest float64) {
	t.Helper()
	var batch []llm.Sequence
	for i, a := range v.Answers {
		batch = append(batch, llm.Sequence{ID: uint64(i), Tokens: a.Prompt, Sample: true})
	}
	for step := range v.Generate {
		logits, err := k.Logits(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		next, err := k.Step(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range v.Answers {
			for _, l := range a.Logits {
				if l.Step == step {
					largest = max(largest, math.Abs(l.Logit-float64(logits[i*v.Config.Vocab+int(l.Token)])))
				}
			}
			if next[i] != a.Tokens[step] {
				t.Fatalf("answer %d, step %d: token %d, want %d", i, step, next[i], a.Tokens[step])
			}
			q := &batch[i]
			q.Start += len(q.Tokens)
			q.Tokens = []int32{next[i]}
		}
	}
	return largest
}
