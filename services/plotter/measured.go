package plotter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/platform/store"
)

// cell is the runs of a place, one a seed, by seed.
type cell struct {
	place
	runs []Measured
}

// contents is what a query finds for a figure. It has at least one run.
type contents struct {
	runs  []Measured // all, in the order of their start
	cells []cell     // those of the sheet's places that have runs, in order
	empty []place    // the other places
	// unmeasured are runs in which no request completed.
	unmeasured []store.Run
}

// collect selects the runs of a figure, measures them and puts each into its
// place.
func (s sheet) collect(ctx context.Context, r store.Reader, q Query) (contents, error) {
	runs, err := s.selectRuns(ctx, r, q)
	if err != nil {
		return contents{}, err
	}
	var c contents
	for _, run := range runs {
		m, err := Measure(ctx, r, run)
		switch {
		case err != nil:
			return contents{}, fmt.Errorf("plot %s: %w", s.name, err)
		case m.Latency.N == 0:
			c.unmeasured = append(c.unmeasured, run)
		default:
			c.runs = append(c.runs, m)
		}
	}
	if len(c.runs) == 0 {
		return contents{}, &RefusedError{Reason: "plot " + s.name + ": " + noneCompleted(c.unmeasured), NoRuns: true}
	}
	for _, p := range s.places {
		if found := p.of(c.runs); len(found) > 0 {
			c.cells = append(c.cells, cell{p, found})
		} else {
			c.empty = append(c.empty, p)
		}
	}
	return c, nil
}

// of returns the place's runs by seed.
func (p place) of(runs []Measured) []Measured {
	var found []Measured
	for _, m := range runs {
		if p.holds(m.Run) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b Measured) int { return cmp.Compare(a.Seed, b.Seed) })
	return found
}

// placesOf are the places of some cells.
func placesOf(cells []cell) []place {
	places := make([]place, len(cells))
	for i, c := range cells {
		places[i] = c.place
	}
	return places
}

// names are the names of the runs.
func (c contents) names() []string {
	names := make([]string, len(c.runs))
	for i, m := range c.runs {
		names[i] = m.Run.Run
	}
	return names
}

// missing names the places without a run; the points of a series are listed
// with it.
func (c contents) missing() []string {
	var names []string
	for i := 0; i < len(c.empty); {
		p := c.empty[i]
		var points []string
		for ; i < len(c.empty) && c.empty[i].name == p.name; i++ {
			points = append(points, c.empty[i].point)
		}
		if p.point != "" {
			p.name += " (" + strings.Join(points, ", ") + ")"
		}
		names = append(names, p.name)
	}
	return names
}

// bySeries joins the cells of each series.
func (c contents) bySeries() []cell {
	var series []cell
	for _, next := range c.cells {
		if n := len(series); n > 0 && series[n-1].series == next.series {
			series[n-1].runs = slices.Concat(series[n-1].runs, next.runs)
		} else {
			series = append(series, next)
		}
	}
	return series
}

func noneCompleted(runs []store.Run) string {
	names := make([]string, len(runs))
	for i, run := range runs {
		names[i] = describe(run)
	}
	return "no request completed in " + strings.Join(names, ", ")
}
