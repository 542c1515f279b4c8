package report

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
)

// Custom reports a user's own experiment: a row for each point of its sweep, or
// one row if it has none, over the seeds. Of each point and seed it takes the
// newest finished run.
//
// A *plotter.RefusedError says that there is no such run; other errors are the
// store's.
func Custom(ctx context.Context, r store.Reader, name string, o Options) (*Report, error) {
	r = plotter.Snapshot(r)
	runs, err := finished(ctx, r, o)
	if err != nil {
		return nil, err
	}
	var names []string
	swept := false
	for _, run := range runs {
		if run.Kind == string(experiment.Custom) && run.Name == name {
			names = append(names, run.Run)
			swept = len(plotter.SweepOf(run)) > 0 // of the newest
		}
	}
	if !swept {
		return plain(ctx, r, name, names)
	}
	s, err := plotter.Sweep(ctx, r, name, names)
	if err != nil {
		return nil, err
	}
	section := Section{Name: name, Title: name + ": " + strings.Join(s.Keys, " x "), Figures: []plotter.Figure{s.Figure}}
	var heads []Column
	for _, key := range s.Keys {
		heads = append(heads, Column{key, false})
	}
	var points [][]string
	var groups []plotter.Group
	for _, p := range s.Points {
		points = append(points, p.Values)
		groups = append(groups, plotter.Group{Runs: p.Runs})
	}
	section.Tables, section.Results = summaries(heads, points, groups)
	if len(s.Varying) > 0 {
		section.Notes = append(section.Notes, "Settings that change along the sweep: "+strings.Join(s.Varying, ", ")+".")
	}
	return &Report{
		Title: "SpotServe: " + name, Sections: []Section{section}, Settings: sameTable(s.Same),
		Commands: []string{"spotserve plot sweep " + name},
	}, nil
}

// plain reports a custom experiment without a sweep.
func plain(ctx context.Context, r store.Reader, name string, names []string) (*Report, error) {
	if len(names) == 0 {
		names = []string{name} // of nothing, which Compare says
	}
	rep, err := Compare(ctx, r, names, true)
	if err != nil {
		return nil, err
	}
	rep.Title = "SpotServe: " + name
	s := &rep.Sections[0]
	s.Name, s.Title = name, name
	figures, err := plotter.ForRun(ctx, r, s.Figures[0].Runs[0])
	if err != nil {
		return nil, err
	}
	s.Figures[0].Name = plotter.FileName("compare", name)
	s.Figures = append(s.Figures, figures...)
	rep.Commands = []string{"spotserve compare " + name}
	return rep, nil
}

// Compare reports any finished runs side by side, whatever their settings: a
// row a run, or, with fold, a row for runs that differ in their seeds only.
// Names are those of runs or of custom experiments. Errors are those of
// plotter.Compare.
func Compare(ctx context.Context, r store.Reader, names []string, fold bool) (*Report, error) {
	c, err := plotter.Compare(ctx, r, names, fold)
	if err != nil {
		return nil, err
	}
	s := Section{Name: "compare", Title: "Runs side by side", Figures: []plotter.Figure{c.Figure}}
	labels := make([][]string, len(c.Groups))
	for i, g := range c.Groups {
		labels[i] = []string{g.Label}
	}
	s.Tables, s.Results = summaries([]Column{{"run", false}}, labels, c.Groups)
	if len(c.Different) > 0 {
		s.Notes = append(s.Notes, "They differ in: "+strings.Join(c.Different, ", ")+".")
	}
	return &Report{
		Title: "SpotServe: runs side by side", Sections: []Section{s}, Settings: sameTable(c.Same),
		Commands: []string{"spotserve compare " + strings.Join(names, " ")},
	}, nil
}

// summaries are two tables of runs side by side, latency and cost, and the
// numbers behind them. heads and names are the first columns. The share within
// the SLO is there if a run names one.
func summaries(heads []Column, names [][]string, groups []plotter.Group) ([]Table, []Result) {
	slo := slices.ContainsFunc(groups, func(g plotter.Group) bool {
		return slices.ContainsFunc(g.Runs, func(m plotter.Measured) bool { return m.SLO > 0 })
	})
	latency := Table{Title: "Latency", Columns: slices.Concat(heads, []Column{
		seedsColumn(), {"completed", true}, {"not completed", true},
		{"average, s", true}, {"P50, s", true}, {"P90, s", true}, {"P99, s", true},
	})}
	if slo {
		latency.Columns = append(latency.Columns, Column{"within SLO, %", true})
	}
	cost := Table{Title: "Cost and interruptions", Columns: slices.Concat(heads, []Column{
		{"USD", true}, {"USD per million tokens", true}, {"spot node minutes", true}, {"on-demand node minutes", true},
		{"interruptions", true}, {"tokens recomputed", true},
	})}
	var results []Result
	for i, g := range groups {
		r := measure(g.Runs, nil)
		r.Name, r.Sweep = g.Runs[0].Name, plotter.SweepOf(g.Runs[0].Run)
		row := slices.Concat(names[i], []string{
			strconv.Itoa(len(g.Runs)), r.whole("completed"), r.whole("unfinished"),
			r.seconds("avg_s"), r.seconds("p50_s"), r.seconds("p90_s"), r.seconds("p99_s"),
		})
		if slo {
			row = append(row, r.write("slo_share", func(v float64) string { return fixed(100*v, 1) }))
		}
		latency.Rows = append(latency.Rows, row)
		cost.Rows = append(cost.Rows, slices.Concat(names[i], []string{
			r.write("cost_usd", func(v float64) string { return fixed(v, 2) }), r.perMillion("usd_per_token"),
			r.whole("spot_minutes"), r.whole("on_demand_minutes"), r.whole("interruptions"), r.whole("tokens_recomputed"),
		}))
		results = append(results, r)
	}
	return []Table{latency, cost}, results
}
