package plotter

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// Price makes Figure 7: cost against average and P99 latency, of the fixed
// on-demand fleets as a line and of each approach on the four traces as points.
func Price(ctx context.Context, r store.Reader, q Query) (Figure, error) {
	s := sheet{
		name: "price", kinds: []experiment.Kind{experiment.OnDemand, experiment.EndToEnd}, places: pricePlaces(), traces: true,
		command: func(Query) string { return "spotserve ondemand 4" },
	}
	c, err := s.collect(ctx, r, q)
	if err != nil {
		return Figure{}, err
	}
	first := c.runs[0]
	notes := c.notes()
	if slices.ContainsFunc(c.runs, func(m Measured) bool { return strings.HasSuffix(m.Trace, "+o") }) {
		notes = append(notes, "on As+o and Bs+o, what exceeds the nodes of As and Bs at that instant is taken for on-demand; which nodes were is not published")
	}
	p := figure.Price{Text: figure.Text{
		Title:   first.Model + ": cost and latency of spot and on-demand instances",
		Caption: c.caption(), Notes: notes,
	}}
	for _, cell := range c.cells {
		point := figure.PricePoint{Label: cell.point}
		for _, m := range cell.runs {
			point.Seeds = append(point.Seeds, figure.CostLatency{USDPerToken: m.USDPerToken, Avg: m.Latency.Avg, P99: m.Latency.P99})
		}
		if n := len(p.Series); n == 0 || p.Series[n-1].Look != cell.look {
			p.Series = append(p.Series, figure.PriceSeries{Label: cell.series, Look: cell.look, Joined: cell.look == onDemandLook})
		}
		last := &p.Series[len(p.Series)-1]
		last.Points = append(last.Points, point)
	}
	return Figure{
		Drawing: p, Name: FileName("price", first.Model, first.Arrivals, first.Quirks),
		Runs: c.names(), Missing: c.missing(),
	}, nil
}

// onDemandLook is that of the fixed fleets, after those of the approaches.
const onDemandLook = 3

// pricePlaces are the cells of the four traces and the published fleets.
func pricePlaces() []place {
	places := tracePlaces(spotTraces())
	for _, nodes := range []int{3, 4, 6, 8} {
		places = append(places, place{
			name: "ondemand", series: "On-demand fleets", point: fmt.Sprintf("%d nodes", nodes), look: onDemandLook,
			holds: func(run store.Run) bool {
				return run.Kind == string(experiment.OnDemand) && run.Trace == fmt.Sprintf("on-demand-%d", nodes)
			},
		})
	}
	return places
}
