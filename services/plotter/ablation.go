package plotter

import (
	"context"
	"fmt"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// levels are the ablation levels from 0 on, by their names on the axis and in
// text. Each also lacks what those before it lack.
var levels = []struct{ label, name string }{
	{"SpotServe", "SpotServe"},
	{"– controller", "without controller"},
	{"– migration\nplanner", "without migration planner"},
	{"– interruption\narranger", "without interruption arranger"},
	{"– device\nmapper", "without device mapper"},
}

// ablationTraces are the traces by the names that the ablation's command and
// that its runs have for them.
func ablationTraces() []struct{ command, run string } {
	return []struct{ command, run string }{{"A", "As"}, {"B", "Bs"}}
}

func ablationSheet() sheet {
	return sheet{
		name: "ablation", kinds: []experiment.Kind{experiment.Ablation, experiment.EndToEnd}, places: levelPlaces(),
		command: func(q Query) string {
			for _, trace := range ablationTraces() {
				if trace.run == q.Trace {
					return "spotserve ablation 1 " + trace.command
				}
			}
			return "spotserve ablation 1 A"
		},
	}
}

// Ablation makes one panel of Figure 9: average and P99 latency of each
// ablation level. Level 0 is SpotServe whole, so its end-to-end runs count too.
func Ablation(ctx context.Context, r store.Reader, q Query) (Figure, error) {
	for _, trace := range ablationTraces() {
		if q.Trace == trace.command {
			q.Trace = trace.run
		}
	}
	s := ablationSheet()
	c, err := s.collect(ctx, r, q)
	if err != nil {
		return Figure{}, err
	}
	first := c.runs[0]
	a := figure.Ablation{Text: figure.Text{
		Title:   fmt.Sprintf("%s on %s: ablation of SpotServe", first.Model, first.Trace),
		Caption: append(c.caption(), "each level also lacks what those left of it lack"), Notes: c.notes(),
	}}
	a.Levels = barsOf(c.cells)
	return Figure{
		Drawing: a, Name: FileName(s.name, first.Model, first.Trace, first.Arrivals, first.Quirks),
		Runs: c.names(), Missing: c.missing(),
	}, nil
}

// barsOf are the bars of all levels; a level without a run has none.
func barsOf(cells []cell) []figure.Level {
	bars := make([]figure.Level, len(levels))
	for i, l := range levels {
		bars[i].Label = l.label
	}
	for _, cell := range cells {
		level := &bars[cell.runs[0].Level]
		for _, m := range cell.runs {
			level.Seeds = append(level.Seeds, figure.Latency{Avg: m.Latency.Avg, P99: m.Latency.P99})
		}
	}
	return bars
}

func levelPlaces() []place {
	var places []place
	for level, l := range levels {
		places = append(places, place{
			name: fmt.Sprintf("level %d", level), series: l.name,
			holds: func(run store.Run) bool {
				return run.Level == level && run.Approach == string(experiment.SpotServe)
			},
		})
	}
	return places
}
