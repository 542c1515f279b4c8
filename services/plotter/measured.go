package plotter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// measuredRun is a run with its latencies.
type measuredRun struct {
	store.Run
	summary store.LatencySummary
}

func (m measuredRun) latencies() figure.Latencies {
	s := m.summary
	return figure.Latencies{s.Avg, s.P90, s.P95, s.P96, s.P97, s.P98, s.P99}
}

// cell is the runs of a place, one a seed, by seed.
type cell struct {
	place
	runs []measuredRun
}

// contents is what a query finds for a figure. It has at least one run.
type contents struct {
	runs  []measuredRun // all, in the order of their start
	cells []cell        // those of the sheet's places that have runs, in order
	empty []place       // the other places
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
		summary, err := store.Summary(ctx, r, run.Run)
		switch {
		case err != nil:
			return contents{}, fmt.Errorf("plot %s: %w", s.name, err)
		case summary.N == 0:
			c.unmeasured = append(c.unmeasured, run)
		default:
			c.runs = append(c.runs, measuredRun{run, summary})
		}
	}
	if len(c.runs) == 0 {
		return contents{}, &RefusedError{"plot " + s.name + ": " + noneCompleted(c.unmeasured)}
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
func (p place) of(runs []measuredRun) []measuredRun {
	var found []measuredRun
	for _, m := range runs {
		if p.holds(m.Run) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b measuredRun) int { return cmp.Compare(a.Seed, b.Seed) })
	return found
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
