package llm

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/engine/kernel"
)

// sortedDraw is the rule of Sampling word by word.
func sortedDraw(logits []float32, p Sampling, position int) int32 {
	order, all := make([]int, len(logits)), 0.0
	largest := slices.Max(logits)
	weight := func(i int) float64 { return float64(kernel.Exp((logits[i] - largest) / p.Temperature)) }
	for i := range order {
		order[i] = i
		all += weight(i)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case logits[a] > logits[b]:
			return -1
		case logits[a] < logits[b]:
			return 1
		}
		return 0
	})
	total := all
	sum := func() (s float64) {
		for _, i := range order {
			s += weight(i)
		}
		return s
	}
	if p.TopK > 0 && p.TopK < len(order) {
		order = order[:p.TopK]
		total = sum()
	}
	if p.TopP > 0 && p.TopP < 1 {
		kept, s := 0, 0.0
		for kept < len(order) && (kept == 0 || s < float64(p.TopP)*total) {
			s += weight(order[kept])
			kept++
		}
		order, total = order[:kept], s
	}
	u, s := uniform(p.Seed, position), 0.0
	for _, i := range order {
		if s += weight(i); s > u*total {
			return int32(i)
		}
	}
	return int32(order[len(order)-1])
}

// TestDrawAgainstSort: the heap chooses as sorting does, also among equal logits.
func TestDrawAgainstSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var s sampler
	for range 3000 {
		logits := make([]float32, 1+rng.IntN(200))
		for i := range logits {
			logits[i] = float32(rng.NormFloat64() * 3)
			if rng.IntN(2) == 0 {
				logits[i] = float32(math.Round(float64(logits[i])))
			}
			if rng.IntN(50) == 0 {
				logits[i] = float32(math.Inf(-1))
			}
		}
		logits[rng.IntN(len(logits))] = 1
		p := Sampling{Temperature: float32(math.Exp(rng.NormFloat64() * 2)), Seed: rng.Uint64()}
		if rng.IntN(2) == 0 {
			p.TopK = rng.IntN(2 * len(logits))
		}
		if rng.IntN(2) == 0 {
			p.TopP = rng.Float32()
		}
		position := rng.IntN(1000)
		got, err := s.draw(logits, p, position)
		if err != nil {
			t.Fatal(err)
		}
		if want := sortedDraw(logits, p, position); got != want {
			t.Fatalf("%+v at %d of %d logits: %d, want %d", p, position, len(logits), got, want)
		}
	}
}

// TestDrawsFollowTheWeights: Pearson's statistic of many draws, at other seeds and
// positions, against the probabilities.
func TestDrawsFollowTheWeights(t *testing.T) {
	const n = 40000
	logits := []float32{0.5, -1, 2, 0.5, 1.5, -3}
	var s sampler
	for name, draw := range map[string]func(i int) (uint64, int){
		"positions": func(i int) (uint64, int) { return 7, i },
		"seeds":     func(i int) (uint64, int) { return uint64(i), 7 },
	} {
		counts, total := make([]float64, len(logits)), 0.0
		for i := range n {
			seed, position := draw(i)
			token, err := s.draw(logits, Sampling{Temperature: 1.3, Seed: seed}, position)
			if err != nil {
				t.Fatal(err)
			}
			counts[token]++
		}
		for _, v := range logits {
			total += math.Exp(float64(v) / 1.3)
		}
		statistic := 0.0
		for i, v := range logits {
			want := n * math.Exp(float64(v)/1.3) / total
			statistic += (counts[i] - want) * (counts[i] - want) / want
		}
		// 99.9 % of Pearson's statistic with five degrees of freedom.
		if statistic > 20.5 {
			t.Errorf("over %s: statistic %.1f of counts %v", name, statistic, counts)
		}
	}
}

func TestSettingsLimitTheChoice(t *testing.T) {
	logits := []float32{1, 3, 2, 3, -1}
	var s sampler
	for name, tt := range map[string]struct {
		p     Sampling
		among []int32
	}{
		"almost greedy":            {Sampling{Temperature: 1e-30}, []int32{1, 3}},
		"top one":                  {Sampling{Temperature: 5, TopK: 1}, []int32{1}},
		"top two":                  {Sampling{Temperature: 5, TopK: 2}, []int32{1, 3}},
		"top three":                {Sampling{Temperature: 5, TopK: 3}, []int32{1, 2, 3}},
		"the smallest share":       {Sampling{Temperature: 5, TopP: 1e-9}, []int32{1}},
		"a share that two fill":    {Sampling{Temperature: 1, TopP: 0.7}, []int32{1, 3}},
		"a share of the top two":   {Sampling{Temperature: 1, TopP: 0.4, TopK: 2}, []int32{1}},
		"all, at high temperature": {Sampling{Temperature: 50, TopP: 1, TopK: 99}, []int32{0, 1, 2, 3, 4}},
	} {
		seen := map[int32]bool{}
		for seed := range uint64(500) {
			tt.p.Seed = seed
			token, err := s.draw(logits, tt.p, 3)
			if err != nil {
				t.Fatal(err)
			}
			seen[token] = true
		}
		var got []int32
		for token := range seen {
			got = append(got, token)
		}
		slices.Sort(got)
		if !slices.Equal(got, tt.among) {
			t.Errorf("%s: tokens %v, want %v", name, got, tt.among)
		}
	}
}

func TestDrawNeedsNumbers(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, logits := range [][]float32{{1, nan}, {nan}, {inf, 1}, {-inf, -inf}} {
		var s sampler
		if _, err := s.draw(logits, Sampling{Temperature: 1}, 0); !errors.Is(err, errNotFinite) {
			t.Errorf("logits %v: %v", logits, err)
		}
	}
}

// TestUniformIsPinned: answers to a seed are equal across versions only while it is.
func TestUniformIsPinned(t *testing.T) {
	for _, tt := range []struct {
		seed     uint64
		position int
		want     float64
	}{{0, 0, 0.6524484863740322}, {1, 0, 0.36818951565166946}, {1, 1, 0.9140224628703029}} {
		if got := uniform(tt.seed, tt.position); got != tt.want {
			t.Errorf("uniform(%d, %d) is %v, want %v", tt.seed, tt.position, got, tt.want)
		}
	}
}
