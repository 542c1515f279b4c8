package plotter

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// SweepResult is what the runs of a custom experiment with a sweep amount to.
type SweepResult struct {
	Keys   []string // of the sweep, in its order
	Points []SweepPoint
	// Same are the settings in which all points agree. Varying are those, beside
	// the sweep's own, in which they do not.
	Same    []Setting
	Varying []string
	Figure  Figure
}

// SweepPoint is the runs of one point, one a seed, by seed.
type SweepPoint struct {
	Values []string // of the keys
	Runs   []Measured
}

// Sweep draws the runs of a custom experiment over its sweep: x is the first
// key, lines are the second, panels the third; further keys make further lines.
// Of each point and seed it takes the newest finished run, of only those named
// in among if that is not empty. Values are numbers on
// an axis if all of a key are, and names else.
//
// A *RefusedError says that there is no such run, that the experiment has no
// sweep, or that it has more panels than fit. Other errors are the store's.
func Sweep(ctx context.Context, r store.Reader, name string, among []string) (SweepResult, error) {
	all, err := store.ListRuns(ctx, r)
	if err != nil {
		return SweepResult{}, fmt.Errorf("plot sweep: %w", err)
	}
	runs := customRuns(Query{Runs: among}.only(all), name)
	if len(runs) == 0 {
		return SweepResult{}, refuseUnknownRun("plot sweep", name, all)
	}
	s := SweepResult{Keys: sweepKeys(runs[0])}
	if len(s.Keys) == 0 {
		return SweepResult{}, &RefusedError{Reason: fmt.Sprintf("plot sweep: experiment %s has no sweep; compare its runs with: spotserve compare %s", name, name)}
	}
	for _, seeds := range foldSeeds(runs) {
		p := SweepPoint{}
		for _, v := range SweepOf(seeds[0]) {
			p.Values = append(p.Values, v.Value)
		}
		for _, run := range seeds {
			m, err := Measure(ctx, r, run)
			if err != nil {
				return SweepResult{}, fmt.Errorf("plot sweep: %w", err)
			}
			p.Runs = append(p.Runs, m)
		}
		s.Points = append(s.Points, p)
	}
	s.sort()
	s.Same, s.Varying = agreement(runs, slices.Concat(s.Keys, []string{"seed", "run"}))
	s.Figure, err = s.draw(name)
	return s, err
}

// sort orders the points by the values of the first key, then the second, and
// so on.
func (s *SweepResult) sort() {
	var order []func(a, b string) int
	for i := range s.Keys {
		order = append(order, orderOf(s.values(i)))
	}
	slices.SortStableFunc(s.Points, func(a, b SweepPoint) int {
		for i, compare := range order {
			if c := compare(a.Values[i], b.Values[i]); c != 0 {
				return c
			}
		}
		return 0
	})
}

// values are the different values of key i, in the order of the points.
func (s *SweepResult) values(i int) []string {
	var values []string
	for _, p := range s.Points {
		if !slices.Contains(values, p.Values[i]) {
			values = append(values, p.Values[i])
		}
	}
	return values
}

// orderOf returns how to order the values of a key: numbers by size, approaches
// as in the legends, other names by the alphabet.
func orderOf(values []string) func(a, b string) int {
	if numbers := asNumbers(values); numbers != nil {
		return func(a, b string) int {
			return cmp.Compare(numbers[slices.Index(values, a)], numbers[slices.Index(values, b)])
		}
	}
	rank := func(v string) int {
		if i := slices.Index(approaches(), experiment.Approach(v)); i >= 0 {
			return i
		}
		return len(approaches())
	}
	return func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) }
}

// asNumbers are the values as numbers; nil, if some are none.
func asNumbers(values []string) []float64 {
	var numbers []float64
	for _, v := range values {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return nil
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// mostPanels is how many panels stand side by side and can be read.
const mostPanels = 5

// Which keys are what on the figure. Keys beyond are of the lines.
const (
	xKey = iota
	lineKey
	panelKey
)

func (s *SweepResult) draw(name string) (Figure, error) {
	f := figure.Sweep{XName: axisName(s.Keys[xKey]), X: s.names(xKey), Values: asNumbers(s.values(xKey))}
	xs := s.values(xKey)
	panels := []string{""}
	if len(s.Keys) > panelKey {
		panels = s.values(panelKey)
	}
	if len(panels) > mostPanels {
		return Figure{}, &RefusedError{Reason: fmt.Sprintf("plot sweep: %s has %d values of %s, its third key; at most %d panels can be read: put the keys with more values first",
			name, len(panels), s.Keys[panelKey], mostPanels)}
	}
	var looks []string // labels of the lines by their looks
	var out Figure
	unmeasured := 0
	for _, panel := range panels {
		of := figure.SweepPanel{}
		if panel != "" {
			of.Title = described(s.Keys[panelKey], panel)
		}
		for _, p := range s.Points {
			if len(s.Keys) > panelKey && p.Values[panelKey] != panel {
				continue
			}
			label := s.lineLabel(p)
			if !slices.Contains(looks, label) {
				looks = append(looks, label)
			}
			look := slices.Index(looks, label)
			if look >= mostCompared {
				continue
			}
			i := slices.IndexFunc(of.Lines, func(l figure.SweepLine) bool { return l.Look == look })
			if i < 0 {
				i = len(of.Lines)
				of.Lines = append(of.Lines, figure.SweepLine{Label: label, Look: look})
			}
			point := figure.SweepPoint{X: slices.Index(xs, p.Values[xKey])}
			for _, m := range p.Runs {
				point.Seeds = append(point.Seeds, m.sweepMeasure())
				out.Runs = append(out.Runs, m.Run.Run)
				if m.Latency.N == 0 {
					unmeasured++
				}
			}
			of.Lines[i].Points = append(of.Lines[i].Points, point)
		}
		slices.SortStableFunc(of.Lines, func(a, b figure.SweepLine) int { return a.Look - b.Look })
		f.Panels = append(f.Panels, of)
	}
	f.Title, f.Caption = name+": "+strings.Join(s.Keys, " x "), s.caption()
	if unmeasured > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("runs in which no request was completed, and which have no latency and no cost a token: %d", unmeasured))
	}
	if out.Missing = s.missing(); len(out.Missing) > 0 {
		listed := out.Missing[:min(len(out.Missing), mostListed)]
		note := "not in the store: " + strings.Join(listed, "; ")
		if more := len(out.Missing) - len(listed); more > 0 {
			note += fmt.Sprintf("; and %d more", more)
		}
		f.Notes = append(f.Notes, note)
	}
	if more := len(looks) - mostCompared; more > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("the first %d lines are drawn; %d more are not", mostCompared, more))
	}
	out.Drawing, out.Name = f, FileName("sweep", name)
	return out, nil
}

// missing names the combinations of the values that have no run.
func (s *SweepResult) missing() []string {
	combinations := [][]string{nil}
	for i := range s.Keys {
		var longer [][]string
		for _, c := range combinations {
			for _, v := range s.values(i) {
				longer = append(longer, append(slices.Clone(c), v))
			}
		}
		combinations = longer
	}
	var missing []string
	for _, c := range combinations {
		if slices.ContainsFunc(s.Points, func(p SweepPoint) bool { return slices.Equal(p.Values, c) }) {
			continue
		}
		var parts []string
		for i, v := range c {
			parts = append(parts, described(s.Keys[i], v))
		}
		missing = append(missing, strings.Join(parts, ", "))
	}
	return missing
}

// names are the values of key i as the figure writes them.
func (s *SweepResult) names(i int) []string {
	values := s.values(i)
	if s.Keys[i] == "approach" {
		for j, v := range values {
			values[j] = label(experiment.Approach(v))
		}
	}
	return values
}

// axisName is a key of a sweep with its unit, where the key does not say it.
func axisName(key string) string {
	switch key {
	case "rate":
		return "rate (requests/s)"
	case "grace", "slo":
		return key + " (s)"
	case "price":
		return "spot price (USD/h)"
	}
	return key
}

// lineLabel names the line of a point; "" if there is one line only.
func (s *SweepResult) lineLabel(p SweepPoint) string {
	var parts []string
	for i, key := range s.Keys {
		if i != xKey && i != panelKey {
			parts = append(parts, described(key, p.Values[i]))
		}
	}
	return strings.Join(parts, ", ")
}

// sweepMeasure is what the figure shows of a run.
func (m Measured) sweepMeasure() figure.SweepMeasure {
	of := figure.SweepMeasure{Avg: m.Latency.Avg, P99: m.Latency.P99, USDPerToken: m.USDPerToken}
	if m.Latency.N == 0 {
		of.Avg, of.P99, of.USDPerToken = math.NaN(), math.NaN(), math.NaN()
	}
	if m.Accepted > 0 {
		of.Completed = float64(m.Completed) / float64(m.Accepted)
	}
	return of
}

func (s *SweepResult) caption() []string {
	first := s.Points[0].Runs[0]
	var parts []string
	for _, of := range []struct{ key, text string }{
		{"approach", label(experiment.Approach(first.Approach))}, {"model", first.Model}, {"trace", "trace " + first.Trace},
		{"arrivals", "arrivals: " + first.Arrivals},
	} {
		if !slices.Contains(s.Keys, of.key) && !slices.Contains(s.Varying, of.key) {
			parts = append(parts, of.text)
		}
	}
	var seeds []int
	var all []Measured
	for _, p := range s.Points {
		seeds = append(seeds, len(p.Runs))
		all = append(all, p.Runs...)
	}
	parts = append(parts, span(all, func(m Measured) int { return m.Accepted })+" requests a run", seedsText(seeds))
	if slo := sharedSLO([]Group{{Runs: all}}); slo > 0 {
		parts = append(parts, fmt.Sprintf("SLO: P99 within %g s", slo))
	}
	return parts
}
