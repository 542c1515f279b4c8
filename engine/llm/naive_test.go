package llm_test

import (
	"math"
	"testing"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/model"
)

// naive is a decoder as a textbook has it: whole matrices, float64, the standard
// library's functions, no cache and no cut.
type naive struct {
	c      model.Config
	layers []model.Layer
}

func newNaive(t *testing.T, c model.Config) *naive {
	t.Helper()
	source, err := model.Synthetic(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	n := &naive{c: c}
	for l := range c.Layers {
		x, err := model.Join(source, l)
		if err != nil {
			t.Fatal(err)
		}
		n.layers = append(n.layers, x)
	}
	return n
}

func times(m []float32, x []float64) []float64 {
	out := make([]float64, len(m)/len(x))
	for r := range out {
		for k, v := range x {
			out[r] += float64(m[r*len(x)+k]) * v
		}
	}
	return out
}

func (n *naive) norm(x []float64, weight []float32) []float64 {
	squares := 0.0
	for _, v := range x {
		squares += v * v
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v / math.Sqrt(squares/float64(len(x))+float64(n.c.NormEps)) * float64(weight[i])
	}
	return out
}

func (n *naive) rotate(x []float64, position int) {
	half := n.c.HeadDim / 2
	r := n.c.Rope
	for i := range x {
		k := i % n.c.HeadDim
		if k >= half {
			continue
		}
		f := math.Pow(r.Theta, -2*float64(k)/float64(n.c.HeadDim))
		if r.Factor != 0 {
			// As Llama 3.1 has it: by the wave's length over the original context.
			turns := float64(r.OriginalContext) * f / (2 * math.Pi)
			share := (turns - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
			share = min(max(share, 0), 1)
			f = share*f + (1-share)*f/r.Factor
		}
		s, c := math.Sincos(float64(position) * f)
		x[i], x[i+half] = x[i]*c-x[i+half]*s, x[i+half]*c+x[i]*s
	}
}

func (n *naive) attend(q []float64, keys, values [][]float64) []float64 {
	d, group := n.c.HeadDim, n.c.Heads/n.c.KVHeads
	out := make([]float64, len(q))
	for h := range n.c.Heads {
		at, of := h*d, h/group*d
		weights, sum := make([]float64, len(keys)), 0.0
		for t, k := range keys {
			score := 0.0
			for i := range d {
				score += q[at+i] * k[of+i]
			}
			weights[t] = math.Exp(score / math.Sqrt(float64(d)))
			sum += weights[t]
		}
		for t, v := range values {
			for i := range d {
				out[at+i] += weights[t] / sum * v[of+i]
			}
		}
	}
	return out
}

// logits after every position.
func (n *naive) logits(tokens []int32) [][]float64 {
	d := n.c.Hidden
	x := make([][]float64, len(tokens))
	for t, token := range tokens {
		for _, v := range n.layers[0][model.Embedding][int(token)*d : (int(token)+1)*d] {
			x[t] = append(x[t], float64(v))
		}
	}
	add := func(x, y []float64) {
		for i := range x {
			x[i] += y[i]
		}
	}
	for _, l := range n.layers {
		keys, values := make([][]float64, len(tokens)), make([][]float64, len(tokens))
		for t := range x {
			h := n.norm(x[t], l[model.AttnNorm])
			q := times(l[model.Query], h)
			keys[t], values[t] = times(l[model.Key], h), times(l[model.Value], h)
			n.rotate(q, t)
			n.rotate(keys[t], t)
			add(x[t], times(l[model.Output], n.attend(q, keys[:t+1], values[:t+1])))
			h = n.norm(x[t], l[model.FFNNorm])
			gate, up := times(l[model.Gate], h), times(l[model.Up], h)
			for i, g := range gate {
				gate[i] = g / (1 + math.Exp(-g)) * up[i]
			}
			add(x[t], times(l[model.Down], gate))
		}
	}
	last := n.layers[n.c.Layers-1]
	out := make([][]float64, len(tokens))
	for t := range x {
		out[t] = times(last[model.Head], n.norm(x[t], last[model.FinalNorm]))
	}
	return out
}

// TestAgainstTextbook: float32 in our order is near float64 in any. Logits are of
// the order of 3.
func TestAgainstTextbook(t *testing.T) {
	const tolerance = 1e-4
	for _, c := range variants() {
		r := newReference(t, c, 1, prompt(c, 6, 48), 0, llm.Sampling{})
		largest := 0.0
		for at, want := range newNaive(t, c).logits(r.tokens) {
			for i, v := range want {
				largest = max(largest, math.Abs(v-float64(r.logits[at][i])))
			}
		}
		if !(largest <= tolerance) {
			t.Errorf("%s: logits are off by %g, at most %g", c.Name, largest, tolerance)
		}
		t.Logf("%s: off by at most %.2g", c.Name, largest)
	}
}

// TestGreedyTextbook: the tokens too, wherever the textbook's best is clear.
func TestGreedyTextbook(t *testing.T) {
	c := small()
	n, tokens := newNaive(t, c), prompt(c, 7, 10)
	k := newCluster(t, c, 4, 4, kernel.Options{Threads: 1})
	for at := 0; len(tokens) < 40; {
		next, err := k.Step(t.Context(), []llm.Sequence{{ID: 1, Start: at, Tokens: tokens[at:], Sample: true}})
		if err != nil {
			t.Fatal(err)
		}
		all := n.logits(tokens)
		logits := all[len(all)-1]
		best := 0
		for i, v := range logits {
			if v > logits[best] {
				best = i
			}
		}
		if int(next[0]) != best && logits[best]-logits[next[0]] > 1e-4 {
			t.Errorf("token %d is %d, the textbook's is %d by %g", len(tokens), next[0], best, logits[best]-logits[next[0]])
		}
		at, tokens = len(tokens), append(tokens, next[0])
	}
}
