package kernel

import "math"

// fma32 is x*y+z with one rounding to float32, as the FMA instructions do it.
func fma32(x, y, z float32) float32 {
	// The product of two float32 is exact in float64. The sum is rounded to 53
	// bits and then to 24, which is wrong only if the first rounding ends on
	// a midpoint between two float32; a midpoint has its low 28 bits clear.
	s := float64(float64(x)*float64(y)) + float64(z)
	if math.Float64bits(s)&(1<<28-1) != 0 {
		return float32(s)
	}
	return fmaOdd(x, y, z)
}

// fmaOdd is fma32 by rounding the sum to odd first: a sum that is not exact
// never lies on a midpoint, but on the side of it that the exact sum is on.
//
//go:noinline
func fmaOdd(x, y, z float32) float32 {
	p, c := float64(float64(x)*float64(y)), float64(z)
	s := p + c
	back := s - p
	lost := (p - (s - back)) + (c - back) // exact; NaN if s is not finite
	bits := math.Float64bits(s)
	if bits&1 == 0 {
		switch {
		case lost > 0 && s > 0, lost < 0 && s < 0:
			bits++
		case lost > 0, lost < 0:
			bits--
		}
	}
	return float32(math.Float64frombits(bits))
}
