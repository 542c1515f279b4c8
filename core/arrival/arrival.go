// Package arrival generates the times at which requests arrive.
//
// A sequence is a pure function of its process, seed and end. The first request
// comes one gap after the run's start, as in the published traces.
package arrival

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/vtime"
)

// Kind names an arrival process.
type Kind string

// The arrival processes.
const (
	// Artifact repeats the published generator: gaps in milliseconds from a
	// gamma distribution of shape 1000/(rate*cv) and scale cv. Its real
	// coefficient of variation is sqrt(cv*rate/1000), far below cv.
	Artifact Kind = "artifact"
	// Gamma has gamma distributed gaps whose coefficient of variation is cv.
	Gamma Kind = "gamma"
	// Poisson has exponentially distributed gaps; cv is not used.
	Poisson Kind = "poisson"
	// Even has equal gaps; neither cv nor the seed is used.
	Even Kind = "even"
)

// Kinds returns the arrival processes, the published one first.
func Kinds() []Kind { return []Kind{Artifact, Gamma, Poisson, Even} }

const (
	// maxRequests bounds the expected length of a sequence: rate times end.
	maxRequests = 1e7
	// Shapes below minShape (a coefficient of variation above 100) put nearly
	// all gaps at zero; above maxShape the gaps are equal to double precision.
	minShape = 1e-4
	maxShape = 1e12
)

// Process describes how requests arrive.
type Process struct {
	Kind Kind
	Rate float64 // mean, requests/s
	CV   float64 // burstiness; see the kinds for its meaning
}

// Times returns the arrival times below end, ascending; equal times are
// possible. A process outside the supported range is an error.
func (p Process) Times(seed uint64, end vtime.Time) ([]vtime.Time, error) {
	if err := p.check(end); err != nil {
		return nil, err
	}
	gap := p.gaps(draw.Stream(seed, "arrivals"))
	times := make([]vtime.Time, 0, int(p.Rate*end.Seconds())+1)
	// A gap can be too long for vtime.Time, so the end is checked in seconds
	// first; rounding may then still reach it.
	for at := gap(); at < end.Seconds(); at += gap() {
		if t := vtime.Seconds(at); t < end {
			times = append(times, t)
		}
	}
	return times, nil
}

func (p Process) check(end vtime.Time) error {
	if !slices.Contains(Kinds(), p.Kind) {
		return fmt.Errorf("arrivals: unknown kind %q, allowed are %q", p.Kind, Kinds())
	}
	if !(p.Rate > 0) || math.IsInf(p.Rate, 1) {
		return fmt.Errorf("arrivals: rate is %v requests/s, it must be positive and finite", p.Rate)
	}
	if end < 0 {
		return fmt.Errorf("arrivals: end is %v, it must not lie before the start", end)
	}
	if n := p.Rate * end.Seconds(); n > maxRequests {
		return fmt.Errorf("arrivals: %v requests/s until %v are about %.3g requests, at most %.0e are allowed", p.Rate, end, n, maxRequests)
	}
	if p.Kind != Artifact && p.Kind != Gamma {
		return nil
	}
	if shape, _ := p.gamma(); !(p.CV > 0 && shape >= minShape && shape <= maxShape) {
		return fmt.Errorf("arrivals: kind %s at %v requests/s with cv %v has gaps of gamma shape %v, allowed is %v to %v", p.Kind, p.Rate, p.CV, shape, minShape, maxShape)
	}
	return nil
}

// gamma returns the shape and the scale, in seconds, of p's gaps.
func (p Process) gamma() (shape, scale float64) {
	if p.Kind == Artifact {
		return 1000 / (p.Rate * p.CV), p.CV / 1000
	}
	squared := p.CV * p.CV
	return 1 / squared, squared / p.Rate
}

// gaps returns a function that draws the next gap in seconds.
func (p Process) gaps(r *rand.Rand) func() float64 {
	switch p.Kind {
	case Even:
		return func() float64 { return 1 / p.Rate }
	case Poisson:
		return func() float64 { return r.ExpFloat64() / p.Rate }
	default:
		shape, scale := p.gamma()
		return func() float64 { return scale * gammaVariate(r, shape) }
	}
}

// gammaVariate draws from the gamma distribution of the given shape and scale 1
// (Marsaglia and Tsang, "A simple method for generating gamma variables", 2000).
func gammaVariate(r *rand.Rand, shape float64) float64 {
	if shape < 1 {
		// Their section 6: one shape higher, times a power of a uniform draw.
		// 1-u lies in (0, 1], so the power is never 0 for want of precision in u.
		u := 1 - r.Float64()
		return gammaVariate(r, shape+1) * math.Pow(u, 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		u := 1 - r.Float64()
		if math.Log(u) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
