package kernel

import "math"

// fma32 is x*y+z with one rounding to float32, as the FMA instructions do it.
func fma32(x, y, z float32) float32 {
	if s := sum64(x, y, z); !doubtful(s) {
		return float32(s)
	}
	// Round to odd first: a sum that is not exact then never lies on a midpoint,
	// but on the side of it that the exact sum is on.
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

// sum64 is x*y+z rounded to float64. The product of two float32 is exact in
// float64, so it does not matter whether it is fused.
func sum64(x, y, z float32) float64 {
	p := float64(x) * float64(y)
	return p + float64(z)
}

// doubtful says whether rounding s again, to float32, may differ from rounding
// the exact sum once: only if the first rounding ended on a midpoint between two
// float32, which has its low 28 bits clear.
func doubtful(s float64) bool { return math.Float64bits(s)<<36 == 0 }
