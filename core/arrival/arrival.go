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
	Rate float64 // mean, requests/s; not used where there are Rates
	CV   float64 // burstiness; see the kinds for its meaning
	// Rates makes the mean follow the clock: one rate a minute from the run's
	// start, requests/s, the last one for as long as the run goes on. The gap
	// after an arrival has the rate of the minute that the arrival falls in, as
	// in the published generator.
	Rates []float64
}

const minute = 60 // s

// Times returns the arrival times below end, ascending; equal times are
// possible. A process outside the supported range is an error.
func (p Process) Times(seed uint64, end vtime.Time) ([]vtime.Time, error) {
	if err := p.Check(end); err != nil {
		return nil, err
	}
	r := draw.Stream(seed, "arrivals")
	times := make([]vtime.Time, 0, int(p.expected(end))+1)
	// A gap can be too long for vtime.Time, so the end is checked in seconds
	// first; rounding may then still reach it.
	for at := p.gap(r, p.rateAt(0)); at < end.Seconds(); at += p.gap(r, p.rateAt(at)) {
		if t := vtime.Seconds(at); t < end {
			times = append(times, t)
		}
	}
	return times, nil
}

// Mean returns the mean rate until end, which lies after the start, in
// requests/s.
func (p Process) Mean(end vtime.Time) float64 {
	if len(p.Rates) == 0 {
		return p.Rate // as it was given, to the last bit
	}
	return p.expected(end) / end.Seconds()
}

// rateAt is the rate at an instant in seconds.
func (p Process) rateAt(seconds float64) float64 {
	if len(p.Rates) == 0 {
		return p.Rate
	}
	return p.Rates[int(min(seconds/minute, float64(len(p.Rates)-1)))]
}

// expected is the mean number of requests until end.
func (p Process) expected(end vtime.Time) float64 {
	left, n := end.Seconds(), 0.0
	for _, rate := range p.Rates {
		span := min(left, minute)
		n, left = n+rate*span, left-span
	}
	return n + left*p.rateAt(math.Inf(1))
}

// Check says what no sequence until end can be made of.
func (p Process) Check(end vtime.Time) error {
	if !slices.Contains(Kinds(), p.Kind) {
		return fmt.Errorf("arrivals: unknown kind %q, allowed are %q", p.Kind, Kinds())
	}
	if end < 0 {
		return fmt.Errorf("arrivals: end is %v, it must not lie before the start", end)
	}
	rates := p.Rates
	if len(rates) == 0 {
		rates = []float64{p.Rate}
	}
	for _, rate := range rates {
		if err := p.checkRate(rate); err != nil {
			return err
		}
	}
	if n := p.expected(end); n > maxRequests {
		return fmt.Errorf("arrivals: %v requests/s until %v are about %.3g requests, at most %.0e are allowed", n/end.Seconds(), end, n, maxRequests)
	}
	return nil
}

func (p Process) checkRate(rate float64) error {
	if !(rate > 0) || math.IsInf(rate, 1) {
		return fmt.Errorf("arrivals: rate is %v requests/s, it must be positive and finite", rate)
	}
	if p.Kind != Artifact && p.Kind != Gamma {
		return nil
	}
	if shape, _ := p.gamma(rate); !(p.CV > 0 && shape >= minShape && shape <= maxShape) {
		return fmt.Errorf("arrivals: kind %s at %v requests/s with cv %v has gaps of gamma shape %v, allowed is %v to %v", p.Kind, rate, p.CV, shape, minShape, maxShape)
	}
	return nil
}

// gamma returns the shape and the scale, in seconds, of p's gaps at a rate.
func (p Process) gamma(rate float64) (shape, scale float64) {
	if p.Kind == Artifact {
		return 1000 / (rate * p.CV), p.CV / 1000
	}
	squared := p.CV * p.CV
	return 1 / squared, squared / rate
}

// gap draws the next gap in seconds.
func (p Process) gap(r *rand.Rand, rate float64) float64 {
	switch p.Kind {
	case Even:
		return 1 / rate
	case Poisson:
		return r.ExpFloat64() / rate
	default:
		shape, scale := p.gamma(rate)
		return scale * gammaVariate(r, shape)
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
