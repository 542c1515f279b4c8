package figure

import (
	"fmt"
	"math"
)

// Sweep shows what settings do: x is the first, lines are the second, panels
// side by side the third. Below each other stand average and P99 latency, cost,
// and how many requests were completed.
type Sweep struct {
	Text
	XName string
	// X are the values of the first setting, in order. Values are them as
	// numbers, ascending; none, if they are names.
	X      []string
	Values []float64
	Panels []SweepPanel
}

// SweepPanel is one value of the third setting, or all if there is none.
type SweepPanel struct {
	Title string
	Lines []SweepLine
}

// SweepLine is one value of the second setting, or all if there is none.
type SweepLine struct {
	Label  string
	Look   int
	Points []SweepPoint // by X
}

// SweepPoint is one experiment.
type SweepPoint struct {
	X     int // index in Sweep.X
	Seeds []SweepMeasure
}

// SweepMeasure is what one run measured. Latencies and cost are NaN where no
// request was completed.
type SweepMeasure struct {
	Avg, P99    float64 // seconds
	USDPerToken float64
	Completed   float64 // part of the accepted requests, from 0 to 1
}

// sweepMetric is a row of panels.
type sweepMetric struct {
	name  string
	value func(SweepMeasure) float64
	most  float64 // of the axis; 0: what the values need
}

func sweepMetrics() [4]sweepMetric {
	return [4]sweepMetric{
		{"Average (s)", func(m SweepMeasure) float64 { return m.Avg }, 0},
		{"P99 (s)", func(m SweepMeasure) float64 { return m.P99 }, 0},
		{"USD/M tokens", func(m SweepMeasure) float64 { return 1e6 * m.USDPerToken }, 0},
		{"Completed (%)", func(m SweepMeasure) float64 { return 100 * m.Completed }, 100},
	}
}

func (s Sweep) check() error {
	if len(s.Values) > 0 && len(s.Values) != len(s.X) {
		return fmt.Errorf("%d numbers for %d values of %s", len(s.Values), len(s.X), s.XName)
	}
	for i, v := range s.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) || i > 0 && v <= s.Values[i-1] {
			return fmt.Errorf("the values of %s do not ascend", s.XName)
		}
	}
	points := 0
	for _, p := range s.Panels {
		for _, l := range p.Lines {
			for _, pt := range l.Points {
				points++
				if err := s.checkPoint(pt); err != nil {
					return fmt.Errorf("line %q: %w", l.Label, err)
				}
			}
		}
	}
	if points == 0 {
		return errNoSeries
	}
	return nil
}

func (s Sweep) checkPoint(pt SweepPoint) error {
	if pt.X < 0 || pt.X >= len(s.X) {
		return fmt.Errorf("point at value %d of %d", pt.X, len(s.X))
	}
	if len(pt.Seeds) == 0 {
		return fmt.Errorf("point %q has no seed", s.X[pt.X])
	}
	for _, m := range pt.Seeds {
		for _, of := range sweepMetrics() {
			if v := of.value(m); !math.IsNaN(v) {
				if err := checkNumber(of.name, "its unit", v); err != nil {
					return fmt.Errorf("point %q: %w", s.X[pt.X], err)
				}
			}
		}
	}
	return nil
}
