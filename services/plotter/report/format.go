package report

import (
	"fmt"
	"math"
	"strconv"

	"github.com/spotserve/spotserve/services/plotter/figure"
)

// absent stands where there is no number.
const absent = "–"

// spread writes a median and, of several values that differ, the range.
func spread(s figure.Spread, write func(float64) string) string {
	median, low, high := write(s.Median), write(s.Min), write(s.Max)
	if low == high {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, low, high)
}

// seconds writes a duration with one digit behind the point, two below ten.
func seconds(v float64) string {
	if math.Abs(v) < 9.995 {
		return fixed(v, 2)
	}
	return fixed(v, 1)
}

func fixed(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

// write writes a metric of the result, or that it has none.
func (r Result) write(name string, number func(float64) string) string {
	if m := r.metric(name); m != nil {
		return spread(m.Spread, number)
	}
	return absent
}

func (r Result) seconds(name string) string { return r.write(name, seconds) }

func (r Result) whole(name string) string {
	return r.write(name, func(v float64) string { return fixed(v, 0) })
}

// perMillion writes a number for each of a million.
func (r Result) perMillion(name string) string {
	return r.write(name, func(v float64) string { return fixed(v*1e6, 2) })
}

// published writes a metric in seconds, the published number and the error.
func (r Result) published(name string) []string {
	m := r.metric(name)
	switch {
	case m == nil:
		return []string{absent, absent, absent}
	case m.Published == nil:
		return []string{spread(m.Spread, seconds), absent, absent}
	}
	return []string{spread(m.Spread, seconds), seconds(*m.Published), fmt.Sprintf("%+.1f %%", 100**m.Error)}
}
