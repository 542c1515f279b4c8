package figure

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// grid is the panels of a page, row below row, with as many in each. The data
// areas of a row and of a column are aligned.
type grid []gridRow

// gridRow is panels of equal width, side by side.
type gridRow struct {
	panels []*plot.Plot
	names  []string  // above the data area of each panel; none: no room is left for them
	height vg.Length // without the names; 0: what the other rows leave
}

// headHeight is the height of the row's names.
func (r gridRow) headHeight() vg.Length {
	if len(r.names) == 0 {
		return 0
	}
	return lineHeight(panelStyle()) + 2
}

func panelStyle() text.Style { return textStyle(sans(8.5), ink) }

// Distances of a grid.
const (
	leastPanel = 1.6 * vg.Inch // height of a panel that takes what is left, with its axes
	columnGap  = vg.Length(16)
	rowGap     = vg.Length(6)
)

// onePanel is a grid of one panel.
func onePanel(p *plot.Plot) grid { return grid{{panels: []*plot.Plot{p}}} }

// leastHeight is what the grid needs to be readable.
func (g grid) leastHeight() vg.Length {
	h := rowGap * vg.Length(len(g)-1)
	for _, row := range g {
		h += row.headHeight()
		if row.height > 0 {
			h += row.height
		} else {
			h += leastPanel
		}
	}
	return h
}

func (g grid) draw(c draw.Canvas) {
	cells := g.cells(c)
	columns := make([]edges, len(g[0].panels))
	rows := make([]edges, len(g))
	for i, row := range g {
		for j, p := range row.panels {
			e := edgesOf(p, cells[i][j])
			columns[j], rows[i] = columns[j].atLeast(e), rows[i].atLeast(e)
		}
	}
	for i, row := range g {
		for j, p := range row.panels {
			e := edgesOf(p, cells[i][j])
			p.Draw(draw.Crop(cells[i][j],
				columns[j].left-e.left, e.right-columns[j].right,
				rows[i].bottom-e.bottom, e.top-rows[i].top))
			if len(row.names) > 0 {
				style := panelStyle()
				style.XAlign = draw.XCenter
				cell := cells[i][j]
				middle := (cell.Min.X + columns[j].left + cell.Max.X - columns[j].right) / 2
				c.FillText(style, vg.Point{X: middle, Y: cell.Max.Y + style.FontExtents().Descent}, row.names[j])
			}
		}
	}
}

// edges are what a panel has around its data area.
type edges struct{ left, right, bottom, top vg.Length }

func edgesOf(p *plot.Plot, cell draw.Canvas) edges {
	data := p.DataCanvas(cell)
	return edges{
		left: data.Min.X - cell.Min.X, right: cell.Max.X - data.Max.X,
		bottom: data.Min.Y - cell.Min.Y, top: cell.Max.Y - data.Max.Y,
	}
}

func (e edges) atLeast(o edges) edges {
	return edges{max(e.left, o.left), max(e.right, o.right), max(e.bottom, o.bottom), max(e.top, o.top)}
}

// cells divides a canvas among the panels.
func (g grid) cells(c draw.Canvas) [][]draw.Canvas {
	free, flexible := c.Size().Y-rowGap*vg.Length(len(g)-1), 0
	for _, row := range g {
		free -= row.height + row.headHeight()
		if row.height == 0 {
			flexible++
		}
	}
	cells := make([][]draw.Canvas, len(g))
	top := c.Max.Y
	for i, row := range g {
		top -= row.headHeight()
		height := row.height
		if height == 0 {
			height = free / vg.Length(flexible)
		}
		n := vg.Length(len(row.panels))
		width := (c.Size().X - columnGap*(n-1)) / n
		for j := range row.panels {
			x := c.Min.X + vg.Length(j)*(width+columnGap)
			cells[i] = append(cells[i], draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
				Min: vg.Point{X: x, Y: top - height}, Max: vg.Point{X: x + width, Y: top},
			}})
		}
		top -= height + rowGap
	}
	return cells
}
