package figure

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// roundTicks labels every multiple of the smallest 1, 2 or 5 times a power of
// ten that gives at most seven labels.
func roundTicks(low, high float64) []plot.Tick {
	const most = 6 // steps
	power := math.Pow(10, math.Floor(math.Log10((high-low)/most)))
	step := power * 10
	for _, f := range []float64{1, 2, 5} {
		if (high-low)/(f*power) <= most {
			step = f * power
			break
		}
	}
	var ticks []plot.Tick
	for i := math.Ceil(low / step); i*step <= high; i++ {
		ticks = append(ticks, tick(i*step))
	}
	return ticks
}

// logValues labels round numbers of a logarithmic axis, as many of each power of
// ten as give at most so many labels.
func logValues(low, high float64, most int) []plot.Tick {
	var ticks []plot.Tick
	for _, factors := range [][]float64{{1, 1.5, 2, 3, 4, 5, 7}, {1, 2, 3, 5, 7}, {1, 2, 3, 5}, {1, 2, 5}, {1, 3}, {1}} {
		ticks = nil
		for power := math.Pow(10, math.Floor(math.Log10(low))); power <= high; power *= 10 {
			for _, f := range factors {
				if v := f * power; v >= low && v <= high {
					ticks = append(ticks, tick(v))
				}
			}
		}
		if len(ticks) <= most {
			break
		}
	}
	return ticks
}

// valueTicks mark some values, ascending, and label each that has room beside
// the label before it: at is where a value stands on the axis, and width how
// much of that a label needs.
func valueTicks(values []float64, labels []string, at func(float64) float64, width func(string) float64) plot.TickerFunc {
	return func(_, _ float64) []plot.Tick {
		var ticks []plot.Tick
		free := math.Inf(-1)
		for i, v := range values {
			t := plot.Tick{Value: v}
			half := width(labels[i]) / 2
			if at(v)-half >= free {
				t.Label = labels[i]
				free = at(v) + half
			}
			ticks = append(ticks, t)
		}
		return ticks
	}
}

// timeTicks labels seconds where minutes and hours are whole, at most thirteen
// of them.
func timeTicks(low, high float64) []plot.Tick {
	const most = 12 // steps
	step := 1.0
	for _, s := range []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400} {
		step = s
		if (high-low)/step <= most {
			break
		}
	}
	for (high-low)/step > most {
		step *= 2
	}
	var ticks []plot.Tick
	for i := math.Ceil(low / step); i*step <= high; i++ {
		ticks = append(ticks, tick(i*step))
	}
	return ticks
}

func tick(v float64) plot.Tick {
	if v == 0 {
		v = 0 // not -0
	}
	return plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)}
}
