package kernel

import "math"

// The functions here build tables (rotary positions) and so must have the same
// bits on every platform, which those of package math do not promise: every
// product is rounded by a conversion before it is added, or added by math.FMA.

// pi/2 in three parts of 53 bits.
const (
	halfPi1  = 0x1.921fb54442d18p+0
	halfPi2  = 0x1.1a62633145c07p-54
	halfPi3  = -0x1.f1976b7ed8fbcp-110
	twoByPi  = 0x1.45f306dc9c883p-1
	maxAngle = 1 << 30
)

// SinCos is the sine and cosine of x radians, off by at most 2^-52. Beyond
// |x| = 2^30 both are NaN.
func SinCos(x float64) (s, c float64) {
	if !(math.Abs(x) <= maxAngle) {
		return math.NaN(), math.NaN()
	}
	n := math.RoundToEven(float64(x * twoByPi))
	r := math.FMA(-n, halfPi1, x)
	r = math.FMA(-n, halfPi2, r)
	r = math.FMA(-n, halfPi3, r)
	s, c = sinPoly(r), cosPoly(r)
	switch int64(n) & 3 {
	case 1:
		s, c = c, -s
	case 2:
		s, c = -s, -c
	case 3:
		s, c = -c, s
	}
	return s, c
}

// sinPoly is the sine for |r| <= pi/4, by the polynomial of fdlibm's kernel.
func sinPoly(r float64) float64 {
	z := float64(r * r)
	p := horner(z, 1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
		-1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01)
	return math.FMA(float64(z*r), p, r)
}

// cosPoly is the cosine for |r| <= pi/4, by the polynomial of fdlibm's kernel.
func cosPoly(r float64) float64 {
	z := float64(r * r)
	p := horner(z, -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
		2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02)
	half := float64(0.5 * z)
	head := 1 - half
	return head + math.FMA(float64(z*z), p, (1-head)-half)
}

// horner is the polynomial of z with the given coefficients, highest power first.
func horner(z float64, coefficients ...float64) float64 {
	p := 0.0
	for _, c := range coefficients {
		p = math.FMA(p, z, c)
	}
	return p
}
