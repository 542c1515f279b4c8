package kernel

// lanes is the number of partial sums of a dot product.
const lanes = 32

// Dot is the dot product of two vectors of equal length, by the rule of the
// package. It is the portable definition; [CPU.MatMul] gives the same bits.
func Dot(w, x []float32) float32 {
	x = x[:len(w)]
	whole := len(w) &^ (lanes - 1)
	var acc [lanes]float32
	// Eight lanes at a time, so that they stay in registers.
	for lane := 0; lane < lanes; lane += 8 {
		var a0, a1, a2, a3, a4, a5, a6, a7 float32
		for k := lane; k < whole; k += lanes {
			w, x := w[k:k+8:k+8], x[k:k+8:k+8]
			a0 = fma32(w[0], x[0], a0)
			a1 = fma32(w[1], x[1], a1)
			a2 = fma32(w[2], x[2], a2)
			a3 = fma32(w[3], x[3], a3)
			a4 = fma32(w[4], x[4], a4)
			a5 = fma32(w[5], x[5], a5)
			a6 = fma32(w[6], x[6], a6)
			a7 = fma32(w[7], x[7], a7)
		}
		copy(acc[lane:lane+8], []float32{a0, a1, a2, a3, a4, a5, a6, a7})
	}
	if whole < len(w) {
		dotTail(&acc, w[whole:], x[whole:])
	}
	return fold(&acc)
}

// dotBF16 is Dot with weights in bfloat16.
func dotBF16(w []uint16, x []float32) float32 {
	x = x[:len(w)]
	whole := len(w) &^ (lanes - 1)
	var acc [lanes]float32
	for lane := 0; lane < lanes; lane += 8 {
		var a0, a1, a2, a3, a4, a5, a6, a7 float32
		for k := lane; k < whole; k += lanes {
			w, x := w[k:k+8:k+8], x[k:k+8:k+8]
			a0 = fma32(FromBF16(w[0]), x[0], a0)
			a1 = fma32(FromBF16(w[1]), x[1], a1)
			a2 = fma32(FromBF16(w[2]), x[2], a2)
			a3 = fma32(FromBF16(w[3]), x[3], a3)
			a4 = fma32(FromBF16(w[4]), x[4], a4)
			a5 = fma32(FromBF16(w[5]), x[5], a5)
			a6 = fma32(FromBF16(w[6]), x[6], a6)
			a7 = fma32(FromBF16(w[7]), x[7], a7)
		}
		copy(acc[lane:lane+8], []float32{a0, a1, a2, a3, a4, a5, a6, a7})
	}
	if whole < len(w) {
		var f [lanes]float32
		for i, b := range w[whole:] {
			f[i] = FromBF16(b)
		}
		dotTail(&acc, f[:len(w)-whole], x[whole:])
	}
	return fold(&acc)
}

// dotTail adds the last, short group of a dot product, padded with zeros.
func dotTail(acc *[lanes]float32, w, x []float32) {
	for i := range acc {
		if i < len(w) {
			acc[i] = fma32(w[i], x[i], acc[i])
		} else {
			acc[i] += 0 // what 0*0 does to a lane that is -0
		}
	}
}

// fold sums the lanes in halves.
func fold(acc *[lanes]float32) float32 {
	for half := lanes / 2; half > 0; half /= 2 {
		for i := range half {
			acc[i] += acc[i+half]
		}
	}
	return acc[0]
}
