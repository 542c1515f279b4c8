// Package reproduce knows which runs the published figures need, and which of
// them a store has.
package reproduce

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/collector"
	"github.com/spotserve/spotserve/services/plotter/report"
)

// Figures are what can be reproduced: the end-to-end comparison (Figure 6), the
// price of a token (7), the workload that fluctuates (8), the ablation (9).
func Figures() []string { return []string{"e2e", "price", "workload", "ablation"} }

// Cell is an experiment of a figure; its runs differ in their seeds.
type Cell struct {
	Start event.StartExperiment // without options
	// row is what the rows of its runs have in common.
	row store.Run
}

// Cells lists the distinct experiments behind some of the figures: 36, 16, 6 and
// 10 for each alone, 54 for all. Ablation level 0 is an end-to-end run under
// another name, and is not listed beside it. It fails if the catalogue does not
// hold together.
func Cells(figures []string) ([]Cell, error) {
	all := map[experiment.Kind][]Cell{}
	for _, kind := range []experiment.Kind{experiment.EndToEnd, experiment.OnDemand, experiment.Workload, experiment.Ablation} {
		for _, start := range report.Cells(kind) {
			row, err := rowOf(start)
			if err != nil {
				return nil, fmt.Errorf("published experiment %+v: %w", start, err)
			}
			all[kind] = append(all[kind], Cell{start, row})
		}
	}
	var cells []Cell
	for _, figure := range figures {
		for _, cell := range behind(figure, all) {
			if !slices.Contains(cells, cell) {
				cells = append(cells, cell)
			}
		}
	}
	return cells, nil
}

// behind lists the experiments behind one figure.
func behind(figure string, all map[experiment.Kind][]Cell) []Cell {
	switch figure {
	case "e2e":
		return all[experiment.EndToEnd]
	case "price":
		// Beside the fleets stand the end-to-end runs of the model that they serve.
		cells := slices.Clone(all[experiment.OnDemand])
		for _, cell := range all[experiment.EndToEnd] {
			if cell.row.Model == cells[0].row.Model {
				cells = append(cells, cell)
			}
		}
		return cells
	case "workload":
		return all[experiment.Workload]
	case "ablation":
		cells := slices.Clone(all[experiment.Ablation])
		for i, cell := range cells {
			whole := cell.row
			whole.Kind = string(experiment.EndToEnd)
			if at := slices.IndexFunc(all[experiment.EndToEnd], func(c Cell) bool { return c.row == whole }); at >= 0 {
				cells[i] = all[experiment.EndToEnd][at]
			}
		}
		return cells
	default:
		return nil
	}
}

// rowOf returns what the rows of an experiment's runs have in common, whatever
// their seeds.
func rowOf(start event.StartExperiment) (store.Run, error) {
	spec, _, err := catalog.Resolve(start)
	if err != nil {
		return store.Run{}, err
	}
	var rows store.Batch
	collector.NewMapper().Take(event.Event{Run: "published", Body: event.RunStarted{Spec: spec}}, time.Time{}, &rows)
	row := rows.Runs[0].Experiment()
	row.Seed = 0
	return row, nil
}

// Starts are the runs of the cells with seeds 1 to seeds, seed by seed: whoever
// stops on the way has whole figures of some seeds.
func Starts(cells []Cell, seeds int) []event.StartExperiment {
	var starts []event.StartExperiment
	for seed := range seeds {
		for _, cell := range cells {
			start := cell.Start
			start.Options.Seed = uint64(seed + 1)
			starts = append(starts, start)
		}
	}
	return starts
}

// Find returns the newest finished run of each of Starts, in that order; "" where
// the store has none. Runs that took facts too late do not count: they may
// differ from what they stand for.
func Find(ctx context.Context, r store.Reader, cells []Cell, seeds int) ([]string, error) {
	finished, err := store.LatestFinished(ctx, r, store.Filter{})
	if err != nil {
		return nil, err
	}
	newest := map[store.Run]string{}
	for _, run := range finished {
		if run.LateFacts == 0 {
			newest[run.Experiment()] = run.Run
		}
	}
	var names []string
	for seed := range seeds {
		for _, cell := range cells {
			row := cell.row
			row.Seed = uint64(seed + 1)
			names = append(names, newest[row])
		}
	}
	return names, nil
}
