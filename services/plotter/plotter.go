// Package plotter draws the figures of finished runs from SQL.
//
// E2E makes a figure for whoever asks, the command line for example; Setup adds
// the actor of the plotter service, which draws the figure of every run as soon
// as the collector has all its rows.
package plotter

import (
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// Figure is a figure and where it comes from. Save and Write draw it.
type Figure struct {
	figure.Tail
	// Name is what to call its file, without extension. Figures of other
	// models, traces, arrivals or quirks have other names.
	Name string
	// Runs are the runs behind it, in the order of their start.
	Runs []string
	// Missing are the approaches that the store has no finished run of.
	Missing []experiment.Approach
}

// RefusedError says why there is nothing to draw, and what to do about it.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// approaches are those of Figure 6, in the order of its legend. The place of an
// approach is its look.
func approaches() []experiment.Approach {
	return []experiment.Approach{experiment.SpotServe, experiment.Rerouting, experiment.Reparallelization}
}

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

// fileName joins the parts. A trace can be a path: what is not fit for a file
// name becomes "_".
func fileName(parts ...string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("-_+.", r):
			return r
		}
		return '_'
	}, strings.Join(parts, "-"))
}
