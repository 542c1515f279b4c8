package figure

import (
	"math"

	"gonum.org/v1/plot"
)

// A logarithmic axis here is a linear one over logarithms, labelled with the
// values: the library's own leaves room for the axis's name where the middle of
// a linear axis would be.

// smallestLatency, in seconds, is where a logarithmic axis of latencies ends: it
// has no 0.
const smallestLatency = 1e-3

// logTicks label a logarithmic axis with at most so many values.
func logTicks(most int) plot.TickerFunc {
	return func(low, high float64) []plot.Tick {
		ticks := logValues(math.Pow(10, low), math.Pow(10, high), most)
		for i := range ticks {
			ticks[i].Value = math.Log10(ticks[i].Value)
		}
		return ticks
	}
}

// log is the spread on a logarithmic axis.
func (s Spread) log() Spread {
	return Spread{Min: math.Log10(s.Min), Median: math.Log10(s.Median), Max: math.Log10(s.Max)}
}

// widenedLog is the range of a logarithmic axis with a margin. It spans at least
// a factor of four.
func widenedLog(low, high float64) (from, to float64) {
	const margin, least = 1.2, 4
	low, high = low/margin, high*margin
	if f := math.Sqrt(least * low / high); f > 1 {
		low, high = low/f, high*f
	}
	return math.Log10(low), math.Log10(high)
}
