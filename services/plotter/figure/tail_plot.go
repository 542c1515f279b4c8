package figure

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// Places on the x axis, in categories. The average stands apart: it is no
// percentile, so no line leads from it to one.
const (
	gapAfterAvg = 0.4
	dodge       = 0.11 // between the series of a category: markers must not hide each other
	margin      = 0.45
	headroom    = 1.06 // of the y axis over the largest value
	// smallestRange of the y axis, in seconds: all values may be 0.
	smallestRange = 1e-3
)

func statX(stat int) float64 {
	if stat == 0 {
		return 0
	}
	return float64(stat) + gapAfterAvg
}

// tailStyle is how large the marks of a panel are, and what its axes say.
type tailStyle struct {
	names    [NumStats]string // of the statistics, below the x axis
	tickSize vg.Length        // font
	mark     float64          // size of markers, lines and caps
	xName    string           // of the x axis
	yName    string
}

// tailPlot builds the axes and the data.
func tailPlot(series []TailSeries, style tailStyle) (*plot.Plot, error) {
	p := newPlot()
	p.X.Label.Text, p.Y.Label.Text = style.xName, style.yName
	if style.tickSize > 0 {
		smallTicks(p, style.tickSize)
	}
	ticks := make(plot.ConstantTicks, NumStats)
	for i, name := range style.names {
		ticks[i] = plot.Tick{Value: statX(i), Label: name}
	}
	p.X.Tick.Marker = ticks

	var bands, lines []plot.Plotter
	for i, s := range series {
		x := (float64(i) - float64(len(series)-1)/2) * dodge
		points, l := s.points(x), lookOf(s.Look).scaled(style.mark)
		if len(s.Seeds) > 1 {
			band, err := points.percentiles().band(l)
			if err != nil {
				return nil, err
			}
			bands = append(bands, band)
		}
		line, err := points.percentiles().line(l)
		if err != nil {
			return nil, err
		}
		marks, err := points.markers(l, len(s.Seeds) > 1, whiskerCap*vg.Length(style.mark))
		if err != nil {
			return nil, err
		}
		lines = append(append(lines, line), marks...)
	}
	p.Add(bands...) // below all lines
	p.Add(lines...)
	p.X.Min, p.X.Max = -margin, statX(NumStats-1)+margin
	p.Y.Min, p.Y.Max = 0, max(p.Y.Max*headroom, smallestRange)
	return p, nil
}

// points are the statistics, moved by dx.
func (s TailSeries) points(dx float64) spreadPoints {
	spreads := s.Spreads()
	pts := spreadPoints{spread: spreads[:]}
	for i := range spreads {
		pts.x = append(pts.x, statX(i)+dx)
	}
	return pts
}

// percentiles are the points without the average.
func (p spreadPoints) percentiles() spreadPoints { return spreadPoints{p.x[1:], p.spread[1:]} }
