package kernel

// lanes is the number of partial sums of a dot product.
const lanes = 32

// Dot is the dot product of two vectors of equal length, by the rule of the
// package. It is the portable definition; [CPU.MatMul] gives the same bits.
func Dot(w, x []float32) float32 {
	x = x[:len(w)]
	whole := len(w) &^ (lanes - 1)
	var acc [lanes]float32
	accumulate(&acc, w[:whole], x[:whole])
	if whole < len(w) {
		accumulateTail(&acc, w[whole:], x[whole:])
	}
	return fold(&acc)
}

// dotBF16 is Dot with weights in bfloat16.
func dotBF16(w []uint16, x []float32) float32 {
	x = x[:len(w)]
	var acc [lanes]float32
	var buf [8 * lanes]float32
	for from := 0; from < len(w); from += len(buf) {
		part := w[from:min(from+len(buf), len(w))]
		for i, b := range part {
			buf[i] = FromBF16(b)
		}
		whole := len(part) &^ (lanes - 1)
		accumulate(&acc, buf[:whole], x[from:from+whole])
		if whole < len(part) {
			accumulateTail(&acc, buf[whole:len(part)], x[from+whole:])
		}
	}
	return fold(&acc)
}

// accumulate adds w*x to the lanes. Both are equally long, a multiple of lanes.
func accumulate(acc *[lanes]float32, w, x []float32) {
	const step = 4 // lanes at a time: as many as stay in registers
	for lane := 0; lane < lanes; lane += step {
		a := acc[lane : lane+step : lane+step]
		a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
		for k := lane; k < len(w); k += lanes {
			w, x := w[k:k+step:k+step], x[k:k+step:k+step]
			s0 := sum64(w[0], x[0], a0)
			s1 := sum64(w[1], x[1], a1)
			s2 := sum64(w[2], x[2], a2)
			s3 := sum64(w[3], x[3], a3)
			if doubtful(s0) || doubtful(s1) || doubtful(s2) || doubtful(s3) {
				a0 = fma32(w[0], x[0], a0)
				a1 = fma32(w[1], x[1], a1)
				a2 = fma32(w[2], x[2], a2)
				a3 = fma32(w[3], x[3], a3)
				continue
			}
			a0, a1, a2, a3 = float32(s0), float32(s1), float32(s2), float32(s3)
		}
		a[0], a[1], a[2], a[3] = a0, a1, a2, a3
	}
}

// accumulateTail adds the last, short group of a dot product, padded with zeros.
func accumulateTail(acc *[lanes]float32, w, x []float32) {
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
