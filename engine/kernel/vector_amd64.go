package kernel

import (
	"math"

	"golang.org/x/sys/cpu"
)

// nativeLevels lists the levels that the processor has and the operating system
// keeps the registers of, best first.
func nativeLevels() []Level {
	var out []Level
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL {
			out = append(out, AVX512)
		}
		out = append(out, AVX2)
	}
	return out
}

// The assembly takes whole vectors; what remains is done by the portable
// functions or, where those are slow, in a padded vector.
const vector = 16

func scale(l Level, out, x, weight []float32, by float32) {
	whole := 0
	if l != Generic {
		if whole = len(x) &^ (vector - 1); whole > 0 {
			if l == AVX512 {
				scaleAVX512(&out[0], &x[0], &weight[0], whole, by)
			} else {
				scaleAVX2(&out[0], &x[0], &weight[0], whole, by)
			}
		}
	}
	scaleGeneric(out[whole:], x[whole:], weight[whole:], by)
}

func rope(l Level, a, b, cos, sin []float32) {
	whole := 0
	if l != Generic {
		if whole = len(a) &^ (vector - 1); whole > 0 {
			if l == AVX512 {
				ropeAVX512(&a[0], &b[0], &cos[0], &sin[0], whole)
			} else {
				ropeAVX2(&a[0], &b[0], &cos[0], &sin[0], whole)
			}
		}
	}
	ropeGeneric(a[whole:], b[whole:], cos[whole:], sin[whole:])
}

func add(l Level, dst, src []float32) {
	whole := 0
	if l != Generic {
		if whole = len(src) &^ (vector - 1); whole > 0 {
			if l == AVX512 {
				addAVX512(&dst[0], &src[0], whole)
			} else {
				addAVX2(&dst[0], &src[0], whole)
			}
		}
	}
	addGeneric(dst[whole:], src[whole:])
}

func siluMul(l Level, out, gate, up []float32) {
	if l == Generic {
		siluMulGeneric(out, gate, up)
		return
	}
	whole := len(gate) &^ (vector - 1)
	siluMulNative(l, out[:whole], gate[:whole], up[:whole])
	if whole < len(gate) {
		var o, g, u [vector]float32
		copy(g[:], gate[whole:])
		copy(u[:], up[whole:])
		siluMulNative(l, o[:], g[:], u[:])
		copy(out[whole:], o[:])
	}
}

func siluMulNative(l Level, out, gate, up []float32) {
	switch {
	case len(gate) == 0:
	case l == AVX512:
		siluMulAVX512(&out[0], &gate[0], &up[0], len(gate))
	default:
		siluMulAVX2(&out[0], &gate[0], &up[0], len(gate))
	}
}

func maximum(l Level, x []float32) float32 {
	whole := len(x) &^ (vector - 1)
	if l == Generic || whole == 0 {
		return maximumGeneric(x)
	}
	var m float32
	if l == AVX512 {
		m = maximumAVX512(&x[0], whole)
	} else {
		m = maximumAVX2(&x[0], whole)
	}
	if whole < len(x) {
		if rest := maximumGeneric(x[whole:]); rest > m {
			m = rest
		}
	}
	return m
}

func expSum(l Level, x []float32, largest float32) float32 {
	if l == Generic {
		return expSumGeneric(x, largest)
	}
	var acc [lanes]float32
	whole := len(x) &^ (lanes - 1)
	expSumNative(l, x[:whole], largest, &acc)
	if rest := x[whole:]; len(rest) > 0 {
		var padded, sum [lanes]float32
		copy(padded[:], rest)
		expSumNative(l, padded[:], largest, &sum)
		for i := range copy(rest, padded[:]) {
			acc[i] += padded[i]
		}
	}
	return fold(&acc)
}

func expSumNative(l Level, x []float32, largest float32, acc *[lanes]float32) {
	switch {
	case len(x) == 0:
	case l == AVX512:
		expSumAVX512(&x[0], len(x), largest, acc)
	default:
		expSumAVX2(&x[0], len(x), largest, acc)
	}
}

func weigh(l Level, out, p, v []float32) {
	switch {
	case l == Generic || len(p) == 0 || len(out) == 0:
		weighGeneric(out, p, v)
	case l == AVX512:
		weighAVX512(&out[0], &p[0], &v[0], len(p), len(out))
	default:
		weighAVX2(&out[0], &p[0], &v[0], len(p), len(out))
	}
}

// constants of the exponential, a vector of each, in the order in which the
// assembly names them.
//
//nolint:unused // the assembly reads it
var constants = spread(expMin, expMax, log2e, -ln2High, -ln2Low, expMagic, exp5, exp4, exp3, exp2, exp1, exp0,
	1, math.Float32frombits(127), math.Float32frombits(1<<31))

// spread is a vector of each value.
//
//nolint:unused // of constants
func spread(values ...float32) (out [15][8]float32) {
	for i, v := range values {
		for j := range out[i] {
			out[i][j] = v
		}
	}
	return out
}

//go:noescape
func scaleAVX512(out, x, weight *float32, n int, by float32)

//go:noescape
func ropeAVX512(a, b, cos, sin *float32, n int)

//go:noescape
func addAVX512(dst, src *float32, n int)

//go:noescape
func siluMulAVX512(out, gate, up *float32, n int)

//go:noescape
func maximumAVX512(x *float32, n int) float32

//go:noescape
func expSumAVX512(x *float32, n int, largest float32, acc *[lanes]float32)

//go:noescape
func weighAVX512(out, p, v *float32, tokens, dim int)

//go:noescape
func scaleAVX2(out, x, weight *float32, n int, by float32)

//go:noescape
func ropeAVX2(a, b, cos, sin *float32, n int)

//go:noescape
func addAVX2(dst, src *float32, n int)

//go:noescape
func siluMulAVX2(out, gate, up *float32, n int)

//go:noescape
func maximumAVX2(x *float32, n int) float32

//go:noescape
func expSumAVX2(x *float32, n int, largest float32, acc *[lanes]float32)

//go:noescape
func weighAVX2(out, p, v *float32, tokens, dim int)

// pause does nothing for a moment, without hurry.
func pause()
