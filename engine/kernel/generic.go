package kernel

import "math"

// The portable definitions of what the assembly computes.

// matMulGeneric is rows [from, to) of a product; see [CPU.MatMul].
func matMulGeneric(out []float32, stride int, x []float32, n int, w Matrix, from, to int) {
	for r := from; r < to; r++ {
		for t := range n {
			v := x[t*w.Cols : (t+1)*w.Cols]
			if w.BF16 != nil {
				out[t*stride+r] = dotBF16(w.BF16[r*w.Cols:(r+1)*w.Cols], v)
			} else {
				out[t*stride+r] = Dot(w.F32[r*w.Cols:(r+1)*w.Cols], v)
			}
		}
	}
}

// scaleGeneric is out = x * by * weight, rounded after each product.
func scaleGeneric(out, x, weight []float32, by float32) {
	for i, v := range x {
		out[i] = float32(v*by) * weight[i]
	}
}

// ropeGeneric rotates the pairs (a[i], b[i]).
func ropeGeneric(a, b, cos, sin []float32) {
	for i := range a {
		p, q := a[i], b[i]
		a[i] = float32(p*cos[i]) - float32(q*sin[i])
		b[i] = float32(q*cos[i]) + float32(p*sin[i])
	}
}

func siluMulGeneric(out, gate, up []float32) {
	for i, g := range gate {
		out[i] = float32(g/(1+Exp(-g))) * up[i]
	}
}

func addGeneric(dst, src []float32) {
	for i, v := range src {
		dst[i] += v
	}
}

// maximumGeneric is the largest number of x; -Inf if there is none.
func maximumGeneric(x []float32) float32 {
	largest := float32(math.Inf(-1))
	for _, v := range x {
		if v > largest {
			largest = v
		}
	}
	return largest
}

// expSumGeneric replaces x by exp(x - largest) and returns the sum, in lanes as
// those of a dot product. x has an element.
func expSumGeneric(x []float32, largest float32) float32 {
	var acc [lanes]float32
	for i, v := range x {
		x[i] = Exp(v - largest)
		acc[i%lanes] += x[i]
	}
	return fold(&acc)
}

// weighGeneric adds p[t] * v[t] to out, t ascending, by fused multiply-adds. v
// is [len(p)][len(out)].
func weighGeneric(out, p, v []float32) {
	for t, by := range p {
		row := v[t*len(out) : (t+1)*len(out)]
		for i, x := range row {
			out[i] = fma32(by, x, out[i])
		}
	}
}
