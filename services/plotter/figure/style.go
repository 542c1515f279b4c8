package figure

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The widths of figures in a two-column paper, and the height of most.
const (
	columnAndHalf = 5.4 * vg.Inch
	bothColumns   = 7.2 * vg.Inch
	usualHeight   = 3.7 * vg.Inch
)

const whiskerCap = vg.Length(4)

var (
	ink   = color.Gray{0x20}
	faint = color.Gray{0x59}
	rule  = color.Gray{0xd9}
	// ruleOfChange marks an instant. It is darker than the grid.
	ruleOfChange = color.Gray{0xa0}
)

// look is how a series is drawn. Colour, marker and dashes all differ, so that
// a series is known by any one of them.
type look struct {
	line   draw.LineStyle
	marker draw.GlyphStyle
	tint   color.Color // of the band; opaque, as PDF and SVG blend unlike PNG
}

// whisker is a thin unbroken line of the same colour.
func (l look) whisker() draw.LineStyle {
	return draw.LineStyle{Color: l.line.Color, Width: 0.8}
}

// scaled is the look with marks of another size.
func (l look) scaled(size float64) look {
	if size == 1 {
		return l
	}
	f := vg.Length(size)
	l.line.Width *= f
	l.line.Dashes = slices.Clone(l.line.Dashes)
	for i := range l.line.Dashes {
		l.line.Dashes[i] *= f
	}
	l.marker.Radius *= f
	return l
}

// lineSample is a line with a marker for the legend.
func (l look) lineSample() sample {
	return sample{lineWidth, func(c draw.Canvas) {
		c.StrokeLine2(l.line, c.Min.X, c.Center().Y, c.Max.X, c.Center().Y)
		c.DrawGlyph(l.marker, c.Center())
	}}
}

// markerSample is a marker for the legend of points without a line.
func (l look) markerSample() sample {
	return sample{markerWidth, func(c draw.Canvas) { c.DrawGlyph(l.marker, c.Center()) }}
}

// numLooks is how many looks there are before they repeat.
const numLooks = 8

// lookOf returns look n; they repeat. The colours of the first four are those of
// Paul Tol's high-contrast scheme, darkened for thin lines: apart for every kind
// of colour vision, and in grey. Further ones are told apart by their markers
// and dashes where their colours are not.
func lookOf(n int) look {
	type def struct {
		colour, tint color.RGBA
		shape        draw.GlyphDrawer
		radius       vg.Length
		dashes       []vg.Length
	}
	defs := []def{
		{rgb(0x004488), rgb(0xd3dfec), draw.CircleGlyph{}, 3.1, nil},
		{rgb(0xc79100), rgb(0xf8edd2), draw.PyramidGlyph{}, 3.8, []vg.Length{5, 2.5}},
		{rgb(0xa33b4d), rgb(0xf3dfe3), draw.BoxGlyph{}, 3.3, []vg.Length{1.5, 2}},
		{rgb(0x000000), rgb(0xe6e6e6), hollowCircle{}, 3.1, []vg.Length{6, 2, 1.5, 2}},
		{rgb(0x1b7f6e), rgb(0xd0e6e2), polygon{corners: 4}, 4.1, []vg.Length{8, 3}},
		{rgb(0x7446b0), rgb(0xe3daf0), polygon{corners: 3, turn: 0.5}, 3.9, []vg.Length{4, 1.5, 1, 1.5, 1, 1.5}},
		{rgb(0x4299d4), rgb(0xd9ebf7), polygon{corners: 4, turn: 0.125, hollow: true}, 3.9, []vg.Length{3, 3}},
		{rgb(0x7a5230), rgb(0xe6dcd4), polygon{corners: 6}, 3.6, []vg.Length{10, 2.5, 2.5, 2.5}},
	}
	d := defs[((n%len(defs))+len(defs))%len(defs)]
	return look{
		line:   draw.LineStyle{Color: d.colour, Width: 1.6, Dashes: d.dashes},
		marker: draw.GlyphStyle{Color: d.colour, Radius: d.radius, Shape: d.shape},
		tint:   d.tint,
	}
}

// hollowCircle is a circle that hides what is behind it.
type hollowCircle struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (hollowCircle) DrawGlyph(c *draw.Canvas, s draw.GlyphStyle, at vg.Point) {
	c.SetColor(color.White)
	draw.CircleGlyph{}.DrawGlyph(c, s, at)
	c.SetColor(s.Color)
	draw.RingGlyph{}.DrawGlyph(c, s, at)
}

// polygon is a regular polygon with a corner at the top, turned by a part of a
// whole turn. A hollow one hides what is behind it.
type polygon struct {
	corners int
	turn    float64
	hollow  bool
}

// DrawGlyph implements draw.GlyphDrawer.
func (g polygon) DrawGlyph(c *draw.Canvas, s draw.GlyphStyle, at vg.Point) {
	var path vg.Path
	for i := range g.corners {
		angle := 2 * math.Pi * (0.25 + g.turn + float64(i)/float64(g.corners))
		corner := vg.Point{X: at.X + s.Radius*vg.Length(math.Cos(angle)), Y: at.Y + s.Radius*vg.Length(math.Sin(angle))}
		if i == 0 {
			path.Move(corner)
		} else {
			path.Line(corner)
		}
	}
	path.Close()
	c.SetColor(s.Color)
	if g.hollow {
		c.SetColor(color.White)
	}
	c.Fill(path)
	if g.hollow {
		c.SetLineStyle(draw.LineStyle{Color: s.Color, Width: 1})
		c.Stroke(path)
	}
}

func rgb(hex uint32) color.RGBA {
	return color.RGBA{uint8(hex >> 16), uint8(hex >> 8), uint8(hex), 0xff}
}

// newPlot returns axes in the style of all figures, with a horizontal grid.
func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle = draw.LineStyle{Color: ink, Width: 0.8}
		axis.Tick.LineStyle = axis.LineStyle
		axis.Tick.Label.Font = sans(9.5)
		axis.Tick.Label.Color = ink
		axis.Label.TextStyle.Font = sans(10)
		axis.Label.TextStyle.Color = ink
		axis.Label.Padding = 4
		axis.Padding = 0
	}
	p.X.Tick.Length = 3
	p.Y.Tick.Length = 4
	p.Y.Tick.Marker = plot.TickerFunc(roundTicks)
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal = draw.LineStyle{Color: rule, Width: 0.6}
	p.Add(grid)
	return p
}

// smallTicks makes the text of both axes small, for one panel of many.
func smallTicks(p *plot.Plot, size vg.Length) {
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Tick.Label.Font = sans(size)
		axis.Label.TextStyle.Font = sans(size + 0.5)
		axis.Label.Padding = 2
		if axis.LineStyle.Width > 0 { // else it is not shown
			axis.LineStyle.Width, axis.Tick.LineStyle.Width = 0.6, 0.6
		}
	}
	p.X.Tick.Length, p.Y.Tick.Length = 2, 2.5
}

// blank is a panel without axes.
func blank() *plot.Plot {
	p := newPlot()
	p.HideAxes()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	return p
}

// empty is a panel that says why nothing is in it.
func empty(why string) *plot.Plot {
	p := newPlot()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(nil), plot.ConstantTicks(nil)
	p.X.LineStyle.Color, p.Y.LineStyle.Color = rule, rule
	p.Add(centred(why))
	return p
}

// centred is text in the middle of a panel.
type centred string

// Plot implements plot.Plotter.
func (t centred) Plot(c draw.Canvas, _ *plot.Plot) {
	style := textStyle(sans(8), faint)
	style.XAlign, style.YAlign = draw.XCenter, draw.YCenter
	c.FillText(style, c.Center(), string(t))
}

// sans is the one font of all figures. There is no bold: the library cannot
// put it into a PDF.
func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

func textStyle(f font.Font, c color.Color) text.Style {
	return text.Style{Font: f, Color: c, Handler: plot.DefaultTextHandler}
}
