package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA is x*y+z by big numbers.
func exactFMA(x, y, z float32) float32 {
	const enough = 1024 // bits between the largest and the least float32 product
	a := new(big.Float).SetPrec(enough).SetFloat64(float64(x))
	b := new(big.Float).SetPrec(enough).SetFloat64(float64(y))
	sum := new(big.Float).SetPrec(enough).Mul(a, b)
	sum.Add(sum, big.NewFloat(float64(z)))
	if sum.Sign() == 0 {
		return float32(float64(x)*float64(y)) + z // the sign of zero is that of the sum of zeros
	}
	f, _ := sum.Float32()
	return f
}

// anyFloat is a float32 of any kind, with bits that carry and cancel more often
// than random ones do.
func anyFloat(r *rand.Rand) float32 {
	switch r.IntN(6) {
	case 0:
		return math.Float32frombits(r.Uint32())
	case 1: // few bits: sums that lie on midpoints
		return math.Float32frombits(r.Uint32() & 0xfff80001)
	case 2: // near one
		return math.Float32frombits(0x3f800000 + uint32(r.IntN(1<<25)) - 1<<24)
	case 3: // denormal
		return math.Float32frombits(r.Uint32() & 0x807fffff)
	case 4: // powers of two and their neighbours
		return math.Float32frombits((r.Uint32() & 0xff800000) + uint32(r.IntN(5)) - 2)
	default:
		return float32(r.NormFloat64())
	}
}

func TestFMAIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300000 {
		x, y, z := anyFloat(r), anyFloat(r), anyFloat(r)
		if r.IntN(3) == 0 { // nearly cancels
			z = -float32(float64(x)*float64(y)) * (1 + float32(r.IntN(5)-2)*0x1p-23)
		}
		got := fma32(x, y, z)
		if !finite(x) || !finite(y) || !finite(z) {
			want := float32(float64(x)*float64(y) + float64(z))
			if !sameFloat(got, want) {
				t.Fatalf("fma32(%x, %x, %x) = %x, want %x", x, y, z, got, want)
			}
			continue
		}
		if want := exactFMA(x, y, z); math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("fma32(%x, %x, %x) = %x, want %x", x, y, z, got, want)
		}
	}
}

// Sums that lie just beside a midpoint of float32, where rounding twice goes
// wrong.
func TestFMABesideMidpoints(t *testing.T) {
	wrong := 0
	for _, sign := range []float32{1, -1} {
		for shift := 25; shift < 120; shift++ {
			for _, odd := range []float32{1, 1 + 0x1p-23} {
				for _, low := range []float32{1, -1} {
					x := sign * odd * (1 + 0x1p-12) // x*y has a half unit in the last place
					y := float32(1 + 0x1p-12)
					z := low * float32(math.Ldexp(1, -shift))
					got, want := fma32(x, y, z), exactFMA(x, y, z)
					if math.Float32bits(got) != math.Float32bits(want) {
						t.Errorf("fma32(%x, %x, %x) = %x, want %x", x, y, z, got, want)
					}
					if float32(float64(x)*float64(y)+float64(z)) != want {
						wrong++
					}
				}
			}
		}
	}
	if wrong == 0 {
		t.Error("no case that plain float64 gets wrong: the test shows nothing")
	}
}

func finite(x float32) bool { return x-x == 0 }

// sameFloat holds the bits, but for those of NaN.
func sameFloat(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}
