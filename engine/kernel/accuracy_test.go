package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// ulps is how far got is from want, in units of the last place of a float32 of
// want's size.
func ulps(got float32, want float64) float64 {
	_, exponent := math.Frexp(want)
	unit := math.Ldexp(1, max(exponent-24, -149))
	return math.Abs(float64(got)-want) / unit
}

func TestExpIsWithinOneULP(t *testing.T) {
	worst, at := 0.0, float32(0)
	hold := func(x float32) {
		if off := ulps(Exp(x), math.Exp(float64(x))); off > worst {
			worst, at = off, x
		}
	}
	const steps = 400000
	for i := range steps {
		hold(-103.9 + float32(i)*(88.7+103.9)/steps)
	}
	for bits := uint32(0); bits < 0x42b00000; bits += 9973 { // from 0 to 88, denormals too
		hold(math.Float32frombits(bits))
		hold(math.Float32frombits(bits | 1<<31))
	}
	if worst > 1 {
		t.Errorf("Exp(%x) is off by %.3f ulp, want at most 1", at, worst)
	}
	t.Logf("at most %.3f ulp, at %x", worst, at)
}

func TestExpAtItsEnds(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{
		{0, 1}, {float32(math.Copysign(0, -1)), 1}, {inf, inf}, {-inf, 0}, {88.8, inf}, {1000, inf}, {math.MaxFloat32, inf},
		{-104, 0}, {-1000, 0}, {-103.97, math.SmallestNonzeroFloat32}, {math.SmallestNonzeroFloat32, 1},
	} {
		if got := Exp(c.x); got != c.want {
			t.Errorf("Exp(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	if got := Exp(float32(math.NaN())); got == got {
		t.Errorf("Exp(NaN) = %v", got)
	}
}

// bigSinCos is the sine and cosine of x by their series, after taking off
// multiples of pi, in big numbers.
func bigSinCos(x float64) (s, c float64) {
	const precision = 300
	pi, _ := new(big.Float).SetPrec(precision).SetString("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651")
	twoPi := new(big.Float).SetPrec(precision).Mul(pi, big.NewFloat(2))
	v := new(big.Float).SetPrec(precision).SetFloat64(x)
	n, _ := new(big.Float).SetPrec(precision).Quo(v, twoPi).Int(nil)
	v.Sub(v, new(big.Float).SetPrec(precision).Mul(twoPi, new(big.Float).SetPrec(precision).SetInt(n)))
	sum := [2]*big.Float{new(big.Float).SetPrec(precision), new(big.Float).SetPrec(precision)}
	term := new(big.Float).SetPrec(precision).SetInt64(1)
	for i := range 80 { // |v| < 2 pi: terms fall below 2^-200
		signed := new(big.Float).Copy(term)
		if i/2%2 == 1 {
			signed.Neg(signed)
		}
		sum[i%2].Add(sum[i%2], signed)
		term.Mul(term, v)
		term.Quo(term, new(big.Float).SetInt64(int64(i+1)))
	}
	c, _ = sum[0].Float64()
	s, _ = sum[1].Float64()
	return s, c
}

func TestSinCosIsClose(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const allowed = 0x1p-52
	worst := 0.0
	hold := func(x float64) {
		s, c := SinCos(x)
		wantS, wantC := bigSinCos(x)
		off := max(math.Abs(s-wantS), math.Abs(c-wantC))
		worst = max(worst, off)
		if off > allowed {
			t.Fatalf("SinCos(%v) = %v, %v, want %v, %v: off by %g, at most %g is allowed", x, s, c, wantS, wantC, off, allowed)
		}
	}
	for i := range 1000 {
		hold(math.Ldexp(r.Float64()*2-1, r.IntN(50)-19))
		hold(float64(i))
		hold(float64(i-500) * math.Pi / 4) // where sine and cosine change places, and are zero
	}
	t.Logf("off by at most %g", worst)
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 2 << 30} {
		if s, c := SinCos(x); s == s || c == c {
			t.Errorf("SinCos(%v) = %v, %v, want NaN", x, s, c)
		}
	}
}

// Bits that the tables of positions must have on every platform, whatever its
// compiler fuses.
func TestTablesHaveTheirBits(t *testing.T) {
	var sum uint64
	for i := range 20000 {
		x := float64(i) * math.Ldexp(1, -i%14)
		s, c := SinCos(x)
		sum = sum*31 + math.Float64bits(s)*7 + math.Float64bits(c)
	}
	if want := uint64(0x261531015a620ff8); sum != want {
		t.Errorf("digest of the tables is %#x, want %#x", sum, want)
	}
}

func TestBF16RoundsToNearestEven(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 200000 {
		x := anyFloat(r)
		got := FromBF16(ToBF16(x))
		if x != x {
			if got == got {
				t.Fatalf("NaN %08x became %v", math.Float32bits(x), got)
			}
			continue
		}
		if math.IsInf(float64(x), 0) {
			if got != x {
				t.Fatalf("%v became %v", x, got)
			}
			continue
		}
		low := math.Float32bits(x) &^ 0xffff // towards zero
		high := low + 0x10000
		// A value beyond the largest counts as the next power of two.
		value := func(bits uint32) float64 {
			if bits&0x7fffffff == 0x7f800000 {
				return math.Copysign(0x1p128, float64(x))
			}
			return float64(math.Float32frombits(bits))
		}
		below, above := math.Abs(float64(x)-value(low)), math.Abs(value(high)-float64(x))
		want := low
		if above < below || above == below && low>>16&1 == 1 {
			want = high
		}
		if math.Float32bits(got) != want {
			t.Fatalf("%x became %08x, want %08x", x, math.Float32bits(got), want)
		}
	}
	for b := range 1 << 16 {
		if x := FromBF16(uint16(b)); x == x && ToBF16(x) != uint16(b) {
			t.Fatalf("bfloat16 %04x became %04x", b, ToBF16(x))
		}
	}
}
