package report

import (
	"context"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
)

func drawE2E(ctx context.Context, r store.Reader, q plotter.Query) (sheets, panels []plotter.Figure, err error) {
	var queries []plotter.Query
	for _, model := range catalog.Models() {
		for _, trace := range catalog.TracesOf(experiment.EndToEnd) {
			queries = append(queries, plotter.Query{Model: model, Trace: trace, Runs: q.Runs})
		}
	}
	panels, err = draw(ctx, r, plotter.E2E, queries...)
	return nil, panels, err
}

func drawPrice(ctx context.Context, r store.Reader, q plotter.Query) (sheets, panels []plotter.Figure, err error) {
	sheets, err = draw(ctx, r, plotter.Price, q)
	return sheets, nil, err
}

func drawWorkload(ctx context.Context, r store.Reader, q plotter.Query) (sheets, panels []plotter.Figure, err error) {
	queries := tracesOf(experiment.Workload, q)
	tails, err := draw(ctx, r, plotter.WorkloadE2E, queries...)
	if err != nil {
		return nil, nil, err
	}
	cases, err := draw(ctx, r, plotter.WorkloadCase, queries...)
	return nil, append(tails, cases...), err
}

func drawAblation(ctx context.Context, r store.Reader, q plotter.Query) (sheets, panels []plotter.Figure, err error) {
	panels, err = draw(ctx, r, plotter.Ablation, tracesOf(experiment.Ablation, q)...)
	return nil, panels, err
}

// tracesOf narrows a query to each trace of an experiment.
func tracesOf(kind experiment.Kind, q plotter.Query) []plotter.Query {
	var queries []plotter.Query
	for _, trace := range catalog.TracesOf(kind) {
		queries = append(queries, plotter.Query{Trace: trace, Runs: q.Runs})
	}
	return queries
}
