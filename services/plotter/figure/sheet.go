package figure

import (
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// noRun stands in a panel that has nothing to show.
const noRun = "no run"

// smallText is the font size of the axes where a page has many panels.
const smallText = vg.Length(7)

// smallMark is the size of markers and lines there.
const smallMark = 0.6

// TailSheet is Figure 6 whole: panels of average and tail latencies, as many in
// each row.
type TailSheet struct {
	Text
	Rows [][]TailPanel
}

// TailPanel is one of them. Without a series it says that there is no run.
type TailPanel struct {
	Title  string
	Series []TailSeries
}

func (t TailSheet) check() error {
	var all []TailSeries
	for _, row := range t.Rows {
		for _, p := range row {
			all = append(all, p.Series...)
		}
	}
	if len(all) == 0 {
		return errNoSeries
	}
	return checkTails(all)
}

func (t TailSheet) page() (page, error) {
	pg := page{Text: t.Text, width: bothColumns, height: vg.Length(0.75+1.75*float64(len(t.Rows))) * vg.Inch}
	var all []TailSeries
	for i, row := range t.Rows {
		var panels []*plot.Plot
		var names []string
		for j, p := range row {
			style := tailStyle{
				names: [NumStats]string{"Avg", "90", "95", "96", "97", "98", "99"}, tickSize: smallText, mark: smallMark,
			}
			if j == 0 {
				style.yName = latencyAxis
			}
			if i == len(t.Rows)-1 {
				style.xName = "Average and percentiles"
			}
			panel := empty(noRun)
			if len(p.Series) > 0 {
				var err error
				if panel, err = tailPlot(p.Series, style); err != nil {
					return page{}, err
				}
			}
			panels, names = append(panels, panel), append(names, p.Title)
			all = append(all, p.Series...)
		}
		pg.panels = append(pg.panels, gridRow{panels: panels, names: names})
	}
	pg.legend = tailLegend(byLook(all))
	return pg, nil
}

// byLook orders series as legends do.
func byLook(series []TailSeries) []TailSeries {
	sorted := slices.Clone(series)
	slices.SortStableFunc(sorted, func(a, b TailSeries) int { return a.Look - b.Look })
	return sorted
}

// WorkloadSheet is the measured half of Figure 8: for each trace a tail panel
// above a case study.
type WorkloadSheet struct {
	Text
	Columns []WorkloadColumn
}

// WorkloadColumn is one trace. What it lacks is said in its place.
type WorkloadColumn struct {
	TailTitle string
	Tail      []TailSeries
	CaseTitle string
	Case      Case // its text is not drawn
}

func (w WorkloadSheet) check() error {
	shown := false
	for _, c := range w.Columns {
		if err := checkTails(c.Tail); err != nil {
			return err
		}
		if len(c.Case.Series) > 0 {
			if err := c.Case.check(); err != nil {
				return err
			}
		}
		shown = shown || len(c.Tail) > 0 || len(c.Case.Series) > 0
	}
	if !shown {
		return errNoSeries
	}
	return nil
}

func (w WorkloadSheet) page() (page, error) {
	pg := page{Text: w.Text, width: bothColumns, height: 7.2 * vg.Inch}
	strips := 1
	for _, c := range w.Columns {
		strips = max(strips, len(c.Case.Series))
	}
	rows := grid{{}, {height: ratePanel}, {height: stripHeight * vg.Length(strips)}, {}}
	var all []TailSeries
	for i, c := range w.Columns {
		panels, err := c.panels()
		if err != nil {
			return page{}, err
		}
		for j, p := range panels {
			if i > 0 {
				p.Y.Label.Text = ""
			}
			rows[j].panels = append(rows[j].panels, p)
		}
		rows[0].names, rows[1].names = append(rows[0].names, c.TailTitle), append(rows[1].names, c.CaseTitle)
		all = append(all, c.Tail...)
		for _, s := range c.Case.Series {
			all = append(all, TailSeries{Label: s.Label, Look: s.Look})
		}
	}
	pg.panels, pg.legend = rows, tailLegend(byLook(all))
	return pg, nil
}

// panels are the tails, the rate, the configurations and the requests.
func (c WorkloadColumn) panels() ([4]*plot.Plot, error) {
	out := [4]*plot.Plot{empty(noRun), empty(noRun), blank(), empty(noRun)}
	if len(c.Tail) > 0 {
		tail, err := tailPlot(c.Tail, tailStyle{names: statNames, tickSize: smallText, mark: 0.75, yName: latencyAxis})
		if err != nil {
			return out, err
		}
		out[0] = tail
	}
	if len(c.Case.Series) > 0 {
		g, err := c.Case.panels(smallMark)
		if err != nil {
			return out, err
		}
		for i, row := range g { // the rate comes first, if there is one
			out[len(out)-len(g)+i] = row.panels[0]
		}
	}
	for _, p := range out[1:] {
		smallTicks(p, smallText)
	}
	withoutTimes(out[1])
	withoutTimes(out[2])
	return out, nil
}

// AblationSheet is Figure 9 whole: the panels one below the other.
type AblationSheet struct {
	Text
	Panels []AblationPanel
}

// AblationPanel is one of them.
type AblationPanel struct {
	Title  string
	Levels []Level
}

func (a AblationSheet) check() error {
	if len(a.Panels) == 0 {
		return errNoSeries
	}
	for _, p := range a.Panels {
		if err := checkLevels(p.Levels); err != nil {
			return err
		}
	}
	return nil
}

func (a AblationSheet) page() (page, error) {
	pg := page{
		Text: a.Text, width: columnAndHalf, height: vg.Length(0.8+2.4*float64(len(a.Panels))) * vg.Inch, legend: barsLegend(),
	}
	for _, p := range a.Panels {
		pg.panels = append(pg.panels, gridRow{panels: []*plot.Plot{levelsPlot(p.Levels)}, names: []string{p.Title}})
	}
	return pg, nil
}
