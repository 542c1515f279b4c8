package planner

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/vtime"
)

// requirement is the throughput to sustain, now and as far as it is known
// ahead.
type requirement struct {
	rps   float64 // in force
	steps []requirementStep
}

type requirementStep struct {
	from vtime.Time
	rps  float64
}

// announce notes a requirement from an instant on.
func (r *requirement) announce(rps float64, from vtime.Time) {
	at, _ := slices.BinarySearchFunc(r.steps, from, func(s requirementStep, t vtime.Time) int {
		if s.from <= t {
			return -1
		}
		return 1
	})
	r.steps = slices.Insert(r.steps, at, requirementStep{from, rps})
}

// at is the requirement, in requests/s, at an instant.
func (r *requirement) at(t vtime.Time) float64 {
	rps := r.rps
	for _, s := range r.steps {
		if s.from <= t {
			rps = s.rps
		}
	}
	return rps
}

// after lists the instants after now at which the requirement changes.
func (r *requirement) after(now vtime.Time) []vtime.Time {
	var out []vtime.Time
	for _, s := range r.steps {
		if s.from > now {
			out = append(out, s.from)
		}
	}
	return out
}

// rateEstimator measures the arrival rate over a sliding window (paper section
// 3.2: over the last 30 s).
type rateEstimator struct {
	window   time.Duration
	arrivals []vtime.Time
}

func (e *rateEstimator) arrive(now vtime.Time) {
	if e.window > 0 {
		e.arrivals = append(e.arrivals, now)
	}
}

// rate is the arrivals a second over the window that ends at now.
func (e *rateEstimator) rate(now vtime.Time) float64 {
	first, _ := slices.BinarySearch(e.arrivals, now.Add(-e.window))
	e.arrivals = e.arrivals[first:]
	return float64(len(e.arrivals)) / e.window.Seconds()
}

// changeWorthIt is the relative change of the estimate that is followed: the
// noise of a short window must not reconfigure the fleet.
const changeWorthIt = 0.1

// estimateRate replaces the requirement by the estimate of the last window, and
// comes again at the end of the next one.
func (m *MetaContextManager) estimateRate() {
	now := m.emit.Now
	m.emit.Timer(timerRate, now.Add(m.rate.window))
	estimate := m.rate.rate(now) * m.spec.Headroom
	if change := estimate/m.required.rps - 1; change > changeWorthIt || change < -changeWorthIt {
		m.required.rps = estimate
		m.consider()
	}
}
