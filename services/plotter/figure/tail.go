package figure

import "fmt"

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
	for _, s := range t.Series {
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
	panel, err := t.plot()
	if err != nil {
		return page{}, err
	}
	pg := page{Text: t.Text, width: columnAndHalf, height: usualHeight, panels: onePanel(panel)}
	for _, s := range t.Series {
		pg.legend = append(pg.legend, legendEntry{s.Label, lookOf(s.Look).lineSample()})
	}
	return pg, nil
}
