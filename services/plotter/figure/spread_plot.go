package figure

import (
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// spreadPoints are medians with their spread. It implements the interfaces of
// the plotting library.
type spreadPoints struct {
	x      []float64
	spread []Spread
}

func (p spreadPoints) Len() int                { return len(p.x) }
func (p spreadPoints) XY(i int) (x, y float64) { return p.x[i], p.spread[i].Median }
func (p spreadPoints) YError(i int) (low, high float64) {
	return p.spread[i].errors()
}

// band is the area between least and most.
func (p spreadPoints) band(l look) (plot.Plotter, error) {
	var top, bottom plotter.XYs
	for i, s := range p.spread {
		top = append(top, plotter.XY{X: p.x[i], Y: s.Max})
		bottom = append(bottom, plotter.XY{X: p.x[i], Y: s.Min})
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

// line joins the medians.
func (p spreadPoints) line(l look) (plot.Plotter, error) {
	line, err := plotter.NewLine(p)
	if err != nil {
		return nil, err
	}
	line.LineStyle = l.line
	return line, nil
}

// markers are the medians and, where there are several seeds, whiskers over the
// spread.
func (p spreadPoints) markers(l look, whiskers bool, caps vg.Length) ([]plot.Plotter, error) {
	var out []plot.Plotter
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
