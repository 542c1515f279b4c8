package figure

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Heights of a strip: a bar with the names of its parts above.
const (
	stripHeight = vg.Length(18.5)
	barHeight   = vg.Length(4.5)
	leader      = vg.Length(4) // from a change up to its name
	nameGap     = vg.Length(3)
	// farthest is how far a name can be from its change and still be read with
	// it.
	farthest = vg.Length(30)
)

func stripStyle(l look) text.Style { return textStyle(sans(7.5), l.line.Color) }

// strips is the panel of the configurations: a strip for each run, divided
// where its configuration changed, with the names above.
func (c Case) strips() *plot.Plot {
	p := newPlot()
	withoutTimes(p)
	p.X.Min, p.X.Max = 0, c.end()
	p.X.LineStyle.Width, p.Y.LineStyle.Width = 0, 0
	p.Y.Tick.Marker = plot.ConstantTicks(nil)
	p.Y.Min, p.Y.Max = 0, float64(len(c.Series))
	p.Add(strips{c.Series, c.end()})
	return p
}

type strips struct {
	series []CaseSeries
	end    float64
}

// Plot implements plot.Plotter.
func (s strips) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	for i, series := range s.series {
		l := lookOf(series.Look)
		bottom := trY(float64(len(s.series)-1-i)) + 1
		top := bottom + barHeight
		var spans []span
		for j, config := range series.Configs {
			if config.At >= s.end {
				break
			}
			until := s.end
			if j+1 < len(series.Configs) {
				until = min(until, series.Configs[j+1].At)
			}
			spans = append(spans, span{from: trX(config.At), to: trX(until), name: config.Name})
		}
		style := stripStyle(l)
		placeNames(spans, c.Max.X, func(name string) vg.Length { return style.Width(name)/safeWidth + nameGap })
		border := draw.LineStyle{Color: l.line.Color, Width: 0.8}
		for _, sp := range spans {
			c.FillPolygon(l.tint, []vg.Point{{X: sp.from, Y: bottom}, {X: sp.to, Y: bottom}, {X: sp.to, Y: top}, {X: sp.from, Y: top}})
		}
		if len(spans) > 0 {
			c.StrokeLine2(border, spans[0].from, bottom, c.Max.X, bottom)
		}
		for _, sp := range spans {
			c.StrokeLine2(border, sp.from, bottom, sp.from, top)
			if sp.hidden {
				continue
			}
			c.StrokeLine2(border, sp.from, top, sp.at, top+leader)
			c.FillText(style, vg.Point{X: sp.at + 1, Y: top + leader - 1}, sp.name)
		}
	}
}

// span is a part of a strip and where its name begins.
type span struct {
	from, to, at vg.Length
	name         string
	hidden       bool // there is no room for the name
}

// placeNames puts the name of each span at its beginning, or as near as the
// other names and the right edge allow, in the order of the spans. A name that
// would end too far away, or push a longer span's name there, is hidden.
func placeNames(spans []span, right vg.Length, width func(string) vg.Length) {
	longestFirst := make([]*span, len(spans))
	for i := range spans {
		spans[i].hidden = true
		longestFirst[i] = &spans[i]
	}
	slices.SortStableFunc(longestFirst, func(a, b *span) int { return cmp.Compare(b.to-b.from, a.to-a.from) })
	for _, s := range longestFirst {
		s.hidden = false
		s.hidden = shift(spans, right, width) > farthest
	}
	shift(spans, right, width)
}

// shift places the names that are not hidden and returns how far the farthest
// is from where it belongs: infinitely, if it is left of the strip.
func shift(spans []span, right vg.Length, width func(string) vg.Length) vg.Length {
	free := vg.Length(0)
	for i := range spans {
		if s := &spans[i]; !s.hidden {
			s.at = max(s.from, free)
			free = s.at + width(s.name)
		}
	}
	most := vg.Length(0)
	for i := len(spans) - 1; i >= 0; i-- {
		if s := &spans[i]; !s.hidden {
			s.at = min(s.at, right-width(s.name))
			right = s.at
			most = max(most, s.at-s.from, s.from-s.at)
			if s.at < spans[0].from {
				most = vg.Length(math.Inf(1))
			}
		}
	}
	return most
}
