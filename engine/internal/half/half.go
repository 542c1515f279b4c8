// Package half converts IEEE 754 binary16, in which many checkpoints are kept.
package half

import "math"

// From widens a half, exactly.
func From(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&0x3ff)
	switch exponent {
	case 0: // zero and subnormals: fraction * 2^-24
		v := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(v))
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// To rounds to nearest, ties to even.
func To(v float32) uint16 {
	u := math.Float32bits(v)
	sign, u := uint16(u>>31<<15), u&0x7fffffff
	switch {
	case u > 0x7f800000: // NaN
		return sign | 0x7e00
	case u >= 0x477ff000: // rounds to infinity
		return sign | 0x7c00
	case u < 0x38800000: // subnormal: a whole number of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(u))*(1<<24)))
	}
	u += 0xfff + u>>13&1
	return sign | uint16(u>>13-112<<10)
}
