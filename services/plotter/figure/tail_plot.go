package figure

import (
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
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
			band, err := points.band(l)
			if err != nil {
				return nil, err
			}
			bands = append(bands, band)
		}
		marks, err := points.marks(l, len(s.Seeds) > 1, whiskerCap*vg.Length(style.mark))
		if err != nil {
			return nil, err
		}
		lines = append(lines, marks...)
	}
	p.Add(bands...) // below all lines
	p.Add(lines...)
	p.X.Min, p.X.Max = -margin, statX(NumStats-1)+margin
	p.Y.Min, p.Y.Max = 0, max(p.Y.Max*headroom, smallestRange)
	return p, nil
}

// tailPoints are the medians with their spread. It implements the interfaces
// of the plotting library.
type tailPoints struct {
	x      []float64
	spread []Spread
}

func (s TailSeries) points(dx float64) tailPoints {
	spreads := s.Spreads()
	pts := tailPoints{spread: spreads[:]}
	for i := range spreads {
		pts.x = append(pts.x, statX(i)+dx)
	}
	return pts
}

func (p tailPoints) Len() int                { return len(p.x) }
func (p tailPoints) XY(i int) (x, y float64) { return p.x[i], p.spread[i].Median }
func (p tailPoints) YError(i int) (low, high float64) {
	return p.spread[i].errors()
}

func (p tailPoints) percentiles() tailPoints { return tailPoints{p.x[1:], p.spread[1:]} }

// band is the area between least and most over the percentiles.
func (p tailPoints) band(l look) (plot.Plotter, error) {
	var top, bottom plotter.XYs
	for i, s := range p.spread[1:] {
		top = append(top, plotter.XY{X: p.x[i+1], Y: s.Max})
		bottom = append(bottom, plotter.XY{X: p.x[i+1], Y: s.Min})
	}
	slices.Reverse(bottom)
	area, err := plotter.NewPolygon(append(top, bottom...))
	if err != nil {
		return nil, err
	}
	area.Color = l.tint
	area.LineStyle.Width = 0
	return area, nil
}

// marks are the line over the percentiles, the whiskers and the markers.
func (p tailPoints) marks(l look, whiskers bool, caps vg.Length) ([]plot.Plotter, error) {
	line, err := plotter.NewLine(p.percentiles())
	if err != nil {
		return nil, err
	}
	line.LineStyle = l.line
	out := []plot.Plotter{line}
	if whiskers {
		bars, err := plotter.NewYErrorBars(p)
		if err != nil {
			return nil, err
		}
		bars.LineStyle = l.whisker()
		bars.CapWidth = caps
		out = append(out, bars)
	}
	markers, err := plotter.NewScatter(p)
	if err != nil {
		return nil, err
	}
	markers.GlyphStyle = l.marker
	return append(out, markers), nil
}
