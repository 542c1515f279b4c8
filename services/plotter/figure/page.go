package figure

import (
	"image/color"
	"strings"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// page is a figure with all that stands around it: title, caption and legend
// above the panels, notes below.
type page struct {
	Text
	legend []legendEntry
	panels grid
	width  vg.Length
	// height of the page, if its text leaves the panels enough of that.
	height vg.Length
}

// legendEntry is a label beside a sample of what it stands for.
type legendEntry struct {
	label  string
	sample sample
}

// sample is a picture in the legend, as high as all.
type sample struct {
	width vg.Length
	draw  func(draw.Canvas)
}

// Distances on a page.
const (
	border      = vg.Length(8)
	leading     = 1.3 // line height, in font sizes
	sectionSkip = vg.Length(5)
	sampleGap   = vg.Length(4)
	entryGap    = vg.Length(14)
	raise       = 0.1 // of text beside a sample, in font sizes: the eye aligns small letters
	safeWidth   = 0.9 // of a line: a reader of the SVG may have a wider font
)

// The sizes of samples in the legend.
const (
	sampleHeight = vg.Length(8)
	lineWidth    = vg.Length(26)
	markerWidth  = vg.Length(8)
)

// Text styles of a page.
func titleStyle() text.Style  { return textStyle(sans(12), ink) }
func smallStyle() text.Style  { return textStyle(sans(8.5), faint) }
func legendStyle() text.Style { return textStyle(sans(9.5), ink) }

// layout is a page with its text in lines.
type layout struct {
	title, caption, notes []string
	legend                [][]legendEntry // in rows
	panels                grid
	usual                 vg.Length // height
}

func (p page) layout() layout {
	inner := p.width - 2*border
	l := layout{
		title:   wrap(titleStyle(), inner, strings.Fields(p.Title), " "),
		caption: wrap(smallStyle(), inner, p.Caption, " · "),
		panels:  p.panels,
		usual:   p.height,
	}
	for _, n := range p.Notes {
		l.notes = append(l.notes, wrap(smallStyle(), inner, strings.Fields(n), " ")...)
	}
	x := vg.Length(0)
	for _, e := range p.legend {
		w := entryWidth(e) + entryGap
		if len(l.legend) == 0 || x+w > inner {
			l.legend = append(l.legend, nil)
			x = 0
		}
		row := &l.legend[len(l.legend)-1]
		*row = append(*row, e)
		x += w
	}
	return l
}

// height of the whole page. Much text makes it higher than others, so that the
// panels stay readable.
func (l layout) height() vg.Length {
	return max(l.usual, 2*border+l.above()+l.panels.leastHeight()+l.below())
}

// above is the height of what stands above the panels, below that of the notes.
func (l layout) above() vg.Length {
	return linesHeight(titleStyle(), len(l.title)) + linesHeight(smallStyle(), len(l.caption)) +
		linesHeight(legendStyle(), len(l.legend)) + 2*sectionSkip
}

func (l layout) below() vg.Length {
	if len(l.notes) == 0 {
		return 0
	}
	return sectionSkip + linesHeight(smallStyle(), len(l.notes))
}

func (l layout) draw(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, border, -border, border, -border)

	head := linesAtTop(c, titleStyle(), l.title)
	head = linesAtTop(head, smallStyle(), l.caption)
	head.Max.Y -= sectionSkip
	for _, row := range l.legend {
		drawRow(head, row)
		head.Max.Y -= lineHeight(legendStyle())
	}
	foot := c
	foot.Max.Y = c.Min.Y + linesHeight(smallStyle(), len(l.notes))
	linesAtTop(foot, smallStyle(), l.notes)
	l.panels.draw(draw.Crop(c, 0, 0, l.below(), -l.above()))
}

func entryWidth(e legendEntry) vg.Length {
	style := legendStyle()
	return e.sample.width + sampleGap + style.Width(e.label)
}

// drawRow draws a row of the legend at the top of the canvas.
func drawRow(c draw.Canvas, row []legendEntry) {
	style := legendStyle()
	style.YAlign = draw.YCenter
	x, y := c.Min.X, c.Max.Y-lineHeight(style)/2
	for _, e := range row {
		e.sample.draw(draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: x, Y: y - sampleHeight/2}, Max: vg.Point{X: x + e.sample.width, Y: y + sampleHeight/2},
		}})
		c.FillText(style, vg.Point{X: x + e.sample.width + sampleGap, Y: y + style.Font.Size*raise}, e.label)
		x += entryWidth(e) + entryGap
	}
}

func lineHeight(s text.Style) vg.Length { return s.Font.Size * leading }

func linesHeight(s text.Style, lines int) vg.Length { return vg.Length(lines) * lineHeight(s) }

// linesAtTop writes the lines and returns what is left below them.
func linesAtTop(c draw.Canvas, s text.Style, lines []string) draw.Canvas {
	s.YAlign = draw.YTop
	for _, line := range lines {
		c.FillText(s, vg.Point{X: c.Min.X, Y: c.Max.Y}, line)
		c.Max.Y -= lineHeight(s)
	}
	return c
}

// wrap joins the parts to lines that fit into limit, as far as single parts
// allow.
func wrap(s text.Style, limit vg.Length, parts []string, sep string) []string {
	var lines []string
	for _, part := range parts {
		if n := len(lines) - 1; n >= 0 && s.Width(lines[n]+sep+part) <= limit*safeWidth {
			lines[n] += sep + part
		} else {
			lines = append(lines, part)
		}
	}
	return lines
}
