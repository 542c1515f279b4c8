// Package plotter draws the figures of finished runs from SQL.
//
// E2E, Price, WorkloadE2E, WorkloadCase and Ablation make one figure each for
// whoever asks, the command line for example; E2ESheet, WorkloadSheet and
// AblationSheet put all panels of a figure on one page. Sweep and Compare show
// runs of a user's own experiments, and any runs side by side. ForRun makes what
// a run belongs on. Setup adds the actor of the plotter service, which draws the
// figures of every run as soon as the collector has all its rows.
package plotter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// Figure is a figure and where it comes from.
type Figure struct {
	// Drawing is what to draw, as one of the kinds of package figure.
	Drawing figure.Drawing
	// Name is what to call its file, without extension. Figures of other kinds,
	// models, traces, arrivals, quirks or seeds have other names.
	Name string
	// Runs are the runs behind it, in the order of their start.
	Runs []string
	// Missing names what the figure has a place for and the store no finished
	// run of.
	Missing []string
}

// Save draws the figure into a file, as PNG, SVG or PDF by its extension. The
// file appears whole or not at all.
func (f Figure) Save(path string) error { return figure.Save(path, f.Drawing) }

// Write draws the figure.
func (f Figure) Write(w io.Writer, format figure.Format) error {
	return figure.Write(w, format, f.Drawing)
}

// RefusedError says why there is nothing to draw, and what to do about it.
type RefusedError struct {
	Reason string
	// NoRuns: the store has no run that was asked for.
	NoRuns bool
}

func (e *RefusedError) Error() string { return e.Reason }

// ForRun makes the figures that a finished run belongs on, with all runs that
// have its settings. A *RefusedError says that there are none, because its kind
// has no figure for example; other errors are the store's.
func ForRun(ctx context.Context, r store.Reader, run string) ([]Figure, error) {
	found, err := store.FindRun(ctx, r, run)
	switch {
	case errors.Is(err, store.ErrNoRun):
		return nil, &RefusedError{Reason: "the store has no run " + run, NoRuns: true}
	case err != nil:
		return nil, fmt.Errorf("figures of a run: %w", err)
	}
	type makes func(context.Context, store.Reader, Query) (Figure, error)
	var all []makes
	switch experiment.Kind(found.Kind) {
	case experiment.EndToEnd:
		all = []makes{E2E}
	case experiment.OnDemand:
		all = []makes{Price}
	case experiment.Workload:
		all = []makes{WorkloadE2E, WorkloadCase}
	case experiment.Ablation:
		all = []makes{Ablation}
	case experiment.Custom:
		return customFigures(ctx, r, found)
	default:
		return nil, &RefusedError{Reason: fmt.Sprintf("run %s is of kind %s, which has no figure", run, found.Kind)}
	}
	figures := make([]Figure, len(all))
	for i, f := range all {
		if figures[i], err = f(ctx, r, Query{Run: run}); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// approaches are those of the paper, in the order of the legends. The place of
// an approach is its look.
func approaches() []experiment.Approach {
	return []experiment.Approach{experiment.SpotServe, experiment.Rerouting, experiment.Reparallelization}
}

// models, spotTraces and workloadTraces are what the sheets have places for, in
// the order of the paper.
func models() []string         { return []string{"6.7B", "20B", "30B"} }
func spotTraces() []string     { return []string{"As", "Bs", "As+o", "Bs+o"} }
func workloadTraces() []string { return []string{"A", "B"} }

// label is an approach's name in the paper.
func label(a experiment.Approach) string {
	switch a {
	case experiment.SpotServe:
		return "SpotServe"
	case experiment.Rerouting:
		return "Rerouting"
	case experiment.Reparallelization:
		return "Reparallelization"
	default:
		return string(a)
	}
}

// FileName joins the parts. A trace can be a path: what is not fit for a file
// name becomes "_".
func FileName(parts ...string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("-_+.", r):
			return r
		}
		return '_'
	}, strings.Join(parts, "-"))
}
