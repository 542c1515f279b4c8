// Package figure draws the figures of the paper from plain data: it knows
// neither the store nor the bus.
//
// The same data gives the same bytes, in every format.
package figure

import (
	"fmt"
	"io"
	"math"
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

// Tail is one panel of Figure 6: average and tail latencies of one model on
// one trace, a line for each approach.
type Tail struct {
	Title   string
	Caption []string // parts of the line below the title
	Notes   []string // lines below the panel
	Series  []TailSeries
}

// TailSeries is one approach.
type TailSeries struct {
	Label string
	// Look is the number of its colour, marker and dashes, so that an approach
	// looks the same on every figure.
	Look  int
	Seeds []Latencies // one a seed
}

// Spread is what one point shows of a statistic over the seeds, in seconds.
type Spread struct{ Min, Median, Max float64 }

// Spreads returns the points of the series. The median of an even number of
// seeds is the mean of the middle two. The series must have a seed.
func (s TailSeries) Spreads() [NumStats]Spread {
	var out [NumStats]Spread
	values := make([]float64, len(s.Seeds))
	for i := range out {
		for j, l := range s.Seeds {
			values[j] = l[i]
		}
		slices.Sort(values)
		n := len(values)
		out[i] = Spread{
			Min:    values[0],
			Median: values[(n-1)/2]/2 + values[n/2]/2,
			Max:    values[n-1],
		}
	}
	return out
}

// Save draws the panel into a file, as PNG, SVG or PDF by its extension. The
// file appears whole or not at all.
func (t Tail) Save(path string) error { return save(path, t.Write) }

// Write draws the panel.
func (t Tail) Write(w io.Writer, f Format) error {
	if err := t.check(); err != nil {
		return err
	}
	panel, err := t.plot()
	if err != nil {
		return fmt.Errorf("figure %q: %w", t.Title, err)
	}
	pg := page{title: t.Title, caption: t.Caption, notes: t.Notes, plot: panel}
	for _, s := range t.Series {
		pg.legend = append(pg.legend, legendEntry{s.Label, lookOf(s.Look)})
	}
	return render(w, f, pg)
}

// check refuses what cannot be drawn, because the plotting library panics on it.
func (t Tail) check() error {
	if len(t.Series) == 0 {
		return fmt.Errorf("figure %q: no series", t.Title)
	}
	for _, s := range t.Series {
		if len(s.Seeds) == 0 {
			return fmt.Errorf("figure %q: series %q has no seed", t.Title, s.Label)
		}
		for _, l := range s.Seeds {
			for i, v := range l {
				if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
					return fmt.Errorf("figure %q: series %q: %s is %g; want a finite number of seconds, 0 or more", t.Title, s.Label, statNames[i], v)
				}
			}
		}
	}
	return nil
}
