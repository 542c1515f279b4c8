package plotter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// E2ESheet makes Figure 6 whole: a row a model and a panel a trace, or only the
// row of the query's model. Models differ in their load and profile, and in no
// other setting. Trace and Run of the query have no effect on sheets.
func E2ESheet(ctx context.Context, r store.Reader, q Query) (Figure, error) {
	s := sheet{
		name: "e2e", kinds: []experiment.Kind{experiment.EndToEnd}, places: tracePlaces(spotTraces()), traces: true,
		command: func(q Query) string { return e2eCommand(Query{Model: q.Model}) },
	}
	q.Run = ""
	rows, all, err := s.collectModels(ctx, r, q)
	if err != nil {
		return Figure{}, err
	}
	t := figure.TailSheet{Text: figure.Text{
		Title: "End-to-end latency on spot instances", Caption: all.caption(), Notes: all.notes(),
	}}
	var names []string
	for _, c := range rows {
		model := c.runs[0].Model
		names = append(names, model)
		var panels []figure.TailPanel
		for _, trace := range spotTraces() {
			panels = append(panels, figure.TailPanel{Title: model + " on " + trace, Series: c.tails(trace)})
		}
		t.Rows = append(t.Rows, panels)
	}
	first := all.runs[0]
	return Figure{
		Drawing: t, Name: FileName("e2e-sheet", strings.Join(names, "+"), first.Arrivals, first.Quirks),
		Runs: all.names(), Missing: all.missing(),
	}, nil
}

// collectModels collects the runs of each model that has some, and all of them
// together.
func (s sheet) collectModels(ctx context.Context, r store.Reader, q Query) (rows []contents, all contents, err error) {
	var nothing error
	for _, model := range models() {
		if q.Model != "" && q.Model != model {
			continue
		}
		of := q
		of.Model = model
		c, err := s.collect(ctx, r, of)
		if refused, ok := errors.AsType[*RefusedError](err); ok && refused.NoRuns {
			all.empty = append(all.empty, place{name: model})
			nothing = err
			continue
		}
		if err != nil {
			return nil, contents{}, err
		}
		rows = append(rows, c)
		all = all.with(c.of(model))
	}
	if len(rows) == 0 {
		if nothing == nil {
			nothing = &RefusedError{Reason: fmt.Sprintf("plot %s: no published model is called %q: there are %s", s.name, q.Model, strings.Join(models(), ", "))}
		}
		return nil, contents{}, nothing
	}
	if groups := groupBy(all.storeRuns(), settingsOfAllModels); len(groups) > 1 {
		return nil, contents{}, s.refuseChoice("differ in their settings", "--arrivals, --quirks or -m MODEL", named(groups))
	}
	return rows, all, nil
}

// WorkloadSheet makes the measured half of Figure 8: on each trace the tails,
// and a case study of one seed.
func WorkloadSheet(ctx context.Context, r store.Reader, q Query) (Figure, error) {
	s := workloadSheet("workload")
	s.places, s.traces = tracePlaces(workloadTraces()), true
	q.Run = ""
	c, err := s.collect(ctx, r, q)
	if err != nil {
		return Figure{}, err
	}
	first := c.runs[0]
	w := figure.WorkloadSheet{Text: figure.Text{
		Title: first.Model + ": latency under a fluctuating workload", Caption: c.caption(), Notes: c.notes(),
	}}
	tails, cases := []string{"(e)", "(f)"}, []string{"(g)", "(h)"}
	for i, trace := range workloadTraces() {
		column := figure.WorkloadColumn{TailTitle: tails[i] + " trace " + trace, Tail: c.tails(trace), CaseTitle: cases[i] + " trace " + trace}
		if cells := c.ofSeed(trace, q.Seed); len(cells) > 0 {
			if column.Case, err = readCases(ctx, r, cells); err != nil {
				return Figure{}, fmt.Errorf("plot %s: %w", s.name, err)
			}
			column.CaseTitle += ", each request of seed " + seedName(cells[0].runs[0].Seed)
		}
		w.Columns = append(w.Columns, column)
	}
	return Figure{
		Drawing: w, Name: FileName("workload-sheet", first.Model, first.Arrivals, first.Quirks), Runs: c.names(), Missing: c.missing(),
	}, nil
}

// AblationSheet makes Figure 9 whole: a panel a trace.
func AblationSheet(ctx context.Context, r store.Reader, q Query) (Figure, error) {
	s := ablationSheet()
	s.places, s.traces = nil, true
	for _, trace := range ablationTraces() {
		for _, p := range levelPlaces() {
			ofLevel := p.holds
			p.series, p.point = trace.run, p.series
			p.holds = func(run store.Run) bool { return ofLevel(run) && run.Trace == trace.run }
			p.name = trace.run + " " + p.name
			s.places = append(s.places, p)
		}
	}
	q.Run = ""
	c, err := s.collect(ctx, r, q)
	if err != nil {
		return Figure{}, err
	}
	first := c.runs[0]
	a := figure.AblationSheet{Text: figure.Text{
		Title:   first.Model + ": ablation of SpotServe",
		Caption: append(c.caption(), "each level also lacks what those left of it lack"), Notes: c.notes(),
	}}
	for _, trace := range ablationTraces() {
		cells := slices.DeleteFunc(slices.Clone(c.cells), func(of cell) bool { return of.series != trace.run })
		a.Panels = append(a.Panels, figure.AblationPanel{Title: first.Model + " on " + trace.run, Levels: barsOf(cells)})
	}
	return Figure{
		Drawing: a, Name: FileName("ablation-sheet", first.Model, first.Arrivals, first.Quirks), Runs: c.names(), Missing: c.missing(),
	}, nil
}

// tails are the lines of one trace's panel.
func (c contents) tails(trace string) []figure.TailSeries {
	var series []figure.TailSeries
	for _, cell := range c.cells {
		if cell.point == trace {
			series = append(series, cell.tail())
		}
	}
	return series
}

// ofSeed are the cells of a trace with the run of one seed each: of the seed
// that is asked for, or, for 0, of the one that most cells have.
func (c contents) ofSeed(trace string, seed uint64) []cell {
	var runs []store.Run
	for _, of := range c.cells {
		for _, m := range of.runs {
			if of.point == trace && (seed == 0 || m.Seed == seed) {
				runs = append(runs, m.Run)
			}
		}
	}
	if len(runs) == 0 {
		return nil
	}
	var cells []cell
	chosen := fullestSeed(placesOf(c.cells), runs)[0].Seed
	for _, of := range c.cells {
		for _, m := range of.runs {
			if of.point == trace && m.Seed == chosen {
				cells = append(cells, cell{of.place, []Measured{m}})
			}
		}
	}
	return cells
}

// of names the model of all places.
func (c contents) of(model string) contents {
	rename := func(p place) place {
		p.name, p.series = model+" "+p.name, model+" "+p.series
		return p
	}
	c.cells, c.empty = slices.Clone(c.cells), slices.Clone(c.empty)
	for i := range c.cells {
		c.cells[i].place = rename(c.cells[i].place)
	}
	for i := range c.empty {
		c.empty[i] = rename(c.empty[i])
	}
	return c
}

// with joins what two queries found.
func (c contents) with(o contents) contents {
	return contents{
		runs: slices.Concat(c.runs, o.runs), cells: slices.Concat(c.cells, o.cells),
		empty: slices.Concat(c.empty, o.empty), unmeasured: slices.Concat(c.unmeasured, o.unmeasured),
	}
}

func (c contents) storeRuns() []store.Run {
	runs := make([]store.Run, len(c.runs))
	for i, m := range c.runs {
		runs[i] = m.Run
	}
	return runs
}
