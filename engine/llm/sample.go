package llm

import (
	"math"

	"github.com/spotserve/spotserve/engine/kernel"
)

// Sampling says how the next token is chosen from the logits. The choice is a
// function of the logits, these settings and the token's position alone.
//
// With Temperature 0 it is the token of the largest logit, the lowest of equals.
// Otherwise:
//
//  1. The weight of a token is exp((logit - largest logit) / Temperature), in
//     float32.
//  2. Tokens are ordered by logit, descending, then by number. TopK > 0 keeps the
//     first TopK. The total is the sum of the kept weights in this order; without
//     TopK of all weights by token number. Sums are in float64.
//  3. 0 < TopP < 1 keeps the shortest beginning of the order whose sum is at least
//     TopP * total; the total is then that sum.
//  4. u is uniform in [0, 1), made of Seed and the position that the token will
//     have: 53 bits of SplitMix64(SplitMix64(Seed) xor position). The first
//     token in the order up to which the sum exceeds u * total is chosen; the last
//     that is kept if rounding leaves none.
type Sampling struct {
	Temperature float32
	TopP        float32 // 0 and 1: all
	TopK        int     // 0: all
	Seed        uint64
}

// sampler keeps its memory from draw to draw.
type sampler struct {
	weights []float32
	order   []int32   // a heap of tokens, the next in the order on top
	sums    []float64 // of the weights of those taken so far
	taken   []int32
}

// draw chooses the token at a position.
func (s *sampler) draw(logits []float32, p Sampling, position int) (int32, error) {
	largest := float32(math.Inf(-1))
	for _, v := range logits {
		if v != v || v > math.MaxFloat32 {
			return 0, errNotFinite
		}
		largest = max(largest, v)
	}
	if largest < -math.MaxFloat32 {
		return 0, errNotFinite
	}
	n := len(logits)
	if cap(s.order) < n {
		s.weights, s.order, s.sums, s.taken = make([]float32, n), make([]int32, n), make([]float64, n), make([]int32, n)
	}
	s.weights, s.order, s.sums, s.taken = s.weights[:n], s.order[:n], s.sums[:0], s.taken[:0]
	all := 0.0
	for i, v := range logits {
		s.weights[i] = kernel.Exp((v - largest) / p.Temperature)
		all += float64(s.weights[i])
		s.order[i] = int32(i)
	}
	for i := n/2 - 1; i >= 0; i-- {
		s.sink(logits, i)
	}
	kept, total := n, all
	if p.TopK > 0 && p.TopK < n {
		kept = p.TopK
		total = s.sum(logits, kept-1)
	}
	if p.TopP > 0 && p.TopP < 1 {
		share := float64(float64(p.TopP) * total)
		kept, total = s.reach(logits, kept, func(sum float64) bool { return sum >= share })
	}
	threshold := float64(uniform(p.Seed, position) * total)
	chosen, _ := s.reach(logits, kept, func(sum float64) bool { return sum > threshold })
	return s.taken[chosen-1], nil
}

// reach returns how many tokens of the order it takes until their sum is enough,
// at most so many, and that sum.
func (s *sampler) reach(logits []float32, most int, enough func(sum float64) bool) (int, float64) {
	for i := range most {
		if sum := s.sum(logits, i); enough(sum) {
			return i + 1, sum
		}
	}
	return most, s.sum(logits, most-1)
}

// sum of the weights of the order's tokens up to the i-th, from 0.
func (s *sampler) sum(logits []float32, i int) float64 {
	for len(s.taken) <= i {
		token := s.order[0]
		last := len(s.order) - 1
		s.order[0], s.order = s.order[last], s.order[:last]
		s.sink(logits, 0)
		sum := float64(s.weights[token])
		if len(s.sums) > 0 {
			sum += s.sums[len(s.sums)-1]
		}
		s.taken, s.sums = append(s.taken, token), append(s.sums, sum)
	}
	return s.sums[i]
}

// sink restores the heap below i.
func (s *sampler) sink(logits []float32, i int) {
	before := func(a, b int32) bool {
		return logits[a] > logits[b] || logits[a] == logits[b] && a < b
	}
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(s.order); child++ {
			if before(s.order[child], s.order[first]) {
				first = child
			}
		}
		if first == i {
			return
		}
		s.order[i], s.order[first] = s.order[first], s.order[i]
		i = first
	}
}

// uniform is a number in [0, 1) for a seed and a position.
func uniform(seed uint64, position int) float64 {
	return float64(mix(mix(seed)^uint64(position))>>11) * 0x1p-53
}

// mix is SplitMix64: neighbouring inputs give unrelated outputs.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
