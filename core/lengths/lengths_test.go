package lengths

import (
	"math"
	"strings"
	"testing"
)

var all = []Distribution{
	{Kind: Fixed, Tokens: 512},
	{Kind: Uniform, Min: 1, Max: 9},
	{Kind: Uniform, Min: 7, Max: 7},
	{Kind: LogNormal, Mean: 200, Sigma: 0.8, Min: 1, Max: 4096},
	{Kind: LogNormal, Mean: 200, Sigma: 1.5, Min: 100, Max: 300}, // cut on both sides
	{Kind: Weighted, Values: []Value{{Tokens: 10, Weight: 3}, {Tokens: 1000, Weight: 1}}},
}

// TestStatistics: the mean of many draws is Average, and all lie in 1 to
// Longest, which is reached or nearly so.
func TestStatistics(t *testing.T) {
	const n = 200_000
	for _, d := range all {
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		s := NewSampler(d, 5, "prompt")
		sum, squares, longest := 0.0, 0.0, 0
		for i := range uint64(n) {
			tokens := s.Tokens(i)
			if tokens < max(1, d.Min) || tokens > d.Longest() {
				t.Fatalf("%+v: request %d has %d tokens", d, i, tokens)
			}
			sum += float64(tokens)
			squares += float64(tokens) * float64(tokens)
			longest = max(longest, tokens)
		}
		mean := sum / n
		deviation := math.Sqrt(max(0, squares/n-mean*mean))
		if limit := 4*deviation/math.Sqrt(n) + 0.01; math.Abs(mean-d.Average()) > limit {
			t.Errorf("%+v: the mean of %d draws is %v, want %v within %v", d, n, mean, d.Average(), limit)
		}
		if d.Kind != LogNormal && longest != d.Longest() {
			t.Errorf("%+v: the longest of %d draws is %d, want %d", d, n, longest, d.Longest())
		}
	}
}

// TestLogNormalSpread: the logarithm of an uncut length has deviation Sigma.
func TestLogNormalSpread(t *testing.T) {
	const n, sigma = 100_000, 0.5
	s := NewSampler(Distribution{Kind: LogNormal, Mean: 10_000, Sigma: sigma, Min: 1, Max: MaxTokens}, 1, "x")
	sum, squares := 0.0, 0.0
	for i := range uint64(n) {
		x := math.Log(float64(s.Tokens(i)))
		sum, squares = sum+x, squares+x*x
	}
	mean := sum / n
	if got := math.Sqrt(squares/n - mean*mean); math.Abs(got-sigma) > 0.01 {
		t.Errorf("the logarithm deviates by %v, want %v", got, sigma)
	}
	if want := math.Log(10_000) - sigma*sigma/2; math.Abs(mean-want) > 0.01 {
		t.Errorf("the logarithm's mean is %v, want %v", mean, want)
	}
}

func TestWeightedShares(t *testing.T) {
	s := NewSampler(Distribution{Kind: Weighted, Values: []Value{{1, 1}, {2, 2}, {3, 5}}}, 3, "x")
	counts := make(map[int]int)
	const n = 80_000
	for i := range uint64(n) {
		counts[s.Tokens(i)]++
	}
	for tokens, want := range map[int]int{1: n / 8, 2: n / 4, 3: n * 5 / 8} {
		if got := counts[tokens]; math.Abs(float64(got-want)) > 600 {
			t.Errorf("%d of %d requests have %d tokens, want about %d", got, n, tokens, want)
		}
	}
}

// TestLengthsAreAFunctionOfSeedPurposeAndRequest: other requests do not matter,
// seed and purpose do.
func TestLengthsAreAFunctionOfSeedPurposeAndRequest(t *testing.T) {
	d := all[3]
	a, again := NewSampler(d, 1, "prompt"), NewSampler(d, 1, "prompt")
	others := []*Sampler{NewSampler(d, 2, "prompt"), NewSampler(d, 1, "output")}
	differ := make([]int, len(others))
	for i := range uint64(1000) {
		again.Tokens(999 - i)
	}
	for i := range uint64(1000) {
		if a.Tokens(i) != again.Tokens(i) {
			t.Fatalf("request %d has two lengths", i)
		}
		for j, o := range others {
			if a.Tokens(i) != o.Tokens(i) {
				differ[j]++
			}
		}
	}
	for j, n := range differ {
		if n < 900 {
			t.Errorf("sampler %d differs in %d of 1000 requests only", j, n)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		d    Distribution
		want string
	}{
		{Distribution{}, `distribution is "", allowed are fixed, uniform, lognormal, weighted`},
		{Distribution{Kind: "normal"}, `distribution is "normal", allowed are`},
		{Distribution{Kind: Fixed}, "tokens is 0, allowed is 1 to 1048576"},
		{Distribution{Kind: Fixed, Tokens: MaxTokens + 1}, "tokens is 1048577"},
		{Distribution{Kind: Uniform, Max: 5}, "min is 0"},
		{Distribution{Kind: Uniform, Min: 5, Max: 4}, "max is 4, allowed is min (5) to"},
		{Distribution{Kind: LogNormal, Min: 1, Max: 9, Sigma: 1}, "mean is 0"},
		{Distribution{Kind: LogNormal, Min: 1, Max: 9, Sigma: 1, Mean: nan}, "mean is NaN"},
		{Distribution{Kind: LogNormal, Min: 1, Max: 9, Mean: 5}, "sigma is 0"},
		{Distribution{Kind: LogNormal, Min: 1, Max: 9, Mean: 5, Sigma: nan}, "sigma is NaN"},
		{Distribution{Kind: LogNormal, Min: 1, Mean: 5, Sigma: 1}, "max is 0"},
		{Distribution{Kind: Weighted}, "values is empty"},
		{Distribution{Kind: Weighted, Values: []Value{{0, 1}}}, "values[0].tokens is 0"},
		{Distribution{Kind: Weighted, Values: []Value{{1, 1}, {1, 0}}}, "values[1].weight is 0"},
		{Distribution{Kind: Weighted, Values: []Value{{1, nan}}}, "values[0].weight is NaN"},
	} {
		if err := tt.d.Check(); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: got error %v, want %s...", tt.d, err, tt.want)
		}
	}
}

func BenchmarkTokens(b *testing.B) {
	s := NewSampler(all[3], 1, "prompt")
	for i := range b.N {
		s.Tokens(uint64(i))
	}
}
