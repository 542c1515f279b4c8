// Package report sums finished runs up: result tables beside the published
// numbers, the figures, the settings once, what is missing, and the commands
// that make all of it again.
//
// Published is about the published experiments, Custom about those of a user's
// own files, Compare about any runs. Each reads the store once and works on what
// is there. Result tables contain no name, time or path of a run: the same seeds
// give the same bytes.
package report

import (
	"encoding/json"
	"io"

	"github.com/spotserve/spotserve/services/plotter"
)

// Fidelity is the page that says what is not modelled, and how far to believe
// the numbers.
const Fidelity = "https://github.com/spotserve/spotserve/blob/main/docs/fidelity.md"

// Options select the runs of a report. An empty field selects all.
type Options struct {
	// Which of the published experiments: e2e, price, workload, ablation.
	Which []string
	// Runs are the only runs to choose from.
	Runs []string
	// Seeds are the only seeds.
	Seeds []uint64
}

// Report is what some finished runs amount to.
type Report struct {
	Title    string
	Intro    []string // paragraphs
	Sections []Section
	Settings Table
	// Missing are commands: each makes a run that has a place in the report and
	// that the store has none of.
	Missing []string
	// Commands make the report again; those of published experiments with the
	// published settings.
	Commands []string
}

// Section is one figure of the paper, or one custom experiment.
type Section struct {
	Name   string // e2e, price, workload, ablation, or the custom experiment's
	Title  string
	Notes  []string
	Tables []Table
	// Results are the numbers behind the tables.
	Results []Result
	// Figures are shown in the report; Panels are parts of them, one by one.
	Figures, Panels []plotter.Figure
}

// Figures are all figures and panels of the report. Their names differ.
func (r *Report) Figures() []plotter.Figure {
	var all []plotter.Figure
	for _, s := range r.Sections {
		all = append(all, s.Figures...)
		all = append(all, s.Panels...)
	}
	return all
}

// JSON writes the numbers behind all tables, as one object.
func (r *Report) JSON(w io.Writer) error {
	type section struct {
		Name    string   `json:"name"`
		Results []Result `json:"results"`
	}
	var out struct {
		Sections []section `json:"sections"`
		Missing  []string  `json:"missing"`
	}
	for _, s := range r.Sections {
		out.Sections = append(out.Sections, section{s.Name, s.Results})
	}
	out.Missing = r.Missing
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
