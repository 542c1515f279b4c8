package kernel

import (
	"encoding/binary"
	"math"
	"testing"
)

func floats(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// FuzzDot holds the dot product of every level, in f32 and bf16, of one row and
// of several, to one that fuses by big numbers.
func FuzzDot(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add(binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.5)), uint8(3))
	f.Add(make([]byte, 4*70), uint8(9))
	f.Fuzz(func(t *testing.T, b []byte, split uint8) {
		if len(b) > 4*400 {
			b = b[:4*400]
		}
		all := floats(b)
		n := len(all) / 2
		w, x := all[:n], all[n:2*n]
		want := slowDot(w, x)
		if got := Dot(w, x); !sameFloat(got, want) {
			t.Fatalf("Dot = %x, want %x", got, want)
		}
		wide := bf16s(w)
		for i, v := range wide {
			w[i] = FromBF16(v)
		}
		wantBF16 := slowDot(w, x)
		rows := 1 + int(split)%19
		half := Matrix{Rows: rows, Cols: n}
		full := Matrix{Rows: rows, Cols: n}
		for range rows {
			half.BF16 = append(half.BF16, wide...)
			full.F32 = append(full.F32, w...)
		}
		half.BF16 = append(half.BF16, 0)[:rows*n]
		tokens := 1 + int(split)/19%6
		var xs []float32
		for range tokens {
			xs = append(xs, x...)
		}
		out := make([]float32, rows*tokens)
		for _, l := range Levels() {
			for _, m := range []Matrix{half, full} {
				matMulRows(l, out, rows, xs, tokens, m, 0, rows)
				for i, got := range out {
					if !sameFloat(got, wantBF16) {
						t.Fatalf("%v, bf16 %v: element %d of %d rows and %d tokens is %x, want %x", l, m.BF16 != nil, i, rows, tokens, got, wantBF16)
					}
				}
			}
		}
	})
}

// slowDot is the rule of the package, word by word.
func slowDot(w, x []float32) float32 {
	var lane [32]float32
	for k := range (len(w) + 31) / 32 * 32 {
		var a, b float32
		if k < len(w) {
			a, b = w[k], x[k]
		}
		if finite(a) && finite(b) && finite(lane[k%32]) {
			lane[k%32] = exactFMA(a, b, lane[k%32])
		} else {
			lane[k%32] = float32(float64(a)*float64(b) + float64(lane[k%32]))
		}
	}
	for _, half := range []int{16, 8, 4, 2, 1} {
		for i := range half {
			lane[i] += lane[i+half]
		}
	}
	return lane[0]
}

// FuzzExp holds the exponential of every level to package math's.
func FuzzExp(f *testing.F) {
	for _, x := range []float32{0, 1, -1, 88.7, 88.73, 89, -87.4, -103.9, -104, 1e30, -1e30, 0x1p-149} {
		f.Add(math.Float32bits(x))
	}
	f.Fuzz(func(t *testing.T, bits uint32) {
		x := math.Float32frombits(bits)
		got, exact := Exp(x), math.Exp(float64(x))
		switch {
		case x != x:
			if got == got {
				t.Fatalf("Exp(NaN) = %v", got)
			}
		case exact >= math.MaxFloat32:
			if got < math.MaxFloat32 {
				t.Fatalf("Exp(%x) = %v, want %v", x, got, exact)
			}
		case ulps(got, exact) > 1:
			t.Fatalf("Exp(%x) = %x, want %x: off by %.3f ulp", x, got, exact, ulps(got, exact))
		}
		for _, l := range Levels() {
			v := []float32{x, 0, x}
			expSum(l, v, 0)
			if !sameFloat(v[0], got) || !sameFloat(v[2], got) {
				t.Fatalf("%v: exponential of %x is %x, want %x", l, x, v, got)
			}
		}
	})
}
