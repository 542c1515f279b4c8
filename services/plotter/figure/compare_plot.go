package figure

import (
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const comparePanel = 2.6 * vg.Inch // height

// curveSteps is how many points a curve has at most.
const curveSteps = 400

func (c Compare) page() (page, error) {
	curves, err := c.curves()
	if err != nil {
		return page{}, err
	}
	pg := page{Text: c.Text, width: bothColumns, panels: grid{{panels: []*plot.Plot{curves, c.costs()}, height: comparePanel}}}
	for _, s := range c.Series {
		pg.legend = append(pg.legend, legendEntry{s.Label, curveLook(s.Look).lineSample()})
	}
	return pg, nil
}

// curveLook has thinner lines than those between few points.
func curveLook(n int) look { return lookOf(n).scaled(0.8) }

// curves is the panel of the distributions: the part of the requests that is
// answered within a time.
func (c Compare) curves() (*plot.Plot, error) {
	p := newPlot()
	p.X.Label.Text, p.Y.Label.Text = "Latency (s, log)", "Answered within it (%)"
	p.X.Tick.Marker = logTicks(8)
	low, high := math.Inf(1), 0.0
	var bands, lines []plot.Plotter
	for _, s := range c.Series {
		l := curveLook(s.Look)
		line, band := s.curve()
		for _, at := range slices.Concat(line, band) {
			low, high = min(low, math.Pow(10, at.X)), max(high, math.Pow(10, at.X))
		}
		if len(band) > 0 && len(s.Seeds) > 1 {
			area, err := plotter.NewPolygon(band)
			if err != nil {
				return nil, err
			}
			area.Color, area.LineStyle.Width = l.tint, 0
			bands = append(bands, area)
		}
		if len(line) == 0 {
			continue // fewer are answered than a step is of all
		}
		curve, err := plotter.NewLine(line)
		if err != nil {
			return nil, err
		}
		curve.LineStyle = l.line
		marks, err := plotter.NewScatter(marked(line))
		if err != nil {
			return nil, err
		}
		marks.GlyphStyle = l.marker
		lines = append(lines, curve, marks)
	}
	if c.SLO > 0 {
		low, high = min(low, c.SLO), max(high, c.SLO)
		p.Add(verticals{[]float64{math.Log10(c.SLO)}, draw.LineStyle{Color: ink, Width: 0.8, Dashes: []vg.Length{2, 2}}})
	}
	if high == 0 {
		low, high = smallestLatency, smallestLatency
	}
	p.Add(bands...)
	p.Add(lines...)
	p.X.Min, p.X.Max = widenedLog(low, high)
	p.Y.Min, p.Y.Max = 0, 100
	return p, nil
}

// curve returns the median curve in percent over the logarithm of seconds, as
// far as most seeds get, and the outline of the band, as far as all do.
func (s CompareSeries) curve() (line, band plotter.XYs) {
	var top plotter.XYs
	for i := 1; i <= curveSteps; i++ {
		part := float64(i) / curveSteps
		at := SpreadOf(s.Seeds, func(d Distribution) float64 { return d.within(part) })
		if math.IsInf(at.Median, 1) {
			break
		}
		at = at.log()
		line = append(line, plotter.XY{X: at.Median, Y: 100 * part})
		if !math.IsInf(at.Max, 1) {
			top = append(top, plotter.XY{X: at.Min, Y: 100 * part})
			band = append(band, plotter.XY{X: at.Max, Y: 100 * part})
		}
	}
	slices.Reverse(band)
	return line, append(top, band...)
}

// marked are the points of a curve that have a marker: the median, P90 and P99.
func marked(line plotter.XYs) plotter.XYs {
	var points plotter.XYs
	for _, percent := range []int{50, 90, 99} {
		if i := percent*curveSteps/100 - 1; i < len(line) {
			points = append(points, line[i])
		}
	}
	return points
}

// costs is the panel of the costs: a bar a series, in the order of the legend.
func (c Compare) costs() *plot.Plot {
	const perMillion = 1e6
	p := newPlot()
	p.Y.Label.Text = "USD per million tokens"
	p.X.Tick.Marker, p.X.Tick.Length = plot.ConstantTicks(nil), 0
	most := smallestRange
	for i, s := range c.Series {
		cost := SpreadOf(s.Seeds, func(d Distribution) float64 { return d.USDPerToken * perMillion })
		most = max(most, cost.Max)
		p.Add(costBar{float64(i), cost, lookOf(s.Look), len(s.Seeds) > 1})
	}
	const fewest = 4 // bars that the panel has room for
	free := max(fewest-float64(len(c.Series)), 0) / 2
	p.X.Min, p.X.Max = -0.6-free, float64(len(c.Series))-0.4+free
	p.Y.Min, p.Y.Max = 0, most*1.12
	return p
}

// costBar is a bar with its marker below, so that it is known without its
// colour, and its value above.
type costBar struct {
	x       float64
	cost    Spread
	look    look
	whisker bool
}

// Plot implements plot.Plotter.
func (b costBar) Plot(c draw.Canvas, p *plot.Plot) {
	const half = 0.32 // of the width
	trX, trY := p.Transforms(&c)
	left, right, foot, top := trX(b.x-half), trX(b.x+half), trY(0), trY(b.cost.Median)
	corners := []vg.Point{{X: left, Y: foot}, {X: left, Y: top}, {X: right, Y: top}, {X: right, Y: foot}}
	c.FillPolygon(b.look.tint, corners)
	c.StrokeLines(draw.LineStyle{Color: b.look.line.Color, Width: 1}, corners)
	label := top
	if b.whisker {
		low, high := trY(b.cost.Min), trY(b.cost.Max)
		c.StrokeLine2(b.look.whisker(), trX(b.x), low, trX(b.x), high)
		for _, y := range []vg.Length{low, high} {
			c.StrokeLine2(b.look.whisker(), trX(b.x)-whiskerCap/2, y, trX(b.x)+whiskerCap/2, y)
		}
		label = high
	}
	b.look.marker.Shape.DrawGlyph(&c, b.look.marker, vg.Point{X: trX(b.x), Y: foot - 8}) // DrawGlyph of c draws nothing outside
	style := textStyle(sans(8), ink)
	style.XAlign = draw.XCenter
	c.FillText(style, vg.Point{X: trX(b.x), Y: label + 2}, short(b.cost.Median))
}

// short writes a number that is 0 or more with three digits or those before the
// point.
func short(v float64) string {
	digits := 2
	for limit := 9.995; digits > 0 && v >= limit; limit *= 10 {
		digits--
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
