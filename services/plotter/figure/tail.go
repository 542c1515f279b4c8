package figure

import (
	"fmt"
	"slices"
)

// statNames are the statistics of a latency distribution that Figure 6 shows,
// in the order of its x axis.
var statNames = [NumStats]string{"Avg", "P90", "P95", "P96", "P97", "P98", "P99"}

// NumStats is the number of statistics on the x axis of Figure 6.
const NumStats = 7

// Latencies are the statistics of one run, in seconds: average, P90, P95, P96,
// P97, P98, P99.
type Latencies [NumStats]float64

// Tail is one panel of Figure 6 or a tail panel of Figure 8: average and tail
// latencies of one model on one trace, a line for each approach.
type Tail struct {
	Text
	Series []TailSeries
}

// TailSeries is one approach.
type TailSeries struct {
	Label string
	// Look is the number of its colour, marker and dashes, so that an approach
	// looks the same on every figure.
	Look  int
	Seeds []Latencies // one a seed
}

// Spreads returns the points of the series, in seconds. The series must have a
// seed.
func (s TailSeries) Spreads() [NumStats]Spread {
	var out [NumStats]Spread
	for i := range out {
		out[i] = SpreadOf(s.Seeds, func(l Latencies) float64 { return l[i] })
	}
	return out
}

func (t Tail) check() error {
	if len(t.Series) == 0 {
		return errNoSeries
	}
	return checkTails(t.Series)
}

func checkTails(series []TailSeries) error {
	for _, s := range series {
		if len(s.Seeds) == 0 {
			return fmt.Errorf("series %q has no seed", s.Label)
		}
		for _, l := range s.Seeds {
			for i, v := range l {
				if err := checkNumber(statNames[i], "seconds", v); err != nil {
					return fmt.Errorf("series %q: %w", s.Label, err)
				}
			}
		}
	}
	return nil
}

func (t Tail) page() (page, error) {
	panel, err := tailPlot(t.Series, tailStyle{names: statNames, mark: 1, yName: latencyAxis})
	if err != nil {
		return page{}, err
	}
	return page{
		Text: t.Text, width: columnAndHalf, height: usualHeight, panels: onePanel(panel), legend: tailLegend(t.Series),
	}, nil
}

// latencyAxis is the name of an axis of latencies.
const latencyAxis = "Latency (s)"

// tailLegend has an entry for each look, in the order of first met.
func tailLegend(series []TailSeries) []legendEntry {
	var legend []legendEntry
	var seen []int
	for _, s := range series {
		if !slices.Contains(seen, s.Look) {
			seen = append(seen, s.Look)
			legend = append(legend, legendEntry{s.Label, lookOf(s.Look).lineSample()})
		}
	}
	return legend
}
