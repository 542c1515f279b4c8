package figure

import (
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bar is a median with its value above and, if it has one, a whisker over the
// spread.
type bar struct {
	x       float64
	spread  Spread
	colour  uint32
	whisker bool
}

// Plot implements plot.Plotter.
func (b bar) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	left, right, foot, top := trX(b.x-barWidth/2), trX(b.x+barWidth/2), trY(0), trY(b.spread.Median)
	c.FillPolygon(rgb(b.colour), []vg.Point{{X: left, Y: foot}, {X: right, Y: foot}, {X: right, Y: top}, {X: left, Y: top}})
	x, label := trX(b.x), top
	if b.whisker {
		low, high := trY(b.spread.Min), trY(b.spread.Max)
		style := draw.LineStyle{Color: ink, Width: 0.8}
		c.StrokeLine2(style, x, low, x, high)
		for _, y := range []vg.Length{low, high} {
			c.StrokeLine2(style, x-whiskerCap/2, y, x+whiskerCap/2, y)
		}
		label = high
	}
	style := textStyle(sans(8), ink)
	style.XAlign = draw.XCenter
	c.FillText(style, vg.Point{X: x, Y: label + 2}, strconv.FormatFloat(b.spread.Median, 'f', 1, 64))
}

// nothing says that a group has no bars.
type nothing struct{ x float64 }

// Plot implements plot.Plotter.
func (n nothing) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	style := textStyle(sans(8), faint)
	style.XAlign = draw.XCenter
	c.FillText(style, vg.Point{X: trX(n.x), Y: trY(0) + 3}, "no run")
}

// barSample is a piece of a bar for the legend.
func barSample(colour uint32) sample {
	return sample{sampleHeight * 1.4, func(c draw.Canvas) {
		c.SetColor(rgb(colour))
		c.Fill(c.Rectangle.Path())
	}}
}
