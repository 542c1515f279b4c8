package figure

import (
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// How a sweep is laid out.
const (
	sweepPanel  = 1.7 * vg.Inch  // height
	sweepPanels = 1.45 * vg.Inch // height of one of many
	sweepAxis   = vg.Length(45)  // width of a y axis with its labels
	// wideRange is the factor between values from which on an axis is logarithmic.
	wideRange = 20
)

func (s Sweep) page() (page, error) {
	pg := page{Text: s.Text, width: bothColumns}
	metrics := sweepMetrics()
	var rows [4][]*plot.Plot
	for i, of := range metrics {
		low, high := s.bounds(of)
		for _, panel := range s.Panels {
			p, err := s.plot(of, panel, low, high)
			if err != nil {
				return page{}, err
			}
			rows[i] = append(rows[i], p)
		}
	}
	if len(s.Panels) == 1 { // two beside two
		pg.panels = grid{
			{panels: []*plot.Plot{rows[0][0], rows[1][0]}, height: sweepPanel},
			{panels: []*plot.Plot{rows[2][0], rows[3][0]}, height: sweepPanel},
		}
		for _, p := range []*plot.Plot{rows[0][0], rows[1][0]} {
			p.X.Label.Text = ""
		}
	} else {
		for i, row := range rows {
			of := gridRow{panels: row, height: sweepPanels}
			for j, p := range row {
				if j > 0 {
					p.Y.Label.Text = ""
				}
				if i < len(rows)-1 {
					p.X.Label.Text = ""
				}
			}
			if i == 0 {
				for _, panel := range s.Panels {
					of.names = append(of.names, panel.Title)
				}
			}
			pg.panels = append(pg.panels, of)
		}
	}
	var met []int
	for _, panel := range s.Panels {
		for _, l := range panel.Lines {
			if l.Label != "" && !slices.Contains(met, l.Look) {
				met = append(met, l.Look)
				pg.legend = append(pg.legend, legendEntry{l.Label, s.sample(l.Look)})
			}
		}
	}
	return pg, nil
}

// sample shows a line where points are joined.
func (s Sweep) sample(n int) sample {
	if len(s.Values) == 0 {
		return lookOf(n).markerSample()
	}
	return lookOf(n).lineSample()
}

// bounds are the least and the largest value of a metric in all panels, so that
// these can share an axis; both are 0 if there is none.
func (s Sweep) bounds(of sweepMetric) (low, high float64) {
	low = math.Inf(1)
	for _, panel := range s.Panels {
		for _, l := range panel.Lines {
			for _, pt := range l.Points {
				for _, m := range pt.Seeds {
					if v := of.value(m); !math.IsNaN(v) {
						low, high = min(low, v), max(high, v)
					}
				}
			}
		}
	}
	return min(low, high), high
}

// logarithmic tells whether an axis over a range is.
func logarithmic(low, high float64) bool { return low > 0 && high/low >= wideRange }

// plot builds the panel of one metric.
func (s Sweep) plot(of sweepMetric, panel SweepPanel, low, high float64) (*plot.Plot, error) {
	p := newPlot()
	smallTicks(p, smallText+1)
	p.Y.Label.Text = of.name
	log := of.most == 0 && logarithmic(low, high)
	if log {
		p.Y.Label.Text += ", log"
		p.Y.Tick.Marker = logTicks(5)
	}
	var bands, lines []plot.Plotter
	for i, l := range panel.Lines {
		dx := 0.0
		if len(s.Values) == 0 {
			dx = (float64(i) - float64(len(panel.Lines)-1)/2) * min(dodge, 0.7/float64(len(panel.Lines)))
		}
		look := lookOf(l.Look).scaled(0.8)
		seeds := slices.ContainsFunc(l.Points, func(pt SweepPoint) bool { return len(pt.Seeds) > 1 })
		for _, points := range s.points(l, of, dx, log) {
			if len(s.Values) > 0 {
				line, err := points.line(look)
				if err != nil {
					return nil, err
				}
				lines = append(lines, line)
				if seeds && points.Len() > 1 {
					band, err := points.band(look)
					if err != nil {
						return nil, err
					}
					bands = append(bands, band)
				}
			}
			marks, err := points.markers(look, seeds, whiskerCap*0.6)
			if err != nil {
				return nil, err
			}
			lines = append(lines, marks...)
		}
	}
	p.Add(bands...)
	p.Add(lines...)
	s.scale(p) // after Add, which widens axes
	switch {
	case of.most > 0:
		p.Y.Min, p.Y.Max = 0, of.most*headroom
	case log:
		p.Y.Min, p.Y.Max = widenedLog(low, high)
	default:
		p.Y.Min, p.Y.Max = 0, max(high*headroom, smallestRange)
	}
	return p, nil
}

// scale sets the x axis up: numbers or names. All panels have the same.
func (s Sweep) scale(p *plot.Plot) {
	p.X.Label.Text = s.XName
	n := len(s.Values)
	if n == 0 {
		p.X.Min, p.X.Max = -0.5, float64(len(s.X))-0.5
		ticks := make(plot.ConstantTicks, len(s.X))
		for i, name := range s.X {
			ticks[i] = plot.Tick{Value: float64(i), Label: name}
		}
		p.X.Tick.Marker, p.X.Tick.Length = ticks, 0
		return
	}
	low, high := s.Values[0], s.Values[n-1]
	if logarithmic(low, high) {
		p.X.Label.Text += ", log"
		p.X.Min, p.X.Max = widenedLog(low, high)
	} else {
		span := max(high-low, math.Abs(high)/2, smallestRange) * 0.06
		p.X.Min, p.X.Max = low-span, high+span
	}
	from, to := p.X.Min, p.X.Max
	panels := vg.Length(max(len(s.Panels), 2)) // one is beside another metric
	room := (bothColumns-2*border-columnGap*(panels-1))/panels - sweepAxis
	style := textStyle(p.X.Tick.Label.Font, ink)
	p.X.Tick.Marker = valueTicks(s.onAxis(), s.X,
		func(v float64) float64 { return (v - from) / (to - from) },
		func(label string) float64 { return float64((style.Width(label) + 4) / safeWidth / room) })
}

// onAxis are the values as they stand on the x axis.
func (s Sweep) onAxis() []float64 {
	n := len(s.Values)
	if !logarithmic(s.Values[0], s.Values[n-1]) {
		return s.Values
	}
	logs := make([]float64, n)
	for i, v := range s.Values {
		logs[i] = math.Log10(v)
	}
	return logs
}

// points are the medians of a line that has the metric, in stretches: a line is
// broken where a point has it not. Points are moved by dx.
func (s Sweep) points(l SweepLine, of sweepMetric, dx float64, log bool) []spreadPoints {
	var stretches []spreadPoints
	broken := true
	for _, pt := range l.Points {
		var values []float64
		for _, m := range pt.Seeds {
			if v := of.value(m); !math.IsNaN(v) {
				values = append(values, v)
			}
		}
		if len(values) == 0 {
			broken = true
			continue
		}
		if broken {
			stretches, broken = append(stretches, spreadPoints{}), false
		}
		x := float64(pt.X) + dx
		if len(s.Values) > 0 {
			x = s.onAxis()[pt.X]
		}
		spread := SpreadOf(values, func(v float64) float64 { return v })
		if log {
			spread = spread.log()
		}
		last := &stretches[len(stretches)-1]
		last.x, last.spread = append(last.x, x), append(last.spread, spread)
	}
	return stretches
}
