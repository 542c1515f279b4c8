package figure

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// tags are labels of points. Each is put where it hides least: beside its
// point, away from other labels, markers and lines.
type tags struct {
	at    []plotter.XY
	text  []string
	look  []look
	lines []plotter.XYs
}

func tagStyle() text.Style { return textStyle(sans(7.5), ink) }

func (t *tags) add(at plotter.XY, label string, l look) {
	t.at, t.text, t.look = append(t.at, at), append(t.text, label), append(t.look, l)
}

// Plot implements plot.Plotter.
func (t *tags) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	onCanvas := func(xy plotter.XY) vg.Point { return vg.Point{X: trX(xy.X), Y: trY(xy.Y)} }
	var obstacles []obstacle
	for i, xy := range t.at {
		at, r := onCanvas(xy), t.look[i].marker.Radius
		obstacles = append(obstacles, obstacle{box(at, vg.Point{X: -r, Y: -r}, vg.Point{X: 2 * r, Y: 2 * r}), overMarker})
	}
	for _, line := range t.lines {
		for i := range len(line) - 1 {
			obstacles = append(obstacles, dots(onCanvas(line[i]), onCanvas(line[i+1]))...)
		}
	}
	for i, xy := range t.at {
		style := tagStyle()
		style.Color = t.look[i].line.Color
		at, size := onCanvas(xy), style.Rectangle(t.text[i]).Size()
		place := bestPlace(places(at, t.look[i].marker.Radius, size), c.Rectangle, obstacles)
		obstacles = append(obstacles, obstacle{place.label, overLabel})
		if place.leader != nil {
			c.StrokeLines(draw.LineStyle{Color: style.Color, Width: 0.5}, place.leader)
			obstacles = append(obstacles, dots(place.leader[0], place.leader[1])...)
		}
		c.FillText(style, vg.Point{X: place.label.Min.X, Y: place.label.Min.Y + style.FontExtents().Descent}, t.text[i])
	}
}

// An obstacle is what a label should not hide, and how bad that would be.
type obstacle struct {
	vg.Rectangle
	badness float64 // by square point
}

// How bad it is to hide a square point.
const (
	overLine   = 6
	overMarker = 6
	overLabel  = 12
	overEdge   = 100
)

// How bad it is for a label to be a point away from its marker, and for a
// leader to cross a square point of something.
const (
	farther  = 1.2
	crossing = 1.5
)

// dots are obstacles along a line.
func dots(from, to vg.Point) []obstacle {
	const step, r = 2, vg.Length(1)
	n := int(math.Ceil(math.Hypot(float64(to.X-from.X), float64(to.Y-from.Y)) / step))
	var out []obstacle
	for i := range n {
		part := vg.Length(i) / vg.Length(n)
		at := vg.Point{X: from.X + (to.X-from.X)*part, Y: from.Y + (to.Y-from.Y)*part}
		out = append(out, obstacle{box(at, vg.Point{X: -r, Y: -r}, vg.Point{X: 2 * r, Y: 2 * r}), overLine})
	}
	return out
}

// place is where a label can stand. Away from its marker, a leader connects the
// two.
type place struct {
	label   vg.Rectangle
	leader  []vg.Point
	badness float64
}

// places are around a marker, near before far, and first at the right, the
// left, above and below.
func places(at vg.Point, radius vg.Length, size vg.Point) []place {
	const diagonal = math.Sqrt2 / 2
	directions := []struct{ x, y float64 }{
		{1, 0}, {-1, 0}, {0, 1}, {0, -1},
		{diagonal, diagonal}, {diagonal, -diagonal}, {-diagonal, diagonal}, {-diagonal, -diagonal},
	}
	const withLeader = 5 // points of distance
	var out []place
	for _, gap := range []vg.Length{1.5, 6, 11, 17, 24} {
		for _, d := range directions {
			x, y := vg.Length(d.x), vg.Length(d.y)
			near := vg.Point{X: at.X + x*(radius+gap), Y: at.Y + y*(radius+gap)}
			corner := vg.Point{X: (side(d.x) - 1) / 2 * size.X, Y: (side(d.y) - 1) / 2 * size.Y}
			p := place{label: box(near, corner, size), badness: farther * float64(gap)}
			if gap >= withLeader {
				p.leader = []vg.Point{{X: at.X + x*radius, Y: at.Y + y*radius}, near}
			}
			out = append(out, p)
		}
	}
	return out
}

// side is where a label stands along an axis: -1, 0 for the middle, or 1.
func side(direction float64) vg.Length {
	switch {
	case direction > 0:
		return 1
	case direction < 0:
		return -1
	}
	return 0
}

// bestPlace returns the place that does least harm, the first of equals.
func bestPlace(places []place, canvas vg.Rectangle, obstacles []obstacle) place {
	var best place
	least := math.Inf(1)
	for _, p := range places {
		const margin = 1 // around a label
		size := p.label.Size()
		bad := p.badness + overEdge*float64(size.X*size.Y-overlap(p.label, canvas))
		wide := box(p.label.Min, vg.Point{X: -margin}, vg.Point{X: size.X + 2*margin, Y: size.Y})
		for _, o := range obstacles {
			bad += o.badness * float64(overlap(wide, o.Rectangle))
		}
		if p.leader != nil {
			for _, dot := range dots(p.leader[0], p.leader[1]) {
				for _, o := range obstacles {
					bad += crossing * o.badness * float64(overlap(dot.Rectangle, o.Rectangle))
				}
			}
		}
		if bad < least-1e-6 {
			best, least = p, bad
		}
	}
	return best
}

func box(at, offset, size vg.Point) vg.Rectangle {
	low := at.Add(offset)
	return vg.Rectangle{Min: low, Max: low.Add(size)}
}

// overlap is the area that two rectangles share.
func overlap(a, b vg.Rectangle) vg.Length {
	x := min(a.Max.X, b.Max.X) - max(a.Min.X, b.Min.X)
	y := min(a.Max.Y, b.Max.Y) - max(a.Min.Y, b.Min.Y)
	return max(x, 0) * max(y, 0)
}
