package model

import (
	"math"
	"math/big"
)

// Frequencies are the angles in radians by which the pairs of a head of width dim
// turn from one position to the next: theta^(-2i/dim) for pair i, then scaled as
// Llama 3.1 scales them (long waves by 1/Factor, short ones not at all, those in
// between by a blend).
//
// The result is the same on every machine: powers are computed in big arithmetic
// because math.Pow may differ, and the blend rounds after every operation.
func (r Rope) Frequencies(dim int) []float64 {
	step := root(r.Theta, dim/2)
	power := newBig(1)
	out := make([]float64, dim/2)
	for i := range out {
		out[i], _ = newBig(0).Quo(newBig(1), power).Float64()
		power.Mul(power, step)
		if r.Factor != 0 {
			out[i] = r.scaled(out[i])
		}
	}
	return out
}

func (r Rope) scaled(f float64) float64 {
	turns := float64(float64(r.OriginalContext) / (2 * math.Pi) * f) // in the context it was trained on
	switch {
	case turns > r.HighFreqFactor:
		return f
	case turns < r.LowFreqFactor:
		return f / r.Factor
	}
	blend := (turns - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
	return float64((1-blend)*(f/r.Factor)) + float64(blend*f)
}

// root is the n-th root of a by Newton's method. The start may differ between
// machines, the root to which it converges does not.
func root(a float64, n int) *big.Float {
	x := newBig(math.Pow(a, 1/float64(n)))
	count, target := newBig(float64(n)), newBig(a)
	for range 4 { // each doubles the 50 bits of the start
		power := newBig(1)
		for range n - 1 {
			power.Mul(power, x)
		}
		power.Quo(target, power)
		power.Sub(power, x)
		x.Add(x, power.Quo(power, count))
	}
	return x
}

func newBig(v float64) *big.Float { return new(big.Float).SetPrec(256).SetFloat64(v) }
