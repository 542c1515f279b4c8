package plotter

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// E2E makes one panel of Figure 6: of the newest finished run of each approach
// and seed, the average and tail latencies. An approach without such a run is
// named on the figure.
//
// A *RefusedError says that the store has no run that the query selects, or
// that the runs differ in their settings. Other errors are the store's. The
// same holds for all figures.
func E2E(ctx context.Context, r store.Reader, q Query) (Figure, error) {
	s := sheet{
		name: "e2e", kinds: []experiment.Kind{experiment.EndToEnd}, places: approachPlaces(),
		command: e2eCommand,
	}
	return s.tail(ctx, r, q, "end-to-end latency")
}

func e2eCommand(q Query) string {
	return fmt.Sprintf("spotserve e2e spotserve %s %s", cmp.Or(q.Model, "20B"), cmp.Or(q.Trace, "As"))
}

// WorkloadE2E makes a tail panel of Figure 8: what E2E shows, under a workload
// that fluctuates.
func WorkloadE2E(ctx context.Context, r store.Reader, q Query) (Figure, error) {
	s := workloadSheet("workload-e2e")
	return s.tail(ctx, r, q, "end-to-end latency under a fluctuating workload")
}

// workloadSheet is what the two kinds of panels of Figure 8 have in common.
func workloadSheet(name string) sheet {
	return sheet{
		name: name, kinds: []experiment.Kind{experiment.Workload}, places: approachPlaces(),
		command: func(q Query) string { return "spotserve workload spotserve " + cmp.Or(q.Trace, "A") },
	}
}

// approachPlaces is a place for each approach.
func approachPlaces() []place {
	var places []place
	for look, a := range approaches() {
		places = append(places, place{
			name: string(a), series: label(a), look: look,
			holds: func(run store.Run) bool { return run.Approach == string(a) },
		})
	}
	return places
}

// tracePlaces is a place for each approach on each trace.
func tracePlaces(traces []string) []place {
	var places []place
	for _, of := range approachPlaces() {
		for _, trace := range traces {
			p := of
			p.point = trace
			p.holds = func(run store.Run) bool { return of.holds(run) && run.Trace == trace }
			places = append(places, p)
		}
	}
	return places
}

// tail is the line of a cell.
func (c cell) tail() figure.TailSeries {
	line := figure.TailSeries{Label: c.series, Look: c.look}
	for _, m := range c.runs {
		line.Seeds = append(line.Seeds, m.latencies())
	}
	return line
}

// tail makes a figure with a line for each place.
func (s sheet) tail(ctx context.Context, r store.Reader, q Query, what string) (Figure, error) {
	c, err := s.collect(ctx, r, q)
	if err != nil {
		return Figure{}, err
	}
	first := c.runs[0]
	t := figure.Tail{Text: figure.Text{
		Title:   fmt.Sprintf("%s on %s: %s", first.Model, first.Trace, what),
		Caption: c.caption(), Notes: c.notes(),
	}}
	for _, cell := range c.cells {
		t.Series = append(t.Series, cell.tail())
	}
	return Figure{
		Drawing: t, Name: FileName(s.name, first.Model, first.Trace, first.Arrivals, first.Quirks),
		Runs: c.names(), Missing: c.missing(),
	}, nil
}
