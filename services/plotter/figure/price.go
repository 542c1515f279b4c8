package figure

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// Price is Figure 7: what a token costs against average and P99 latency.
type Price struct {
	Text
	Series []PriceSeries
}

// PriceSeries is the points of one approach, or of the fixed fleets.
type PriceSeries struct {
	Label  string
	Look   int  // as in TailSeries
	Joined bool // by a line, in the order of the points
	Points []PricePoint
}

// PricePoint is one experiment.
type PricePoint struct {
	Label string        // written beside the point
	Seeds []CostLatency // one a seed
}

// CostLatency is what one run cost, in USD a token, and its latencies in
// seconds.
type CostLatency struct{ USDPerToken, Avg, P99 float64 }

func (p Price) check() error {
	if len(p.Series) == 0 {
		return errNoSeries
	}
	for _, s := range p.Series {
		if len(s.Points) == 0 {
			return fmt.Errorf("series %q has no point", s.Label)
		}
		for _, pt := range s.Points {
			if len(pt.Seeds) == 0 {
				return fmt.Errorf("series %q: point %q has no seed", s.Label, pt.Label)
			}
			for _, v := range pt.Seeds {
				for _, n := range []struct {
					name, unit string
					value      float64
				}{{"cost", "USD a token", v.USDPerToken}, {"average", "seconds", v.Avg}, {"P99", "seconds", v.P99}} {
					if err := checkNumber(n.name, n.unit, n.value); err != nil {
						return fmt.Errorf("series %q: point %q: %w", s.Label, pt.Label, err)
					}
				}
			}
		}
	}
	return nil
}

func (p Price) page() (page, error) {
	avg, err := p.plot("Average latency (s, log)", func(v CostLatency) float64 { return v.Avg })
	if err != nil {
		return page{}, err
	}
	p99, err := p.plot("P99 latency (s, log)", func(v CostLatency) float64 { return v.P99 })
	if err != nil {
		return page{}, err
	}
	pg := page{Text: p.Text, width: bothColumns, height: 4.4 * vg.Inch, panels: grid{{panels: []*plot.Plot{avg, p99}}}}
	for _, s := range p.Series {
		sample := lookOf(s.Look).markerSample()
		if s.Joined {
			sample = lookOf(s.Look).lineSample()
		}
		pg.legend = append(pg.legend, legendEntry{s.Label, sample})
	}
	return pg, nil
}

// costUnit is the power of ten that costs are shown in: the largest cost has
// one digit before the point.
func (p Price) costUnit() (exponent int, unit float64) {
	most := 0.0
	for _, s := range p.Series {
		for _, pt := range s.Points {
			for _, v := range pt.Seeds {
				most = max(most, v.USDPerToken)
			}
		}
	}
	if most > 0 {
		exponent = int(math.Floor(math.Log10(most)))
	}
	return exponent, math.Pow10(exponent)
}
