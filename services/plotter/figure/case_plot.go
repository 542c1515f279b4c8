package figure

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// RateWindow is what an arrival rate is counted over, in seconds.
const RateWindow = 30

const ratePanel = 0.85 * vg.Inch // height

func (c Case) page() (page, error) {
	panels, err := c.panels(1)
	if err != nil {
		return page{}, err
	}
	return page{Text: c.Text, width: bothColumns, height: 4.7 * vg.Inch, panels: panels, legend: c.legend()}, nil
}

func (c Case) legend() []legendEntry {
	var legend []legendEntry
	for _, s := range c.Series {
		legend = append(legend, legendEntry{s.Label, caseSample(s.Look)})
	}
	return legend
}

// panels are, one below the other, the rate of the arrivals if they are known,
// the configurations, and the requests with marks of a size.
func (c Case) panels(mark float64) (grid, error) {
	var g grid
	if len(c.Arrivals) > 0 {
		rate, err := c.rate()
		if err != nil {
			return nil, err
		}
		g = append(g, gridRow{panels: []*plot.Plot{rate}, height: ratePanel})
	}
	g = append(g, gridRow{panels: []*plot.Plot{c.strips()}, height: stripHeight * vg.Length(len(c.Series))})
	latency, err := c.latencies(mark)
	if err != nil {
		return nil, err
	}
	return append(g, gridRow{panels: []*plot.Plot{latency}}), nil
}

// panel returns axes over the time of the case, with a line at every change of
// a configuration.
func (c Case) panel() *plot.Plot {
	p := newPlot()
	p.X.Min, p.X.Max = 0, c.end()
	p.Add(verticals{c.changes(), draw.LineStyle{Color: ruleOfChange, Width: 0.8, Dashes: []vg.Length{2, 2}}})
	return p
}

// withoutTimes leaves the labels of the time axis to the panel below.
func withoutTimes(p *plot.Plot) {
	p.X.Tick.Marker = plot.ConstantTicks(nil)
	p.X.Tick.Length = 0
}

// latencies is the panel of the requests.
func (c Case) latencies(mark float64) (*plot.Plot, error) {
	p := c.panel()
	p.X.Label.Text = "Arrival (s)"
	p.X.Tick.Marker = plot.TickerFunc(timeTicks)
	p.Y.Label.Text = latencyAxis
	most := smallestRange
	for _, s := range slices.Backward(c.Series) { // the first is on top
		points := make(plotter.XYs, len(s.Requests))
		for i, r := range s.Requests {
			points[i] = plotter.XY{X: r.Arrived, Y: r.Latency}
			most = max(most, r.Latency)
		}
		slices.SortStableFunc(points, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
		l := requestLook(s.Look).scaled(mark)
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.LineStyle = l.line
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return nil, err
		}
		dots.GlyphStyle = l.marker
		p.Add(line, dots)
	}
	p.X.Min, p.X.Max = 0, c.end()
	p.Y.Min, p.Y.Max = 0, most*headroom
	return p, nil
}

// requestLook makes the marks of a look small enough for hundreds of them.
func requestLook(n int) look {
	l := lookOf(n)
	l.line.Width = 0.5
	l.line.Dashes = nil
	l.marker.Radius *= 0.4
	return l
}

// caseSample is the mark of a look in the legend, where it can be larger.
func caseSample(n int) sample {
	l := requestLook(n)
	l.marker.Radius = lookOf(n).marker.Radius
	return l.lineSample()
}

// rate is the panel of the arrival rate.
func (c Case) rate() (*plot.Plot, error) {
	p := c.panel()
	withoutTimes(p)
	p.Y.Label.Text = "Requests/s"
	points := c.rates()
	line, err := plotter.NewLine(points)
	if err != nil {
		return nil, err
	}
	line.LineStyle = draw.LineStyle{Color: ink, Width: 1}
	p.Add(line)
	p.X.Min, p.X.Max = 0, c.end()
	p.Y.Min, p.Y.Max = 0, max(p.Y.Max*headroom, smallestRange)
	return p, nil
}

// rates are the corners of the arrival rate over time: a step a window. The
// last window ends with the axis.
func (c Case) rates() plotter.XYs {
	end := c.end()
	counts := make([]int, int(math.Ceil(end/RateWindow)))
	for _, at := range c.Arrivals {
		counts[min(int(at/RateWindow), len(counts)-1)]++
	}
	var points plotter.XYs
	for i, n := range counts {
		from, to := float64(i)*RateWindow, min(float64(i+1)*RateWindow, end)
		rate := float64(n) / (to - from)
		points = append(points, plotter.XY{X: from, Y: rate}, plotter.XY{X: to, Y: rate})
	}
	return points
}

// verticals are lines across a panel at some times.
type verticals struct {
	at []float64
	draw.LineStyle
}

// Plot implements plot.Plotter.
func (v verticals) Plot(c draw.Canvas, p *plot.Plot) {
	trX, _ := p.Transforms(&c)
	for _, at := range v.at {
		c.StrokeLine2(v.LineStyle, trX(at), c.Min.Y, trX(at), c.Max.Y)
	}
}
