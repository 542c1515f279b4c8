package report

import (
	"context"
	"errors"

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
	return drawBoth(ctx, r, plotter.E2ESheet, q, plotter.E2E, queries)
}

func drawPrice(ctx context.Context, r store.Reader, q plotter.Query) (sheets, panels []plotter.Figure, err error) {
	sheets, err = draw(ctx, r, plotter.Price, q)
	return sheets, nil, err
}

func drawWorkload(ctx context.Context, r store.Reader, q plotter.Query) (sheets, panels []plotter.Figure, err error) {
	queries := tracesOf(experiment.Workload, q)
	sheets, panels, err = drawBoth(ctx, r, plotter.WorkloadSheet, q, plotter.WorkloadE2E, queries)
	if err != nil {
		return nil, nil, err
	}
	cases, err := draw(ctx, r, plotter.WorkloadCase, queries...)
	return sheets, append(panels, cases...), err
}

func drawAblation(ctx context.Context, r store.Reader, q plotter.Query) (sheets, panels []plotter.Figure, err error) {
	return drawBoth(ctx, r, plotter.AblationSheet, q, plotter.Ablation, tracesOf(experiment.Ablation, q))
}

// makes is a function of package plotter that makes a figure.
type makes func(context.Context, store.Reader, plotter.Query) (plotter.Figure, error)

// drawBoth makes a sheet and, for each query, one of its panels.
func drawBoth(ctx context.Context, r store.Reader, sheet makes, q plotter.Query, panel makes, queries []plotter.Query) (sheets, panels []plotter.Figure, err error) {
	if sheets, err = draw(ctx, r, sheet, q); err != nil {
		return nil, nil, err
	}
	panels, err = draw(ctx, r, panel, queries...)
	return sheets, panels, err
}

// draw makes a figure for each query, and leaves out those without a run.
func draw(ctx context.Context, r store.Reader, of makes, queries ...plotter.Query) ([]plotter.Figure, error) {
	var figures []plotter.Figure
	for _, q := range queries {
		f, err := of(ctx, r, q)
		if refused, ok := errors.AsType[*plotter.RefusedError](err); ok && refused.NoRuns {
			continue
		}
		if err != nil {
			return nil, err
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// tracesOf narrows a query to each trace of an experiment.
func tracesOf(kind experiment.Kind, q plotter.Query) []plotter.Query {
	var queries []plotter.Query
	for _, trace := range catalog.TracesOf(kind) {
		queries = append(queries, plotter.Query{Trace: trace, Runs: q.Runs})
	}
	return queries
}
