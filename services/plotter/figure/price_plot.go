package figure

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// plot builds one panel: cost against one statistic of the latency. That axis
// is logarithmic, because a fleet that is too small is slower by a factor.
func (p Price) plot(label string, latency func(CostLatency) float64) (*plot.Plot, error) {
	exponent, unit := p.costUnit()
	panel := newPlot()
	panel.X.Label.Text = fmt.Sprintf("Cost (1e%d USD per token)", exponent)
	if exponent == 0 {
		panel.X.Label.Text = "Cost (USD per token)"
	}
	panel.X.Tick.Marker = plot.TickerFunc(roundTicks)
	panel.Y.Label.Text = label
	panel.Y.Tick.Marker = logTicks(8)

	var marks []plot.Plotter
	var tags tags
	for _, s := range slices.Backward(p.Series) { // the first is on top
		l := pointLook(s.Look)
		points := s.spreads(unit, latency)
		if s.Joined {
			line, err := plotter.NewLine(points)
			if err != nil {
				return nil, err
			}
			line.LineStyle = l.line
			line.Width = 1
			marks = append(marks, line)
			tags.lines = append(tags.lines, line.XYs)
		}
		bars, err := points.whiskers(l)
		if err != nil {
			return nil, err
		}
		markers, err := plotter.NewScatter(points)
		if err != nil {
			return nil, err
		}
		markers.GlyphStyle = l.marker
		marks = append(marks, bars...)
		tags.lines = append(tags.lines, points.crosses()...)
		marks = append(marks, markers)
		for i, pt := range s.Points {
			tags.add(markers.XYs[i], pt.Label, l)
		}
	}
	panel.Add(marks...)
	panel.Add(&tags)
	panel.X.Min, panel.X.Max = widened(panel.X.Min, panel.X.Max)
	panel.Y.Min, panel.Y.Max = widenedLog(math.Pow(10, panel.Y.Min), math.Pow(10, panel.Y.Max))
	return panel, nil
}

// pointLook makes the markers of a look smaller, as points of one trace are near
// each other.
func pointLook(n int) look {
	l := lookOf(n)
	l.marker.Radius *= 0.85
	return l
}

// pricePoints are medians with their spreads, in the units of the axes; the
// latency is a logarithm. It
// implements the interfaces of the plotting library.
type pricePoints struct{ cost, latency []Spread }

func (s PriceSeries) spreads(unit float64, latency func(CostLatency) float64) pricePoints {
	var p pricePoints
	for _, pt := range s.Points {
		p.cost = append(p.cost, SpreadOf(pt.Seeds, func(v CostLatency) float64 { return v.USDPerToken / unit }))
		p.latency = append(p.latency, SpreadOf(pt.Seeds, func(v CostLatency) float64 { return max(latency(v), smallestLatency) }).log())
	}
	return p
}

func (p pricePoints) Len() int                { return len(p.cost) }
func (p pricePoints) XY(i int) (x, y float64) { return p.cost[i].Median, p.latency[i].Median }

func (p pricePoints) XError(i int) (low, high float64) { return p.cost[i].errors() }
func (p pricePoints) YError(i int) (low, high float64) { return p.latency[i].errors() }

// whiskers show the spreads of both axes, without caps: those of points that
// are near each other would hide the markers.
func (p pricePoints) whiskers(l look) ([]plot.Plotter, error) {
	x, err := plotter.NewXErrorBars(p)
	if err != nil {
		return nil, err
	}
	y, err := plotter.NewYErrorBars(p)
	if err != nil {
		return nil, err
	}
	x.LineStyle, x.CapWidth = l.whisker(), 0
	y.LineStyle, y.CapWidth = l.whisker(), 0
	return []plot.Plotter{x, y}, nil
}

// crosses are the lines of the whiskers.
func (p pricePoints) crosses() []plotter.XYs {
	var lines []plotter.XYs
	for i := range p.cost {
		c, l := p.cost[i], p.latency[i]
		lines = append(lines,
			plotter.XYs{{X: c.Min, Y: l.Median}, {X: c.Max, Y: l.Median}},
			plotter.XYs{{X: c.Median, Y: l.Min}, {X: c.Median, Y: l.Max}})
	}
	return lines
}

// widened adds a margin to the range of a linear axis.
func widened(low, high float64) (from, to float64) {
	const margin, least = 0.1, 0.5 // of the span, of the largest value
	span := max(high-low, high*least, smallestRange)
	return max(0, low-span*margin), high + span*margin
}
