package kernel

import "math"

// ToBF16 rounds to bfloat16, to nearest and ties to even. NaN stays NaN.
func ToBF16(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 1<<6 // quiet: the bits that are cut off may be all it has
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// FromBF16 is the value of a bfloat16; it is exact.
func FromBF16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }
