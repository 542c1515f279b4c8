package kernel

import "math"

// The range of [Exp]'s argument outside which the result is 0 or +Inf, and its
// reduction to x = n ln 2 + r with |r| <= ln 2 / 2: x - n*ln2High is exact.
const (
	expMin   float32 = -104
	expMax   float32 = 89
	log2e    float32 = 0x1.715476p+0
	ln2High  float32 = 0x1.62e430p-1
	ln2Low   float32 = -0x1.05c610p-29
	expMagic float32 = 0x1.8p+23 // adding it rounds to an integer, kept in the low bits
)

// The polynomial of [Exp], highest power first: exp(r) = 1 + r + r*r*p(r).
const (
	exp5 float32 = 1.9875691500e-4
	exp4 float32 = 1.3981999507e-3
	exp3 float32 = 8.3334519073e-3
	exp2 float32 = 4.1665795894e-2
	exp1 float32 = 1.6666665459e-1
	exp0 float32 = 5.0000001201e-1
)

// Exp is e to the x, off by at most 0.9 ulp for every float32, denormal results
// among them.
// The polynomial is that of Cephes' expf.
func Exp(x float32) float32 {
	// NaN fails both comparisons and goes through.
	if x > expMax {
		x = expMax
	}
	if x < expMin {
		x = expMin
	}
	t := fma32(x, log2e, expMagic)
	n := t - expMagic
	r := fma32(n, -ln2High, x)
	r = fma32(n, -ln2Low, r)
	p := exp5
	p = fma32(p, r, exp4)
	p = fma32(p, r, exp3)
	p = fma32(p, r, exp2)
	p = fma32(p, r, exp1)
	p = fma32(p, r, exp0)
	p = fma32(p, r, 1)
	p = fma32(p, r, 1)
	// 2^n in two factors: n may be beyond the exponents of normal numbers, and
	// only the second multiplication may round.
	k := int32(math.Float32bits(t) - math.Float32bits(expMagic))
	half := k >> 1
	p *= math.Float32frombits(uint32(half+127) << 23)
	return p * math.Float32frombits(uint32(k-half+127)<<23)
}
