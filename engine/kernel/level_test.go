package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Every test here holds a level to the portable definitions, bit by bit.

func eachNative(t *testing.T, f func(t *testing.T, l Level, r *rand.Rand)) {
	t.Helper()
	levels := Levels()
	for _, l := range levels[:len(levels)-1] {
		t.Run(l.String(), func(t *testing.T) { f(t, l, rand.New(rand.NewPCG(3, 4))) })
	}
	if len(levels) == 1 {
		t.Skip("this machine runs the portable functions only: nothing to compare them with")
	}
}

// values makes n numbers of one kind, so that sums of them do not all overflow.
func values(r *rand.Rand, n int) []float32 {
	kind := r.IntN(6)
	out := make([]float32, n)
	for i := range out {
		switch kind {
		case 0: // small integers: sums that cancel, often exact
			out[i] = float32(r.IntN(9) - 4)
		case 1: // denormals and what makes them
			out[i] = float32(r.NormFloat64()) * 0x1p-70
		case 2: // of all sizes, but products stay finite
			out[i] = float32(math.Ldexp(r.NormFloat64(), r.IntN(100)-50))
		case 3: // zeros of both signs and little else
			out[i] = float32(math.Copysign(0, float64(r.IntN(2))-0.5))
			if r.IntN(8) == 0 {
				out[i] = float32(r.NormFloat64()) * 0x1p-80
			}
		default:
			out[i] = float32(r.NormFloat64())
		}
	}
	switch r.IntN(6) {
	case 0:
		if n > 0 { // one or two of the kind that spreads
			for range 1 + r.IntN(2) {
				out[r.IntN(n)] = []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.MaxFloat32}[r.IntN(4)]
			}
		}
	case 1:
		for i := range out {
			out[i] *= 0x1p100
		}
	}
	return out
}

func bf16s(f []float32) []uint16 {
	out := make([]uint16, len(f))
	for i, v := range f {
		out[i] = ToBF16(v)
	}
	return out
}

func mustEqual(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if !sameFloat(got[i], want[i]) {
			t.Fatalf("%s: element %d of %d is %x (%08x), want %x (%08x)", what, i, len(want), got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func anyLength(r *rand.Rand) int {
	switch r.IntN(4) {
	case 0:
		return r.IntN(5)
	case 1:
		return lanes * (1 + r.IntN(6))
	default:
		return r.IntN(300)
	}
}

// guarded is a slice of n elements at an odd place, between elements that no
// kernel may touch.
func guarded(r *rand.Rand, n int) (all, part []float32, check func(t *testing.T)) {
	at := 1 + r.IntN(20)
	all = make([]float32, at+n+40)
	for i := range all {
		all[i] = 12345
	}
	return all, all[at : at+n : at+n], func(t *testing.T) {
		t.Helper()
		for i, v := range all {
			if (i < at || i >= at+n) && v != 12345 {
				t.Fatalf("element %d of a slice of %d was written", i-at, n)
			}
		}
	}
}

func TestMatMulOfLevels(t *testing.T) {
	eachNative(t, func(t *testing.T, l Level, r *rand.Rand) {
		for range 2000 {
			rows, cols, n := r.IntN(20), anyLength(r), 1+r.IntN(9)
			stride := rows + r.IntN(4)
			w := Matrix{Rows: rows, Cols: cols, F32: values(r, rows*cols)}
			if r.IntN(2) == 0 {
				w.BF16, w.F32 = bf16s(w.F32), nil
			}
			_, x, _ := guarded(r, n*cols)
			copy(x, values(r, n*cols))
			_, got, check := guarded(r, n*stride)
			want := slices.Clone(got)
			from := r.IntN(rows + 1)
			to := from + r.IntN(rows-from+1)
			matMulRows(l, got, stride, x, n, w, from, to)
			matMulGeneric(want, stride, x, n, w, from, to)
			mustEqual(t, fmt.Sprintf("rows %d to %d of %dx%d by %d tokens, bf16 %v", from, to, rows, cols, n, w.BF16 != nil), got, want)
			check(t)
		}
	})
}

func TestVectorsOfLevels(t *testing.T) {
	eachNative(t, func(t *testing.T, l Level, r *rand.Rand) {
		for range 1500 {
			n := anyLength(r)
			a, b, c, d := values(r, n), values(r, n), values(r, n), values(r, n)
			_, got, check := guarded(r, n)
			want := make([]float32, n)

			scale(l, got, a, b, 1.7)
			scaleGeneric(want, a, b, 1.7)
			mustEqual(t, "scale", got, want)
			check(t)

			siluMul(l, got, a, b)
			siluMulGeneric(want, a, b)
			mustEqual(t, "silu", got, want)
			check(t)

			copy(got, a)
			copy(want, a)
			add(l, got, b)
			addGeneric(want, b)
			mustEqual(t, "add", got, want)
			check(t)

			a2, b2 := slices.Clone(a), slices.Clone(b)
			rope(l, a, b, c, d)
			ropeGeneric(a2, b2, c, d)
			mustEqual(t, "rope, first half", a, a2)
			mustEqual(t, "rope, second half", b, b2)

			if got, want := maximum(l, c), maximumGeneric(c); got != want {
				t.Fatalf("maximum of %v is %v, want %v", c, got, want)
			}
		}
	})
}

func TestExpSumOfLevels(t *testing.T) {
	eachNative(t, func(t *testing.T, l Level, r *rand.Rand) {
		for range 2000 {
			n := 1 + anyLength(r)
			x := values(r, n)
			largest := maximumGeneric(x)
			if r.IntN(4) == 0 {
				largest = values(r, 1)[0]
			}
			_, got, check := guarded(r, n)
			copy(got, x)
			want := slices.Clone(x)
			sum, wantSum := expSum(l, got, largest), expSumGeneric(want, largest)
			mustEqual(t, "exponentials", got, want)
			mustEqual(t, "sum", []float32{sum}, []float32{wantSum})
			check(t)
		}
	})
}

// The exponential at every kind of argument, through the kernel that is nothing
// else.
func TestExpOfLevels(t *testing.T) {
	eachNative(t, func(t *testing.T, l Level, r *rand.Rand) {
		x := make([]float32, 1<<16)
		for i := range x {
			switch i % 3 {
			case 0:
				x[i] = math.Float32frombits(r.Uint32())
			case 1: // where results are normal and where they are denormal
				x[i] = float32(r.Float64()*200 - 106)
			default:
				x[i] = float32(r.NormFloat64())
			}
		}
		want := make([]float32, len(x))
		for i, v := range x {
			want[i] = Exp(v)
		}
		expSum(l, x, 0)
		mustEqual(t, "exponential", x, want)
	})
}

func TestWeighOfLevels(t *testing.T) {
	eachNative(t, func(t *testing.T, l Level, r *rand.Rand) {
		for range 1000 {
			dim, tokens := r.IntN(200), r.IntN(40)
			p, v := values(r, tokens), values(r, tokens*dim)
			_, got, check := guarded(r, dim)
			copy(got, values(r, dim))
			want := slices.Clone(got)
			weigh(l, got, p, v)
			weighGeneric(want, p, v)
			mustEqual(t, fmt.Sprintf("%d tokens of %d", tokens, dim), got, want)
			check(t)
		}
	})
}

// Products too small for a float32 leave -0 in their lanes; the padding of a
// short last group makes +0 of it, and so of the sum.
func TestPaddingOfZeros(t *testing.T) {
	for _, cols := range []int{1, 31, 32, 40, 64, 95} {
		w, x := make([]float32, cols), make([]float32, cols)
		for i := range w {
			w[i], x[i] = -0x1p-100, 0x1p-100
		}
		want := float32(0)
		if cols%lanes == 0 {
			want = float32(math.Copysign(0, -1))
		}
		for _, l := range Levels() {
			for _, m := range []Matrix{{1, cols, w, nil}, {1, cols, nil, bf16s(w)}} {
				var out [1]float32
				matMulRows(l, out[:], 1, x, 1, m, 0, 1)
				mustEqual(t, fmt.Sprintf("%v, %d columns", l, cols), out[:], []float32{want})
			}
		}
	}
}
