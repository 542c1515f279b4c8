package kernel

import "math"

// RMSNorm normalises n vectors as long as weight:
// out = x / sqrt(mean(x*x) + eps) * weight. out may be x.
func (c *CPU) RMSNorm(out, x, weight []float32, n int, eps float32) {
	d := len(weight)
	out, x = out[:n*d], x[:n*d]
	for t := range n {
		row := x[t*d : (t+1)*d]
		var sum [1]float32
		matMulRows(c.level, sum[:], 1, row, 1, Matrix{Rows: 1, Cols: d, F32: row}, 0, 1)
		mean := sum[0] / float32(d)
		inverse := 1 / float32(math.Sqrt(float64(mean+eps)))
		scale(c.level, out[t*d:(t+1)*d], row, weight, inverse)
	}
}

// Rope rotates a head in place: element i is paired with element i+len(head)/2
// and rotated by the angle of which cos[i] and sin[i] are given, each
// len(head)/2 long.
func (c *CPU) Rope(head, cos, sin []float32) {
	half := len(head) / 2
	rope(c.level, head[:half], head[half:2*half], cos[:half], sin[:half])
}

// SiluMul is out = gate / (1 + exp(-gate)) * up, element by element. out may be
// gate or up.
func (c *CPU) SiluMul(out, gate, up []float32) {
	siluMul(c.level, out[:len(gate)], gate, up[:len(gate)])
}

// Add adds src to dst, element by element.
func (c *CPU) Add(dst, src []float32) { add(c.level, dst[:len(src)], src) }

// Argmax is the largest element and its index, the lowest if several are equal.
// NaN is passed over; the index is -1 if there is nothing else.
func (c *CPU) Argmax(x []float32) (int, float32) {
	largest := maximum(c.level, x)
	for i, v := range x {
		if v == largest {
			return i, v
		}
	}
	return -1, largest
}

// Attend is the attention of one query over the first so many tokens:
// out = sum of p[t] * value[t], p = softmax(scale * dot(q, key[t])). Keys and
// values are in pages [tokens of a page][len(q)], every page but the last full
// and all as long as the first. scores is room for as many numbers as tokens. Without
// tokens out is zero.
func (c *CPU) Attend(out, q []float32, keys, values [][]float32, tokens int, scaling float32, scores []float32) {
	d := len(q)
	out, scores = out[:d], scores[:tokens]
	clear(out)
	if tokens == 0 || d == 0 {
		return
	}
	page := len(keys[0]) / d
	for from, p := 0, 0; from < tokens; from, p = from+page, p+1 {
		n := min(page, tokens-from)
		matMulRows(c.level, scores[from:from+n], n, q, 1, Matrix{Rows: n, Cols: d, F32: keys[p][:n*d]}, 0, n)
	}
	for t, s := range scores {
		scores[t] = float32(s * scaling)
	}
	sum := expSum(c.level, scores, maximum(c.level, scores))
	for from, p := 0, 0; from < tokens; from, p = from+page, p+1 {
		n := min(page, tokens-from)
		weigh(c.level, out, scores[from:from+n], values[p][:n*d])
	}
	for i := range out {
		out[i] /= sum
	}
}
