// Package lengths draws how many tokens the prompts and answers of requests
// have.
//
// A length is a pure function of (seed, what it is for, request): it does not
// depend on how many requests there are or in which order they are asked for.
package lengths

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/draw"
)

// Kind names a distribution.
type Kind string

// The distributions of token counts.
const (
	// Fixed: every request has the same length.
	Fixed Kind = "fixed"
	// Uniform: every whole number of Min to Max is as likely as any other.
	Uniform Kind = "uniform"
	// LogNormal: the logarithm is normally distributed with deviation Sigma, and
	// so that the mean is Mean before lengths are brought within Min to Max.
	LogNormal Kind = "lognormal"
	// Weighted: one of a list, as often as its weight says.
	Weighted Kind = "weighted"
)

// Kinds returns the distributions.
func Kinds() []Kind { return []Kind{Fixed, Uniform, LogNormal, Weighted} }

// MaxTokens bounds a length, and maxSigma the spread of a log-normal one.
const (
	MaxTokens = 1 << 20
	maxSigma  = 5
)

// Value is one entry of a weighted list.
type Value struct {
	Tokens int
	Weight float64
}

// Distribution says how long prompts or answers are, in tokens.
type Distribution struct {
	Kind   Kind
	Tokens int     // of Fixed
	Min    int     // of Uniform and LogNormal
	Max    int     // likewise
	Mean   float64 // of LogNormal
	Sigma  float64 // of LogNormal
	Values []Value // of Weighted
}

// Check says what is wrong with a distribution: every length lies in 1 to
// MaxTokens.
func (d Distribution) Check() error {
	tokens := func(what string, n int) error {
		if n < 1 || n > MaxTokens {
			return fmt.Errorf("%s is %d, allowed is 1 to %d", what, n, MaxTokens)
		}
		return nil
	}
	switch d.Kind {
	case Fixed:
		return tokens("tokens", d.Tokens)
	case Uniform, LogNormal:
		if err := tokens("min", d.Min); err != nil {
			return err
		}
		if err := tokens("max", d.Max); err != nil {
			return err
		}
		if d.Max < d.Min {
			return fmt.Errorf("max is %d, allowed is min (%d) to %d", d.Max, d.Min, MaxTokens)
		}
		if d.Kind == Uniform {
			return nil
		}
		if !(d.Mean >= 1 && d.Mean <= MaxTokens) {
			return fmt.Errorf("mean is %v, allowed is 1 to %d", d.Mean, MaxTokens)
		}
		if !(d.Sigma > 0 && d.Sigma <= maxSigma) {
			return fmt.Errorf("sigma is %v, allowed is above 0 up to %v", d.Sigma, maxSigma)
		}
		return nil
	case Weighted:
		if len(d.Values) == 0 {
			return errors.New("values is empty")
		}
		for i, v := range d.Values {
			if err := tokens(fmt.Sprintf("values[%d].tokens", i), v.Tokens); err != nil {
				return err
			}
			if !(v.Weight > 0 && v.Weight <= maxWeight) {
				return fmt.Errorf("values[%d].weight is %v, allowed is above 0 up to %v", i, v.Weight, maxWeight)
			}
		}
		return nil
	}
	return fmt.Errorf("distribution is %q, allowed are %s", d.Kind, kindList())
}

// maxWeight keeps sums of weights finite.
const maxWeight = 1e9

func kindList() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// Average is the expected length. For LogNormal it is that of the lengths within
// Min and Max, but for their rounding to whole tokens.
func (d Distribution) Average() float64 {
	switch d.Kind {
	case Uniform:
		return float64(d.Min+d.Max) / 2
	case LogNormal:
		return d.clampedMean()
	case Weighted:
		sum, weights := 0.0, 0.0
		for _, v := range d.Values {
			sum += float64(v.Tokens) * v.Weight
			weights += v.Weight
		}
		return sum / weights
	}
	return float64(d.Tokens)
}

// Longest is the most tokens that a request may have.
func (d Distribution) Longest() int {
	switch d.Kind {
	case Uniform, LogNormal:
		return d.Max
	case Weighted:
		longest := 0
		for _, v := range d.Values {
			longest = max(longest, v.Tokens)
		}
		return longest
	}
	return d.Tokens
}

// mu is the mean of the logarithm: E[exp(N(mu, sigma))] = exp(mu + sigma^2/2).
func (d Distribution) mu() float64 { return math.Log(d.Mean) - d.Sigma*d.Sigma/2 }

// clampedMean is E[min(max(X, Min), Max)] of a log-normal X, by its partial
// expectation E[X; X < k] = E[X] * Phi((ln k - mu - sigma^2) / sigma).
func (d Distribution) clampedMean() float64 {
	low, high, mu := float64(d.Min), float64(d.Max), d.mu()
	below := func(k float64) float64 { return phi((math.Log(k) - mu) / d.Sigma) }
	partial := func(k float64) float64 { return d.Mean * phi((math.Log(k)-mu)/d.Sigma-d.Sigma) }
	return low*below(low) + partial(high) - partial(low) + high*(1-below(high))
}

// phi is the cumulative distribution function of the standard normal.
func phi(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// Sampler draws the lengths of a run's requests.
type Sampler struct {
	d    Distribution
	base uint64
	sums []float64 // of the weights, ascending
}

// NewSampler returns the sampler of a distribution that Check lets pass.
// purpose keeps prompts and answers apart.
func NewSampler(d Distribution, seed uint64, purpose string) *Sampler {
	s := &Sampler{d: d, base: draw.Stream(seed, purpose).Uint64()}
	sum := 0.0
	for _, v := range d.Values {
		sum += v.Weight
		s.sums = append(s.sums, sum)
	}
	return s
}

// Tokens is the length of a request, counted from 0.
func (s *Sampler) Tokens(request uint64) int {
	switch s.d.Kind {
	case Uniform:
		return s.d.Min + int(s.uniform(request)*float64(s.d.Max-s.d.Min+1))
	case LogNormal:
		z := math.Sqrt2 * math.Erfinv(2*s.uniform(request)-1)
		n := math.Round(math.Exp(s.d.mu() + s.d.Sigma*z))
		return int(min(max(n, float64(s.d.Min)), float64(s.d.Max)))
	case Weighted:
		u := s.uniform(request) * s.sums[len(s.sums)-1]
		i, found := slices.BinarySearch(s.sums, u)
		if found {
			i++ // a value's share is from the sum before it, to below its own
		}
		return s.d.Values[min(i, len(s.sums)-1)].Tokens
	}
	return s.d.Tokens
}

// uniform draws from (0, 1) by SplitMix64: the request's number is the counter.
func (s *Sampler) uniform(request uint64) float64 {
	x := s.base + (request+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return (float64(x>>11) + 0.5) / (1 << 53)
}
