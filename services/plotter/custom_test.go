package plotter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// custom makes a test run one of an experiment of a user's own, with a sweep
// point and further settings as JSON members.
func custom(name, settings string) func(*store.Run) {
	return func(r *store.Run) { r.Kind, r.Name, r.Settings = "custom", name, "{"+settings+"}" }
}

func TestSettingsOf(t *testing.T) {
	run := testRun("custom-1", "spotserve", 1, custom("mine", `"z":1.5,"batching":"pooled","drain":false,"sweep":{"rate":"0.5","a b":"x \"y\""}`))
	expect(t, "settings", fmt.Sprint(plotter.SettingsOf(run)), "[{arrivals artifact} {quirks none} {z 1.5} {batching pooled} {drain false}]")
	expect(t, "point", fmt.Sprint(plotter.SweepOf(run)), `[{rate 0.5} {a b x "y"}]`)
	for _, broken := range []string{"", "[]", "{", `{"a":`, `{"sweep":3}`, "x"} {
		run.Settings = broken
		if point := plotter.SweepOf(run); point != nil {
			t.Errorf("%q: got the point %v", broken, point)
		}
		plotter.SettingsOf(run) // must not panic
	}
}

func TestSweep(t *testing.T) {
	point := func(rate, approach string) string {
		return fmt.Sprintf(`"grace_s":30,"slo_p99_s":6,"arrival_rate_rps":%s,"sweep":{"rate":%q,"approach":%q}`, rate, rate, approach)
	}
	url := newStore(t,
		testRun("custom-1", "spotserve", 1, custom("mine", point("10", "spotserve"))),
		testRun("custom-2", "spotserve", 1, custom("mine", point("9", "spotserve"))),
		testRun("custom-3", "rerouting", 1, custom("mine", point("9", "rerouting"))),
		testRun("custom-4", "spotserve", 1, custom("mine", point("9", "spotserve"))),
		testRun("custom-5", "spotserve", 2, custom("mine", point("9", "spotserve")), func(r *store.Run) { r.Completed, r.Accepted = 0, 3 }),
		// These have no place: another experiment, an earlier version's point and settings, no end.
		testRun("custom-6", "spotserve", 1, custom("other", point("9", "spotserve"))),
		testRun("custom-7", "spotserve", 1, custom("mine", `"sweep":{"grace":"1"}`), func(r *store.Run) { r.StartedUnixMS = 1 }),
		testRun("custom-8", "spotserve", 7, custom("mine", `"grace_s":60,"sweep":{"rate":"9","approach":"spotserve"}`), func(r *store.Run) { r.StartedUnixMS = 2 }),
		testRun("custom-9", "spotserve", 1, custom("mine", point("9", "spotserve")), func(r *store.Run) { r.Status = "stopped" }),
	)
	s, err := plotter.Sweep(t.Context(), openReader(t, url), "mine", nil)
	if err != nil {
		t.Fatal(err)
	}
	saved(t, s.Figure)
	var points []string
	for _, p := range s.Points {
		for _, m := range p.Runs {
			points = append(points, fmt.Sprintf("%s %s %d", strings.Join(p.Values, "/"), m.Run.Run, m.WithinSLO))
		}
	}
	expect(t, "points", strings.Join(points, "; "), "9/spotserve custom-4 1; 9/spotserve custom-5 0; 9/rerouting custom-3 2; 10/spotserve custom-1 4")
	f := s.Figure.Drawing.(figure.Sweep)
	expect(t, "axis", fmt.Sprint(f.XName, f.X, f.Values), "rate (requests/s)[9 10] [9 10]")
	var lines []string
	for _, l := range f.Panels[0].Lines {
		for _, p := range l.Points {
			lines = append(lines, fmt.Sprint(l.Label, l.Look, " ", p.X, " ", p.Seeds))
		}
	}
	expect(t, "lines", strings.Join(lines, "; "), "SpotServe0 0 [{10 16 0 1} {NaN NaN NaN 0}]; SpotServe0 1 [{2.5 4 0 1}]; Rerouting1 0 [{7.5 12 0 1}]")
	expect(t, "caption", strings.Join(f.Caption, "; "), "20B; trace As; arrivals: artifact; 3 to 4 requests a run; 1 to 2 seeds (median, min to max); SLO: P99 within 6 s")
	expect(t, "notes", strings.Join(f.Notes, "; "), "runs in which no request was completed, and which have no latency and no cost a token: 1; not in the store: rate 10, Rerouting")
	expect(t, "varying", strings.Join(s.Varying, " "), "arrival_rate_rps")
	expect(t, "name", s.Figure.Name, "sweep-mine")

	if s, err = plotter.Sweep(t.Context(), openReader(t, url), "mine", []string{"custom-1", "custom-2"}); err != nil {
		t.Fatal(err)
	}
	expect(t, "among some", strings.Join(s.Figure.Runs, " "), "custom-2 custom-1")
}

// TestSweepOfThreeKeys: the third key is the panels, further ones make lines.
func TestSweepOfThreeKeys(t *testing.T) {
	var runs []store.Run
	for i, approach := range []string{"reparallelization", "spotserve"} {
		for j, grace := range []string{"0", "30"} {
			for k, pool := range []string{"one", "two"} {
				settings := fmt.Sprintf(`"sweep":{"approach":%q,"trace.name":"As","grace":%q,"pool":%q}`, approach, grace, pool)
				runs = append(runs, testRun(fmt.Sprintf("custom-%d", 1+4*i+2*j+k), approach, 1, custom("mine", settings)))
			}
		}
	}
	s, err := plotter.Sweep(t.Context(), openReader(t, newStore(t, runs...)), "mine", nil)
	if err != nil {
		t.Fatal(err)
	}
	saved(t, s.Figure)
	f := s.Figure.Drawing.(figure.Sweep)
	expect(t, "axis", fmt.Sprint(f.X, f.Values), "[SpotServe Reparallelization] []")
	var got []string
	for _, p := range f.Panels {
		for _, l := range p.Lines {
			got = append(got, fmt.Sprint(p.Title, ": ", l.Label, " ", l.Look, " ", len(l.Points)))
		}
	}
	expect(t, "lines", strings.Join(got, "; "), "grace 0: trace.name As, pool one 0 2; grace 0: trace.name As, pool two 1 2; "+
		"grace 30: trace.name As, pool one 0 2; grace 30: trace.name As, pool two 1 2")
}

func TestSweepRefuses(t *testing.T) {
	var runs []store.Run
	for i := range 6 {
		runs = append(runs, testRun(fmt.Sprintf("custom-%d", i+1), "spotserve", 1,
			custom("wide", fmt.Sprintf(`"sweep":{"a":"1","b":"1","grace":"%d"}`, i))))
	}
	runs = append(runs, testRun("custom-7", "spotserve", 1, custom("single", "")))
	r := openReader(t, newStore(t, runs...))
	for name, want := range map[string]string{
		"none": "plot sweep: the store has no run and no finished run of a custom experiment named \"none\"\nits custom experiments: wide, single\n" +
			"its newest runs:\n  custom-7 (spotserve, seed 1): 20B on As, finished\n",
		"single": "plot sweep: experiment single has no sweep; compare its runs with: spotserve compare single",
		"wide":   "plot sweep: wide has 6 values of grace, its third key; at most 5 panels can be read: put the keys with more values first",
	} {
		_, err := plotter.Sweep(t.Context(), r, name, nil)
		var refused *plotter.RefusedError
		if !errors.As(err, &refused) || !strings.HasPrefix(refused.Reason, want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	gone := errors.New("the store is gone")
	if _, err := plotter.Sweep(t.Context(), failing{gone}, "wide", nil); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
}

func TestCompare(t *testing.T) {
	url := newStore(t,
		testRun("e2e-1", "spotserve", 1), testRun("e2e-2", "rerouting", 1), testRun("e2e-3", "spotserve", 2, func(r *store.Run) { r.Accepted = 5 }),
		testRun("custom-4", "spotserve", 1, custom("mine", `"grace_s":60,"sweep":{"grace":"60"}`)),
		testRun("custom-5", "spotserve", 1, custom("mine", `"grace_s":0,"sweep":{"grace":"0"}`)),
		testRun("e2e-6", "rerouting", 1), testRun("e2e-7", "rerouting", 2, func(r *store.Run) { r.Completed, r.UnfinishedAtEnd = 0, 4 }),
	)
	r := openReader(t, url)
	for _, tt := range []struct {
		names     string
		fold      bool
		groups    string // label and runs
		different string
		notes     string
	}{
		{"e2e-1 e2e-2", false, "SpotServe: e2e-1; Rerouting: e2e-2", "approach", ""},
		{"e2e-1 e2e-3", false, "seed 1: e2e-1; seed 2: e2e-3", "seed", ""},
		{"e2e-1 e2e-3 e2e-2", true, "SpotServe: e2e-1 e2e-3; Rerouting: e2e-2", "approach", ""},
		{"e2e-1 e2e-2 e2e-6", false, "SpotServe, e2e-1: e2e-1; Rerouting, e2e-2: e2e-2; Rerouting, e2e-6: e2e-6", "approach", ""},
		{"mine", true, "grace 60: custom-4; grace 0: custom-5", "grace grace_s", ""},
		{"mine e2e-1 e2e-1", true, "mine, grace 60: custom-4; mine, grace 0: custom-5; e2e, grace unset: e2e-1", "experiment grace grace_s", ""},
		{"e2e-1", false, "SpotServe: e2e-1", "", ""},
		{"e2e-1 e2e-7", false, "SpotServe: e2e-1; Rerouting: e2e-7", "approach seed", "no request completed in e2e-7 (rerouting, seed 2)"},
	} {
		c, err := plotter.Compare(t.Context(), r, strings.Fields(tt.names), tt.fold)
		if err != nil {
			t.Fatalf("%s: %v", tt.names, err)
		}
		saved(t, c.Figure)
		var groups []string
		for _, g := range c.Groups {
			var runs []string
			for _, m := range g.Runs {
				runs = append(runs, m.Run.Run)
			}
			groups = append(groups, g.Label+": "+strings.Join(runs, " "))
		}
		expect(t, tt.names, strings.Join(groups, "; "), tt.groups)
		expect(t, tt.names+": different", strings.Join(c.Different, " "), tt.different)
		expect(t, tt.names+": notes", strings.Join(c.Figure.Drawing.(figure.Compare).Notes, "; "), tt.notes)
		if same := slices.ContainsFunc(c.Same, func(s plotter.Setting) bool { return slices.Contains(c.Different, s.Key) }); same {
			t.Errorf("%s: a setting is the same and differs: %v, %v", tt.names, c.Same, c.Different)
		}
	}

	c, err := plotter.Compare(t.Context(), r, []string{"e2e-1", "e2e-3"}, true)
	if err != nil {
		t.Fatal(err)
	}
	f := c.Figure.Drawing.(figure.Compare)
	expect(t, "drawn", fmt.Sprint(f.Series), "[{SpotServe 0 [{[1 2 3 4] 4 0} {[3 6 9 12] 5 0}]}]")
	expect(t, "title", f.Title, "SpotServe 20B on As: latency and cost")
	expect(t, "name", c.Figure.Name, "compare-e2e-1-e2e-3")
}

func TestCompareDrawsAsManyAsCanBeToldApart(t *testing.T) {
	var runs []store.Run
	var names []string
	for i := range 10 {
		runs = append(runs, testRun(fmt.Sprintf("e2e-%d", i+1), "spotserve", uint64(i+1)))
		names = append(names, runs[i].Run)
	}
	c, err := plotter.Compare(t.Context(), openReader(t, newStore(t, runs...)), names, false)
	if err != nil {
		t.Fatal(err)
	}
	f := c.Figure.Drawing.(figure.Compare)
	if len(c.Groups) != 10 || len(f.Series) != 8 {
		t.Errorf("got %d groups and %d series, want 10 and 8", len(c.Groups), len(f.Series))
	}
	expect(t, "notes", strings.Join(f.Notes, "; "), "the first 8 are drawn; 2 more are not")
	expect(t, "name", c.Figure.Name, "compare-e2e-1-and-9-more")
}

func TestCompareRefuses(t *testing.T) {
	r := openReader(t, newStore(t,
		testRun("e2e-1", "spotserve", 1, func(r *store.Run) { r.Completed = 0 }),
		testRun("e2e-2", "spotserve", 1, func(r *store.Run) { r.Status = "running" })))
	for name, want := range map[string]string{
		"":      "compare: name at least one run or custom experiment",
		"e2e-1": "compare: no request completed in e2e-1 (spotserve, seed 1)",
		"e2e-2": "compare: run e2e-2 is running; only finished runs are compared",
		"e2e-9": "compare: the store has no run and no finished run of a custom experiment named \"e2e-9\"\nits newest runs:\n  e2e-2 (spotserve, seed 1): 20B on As, running\n",
	} {
		_, err := plotter.Compare(t.Context(), r, strings.Fields(name), false)
		var refused *plotter.RefusedError
		if !errors.As(err, &refused) || !strings.HasPrefix(refused.Reason, want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	gone := errors.New("the store is gone")
	if _, err := plotter.Compare(t.Context(), failing{gone}, []string{"e2e-1"}, false); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
}

func TestForRunOfCustomExperiments(t *testing.T) {
	url := newStore(t,
		testRun("custom-1", "rerouting", 3, custom("single", `"grace_s":1`)),
		testRun("custom-2", "spotserve", 1, custom("swept", `"sweep":{"rate":"1"}`)), testRun("custom-3", "spotserve", 1, custom("swept", `"sweep":{"rate":"2"}`)),
		testRun("custom-4", "spotserve", 1, custom("silent", ""), func(r *store.Run) { r.Completed = 0 }),
	)
	r := openReader(t, url)
	for run, want := range map[string]string{
		"custom-1": "case-single-seed3: custom-1", "custom-2": "sweep-swept: custom-2 custom-3",
	} {
		figures, err := plotter.ForRun(t.Context(), r, run)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range figures {
			saved(t, f)
			expect(t, run, f.Name+": "+strings.Join(f.Runs, " "), want)
		}
	}
	if _, err := plotter.ForRun(t.Context(), r, "custom-4"); err == nil || err.Error() != "plot case: no request completed in custom-4 (spotserve, seed 1)" {
		t.Errorf("got %v", err)
	}
}

// TestCaseOfManyRequests: of a large run the extremes of each part are drawn,
// and its rate is still counted of all.
func TestCaseOfManyRequests(t *testing.T) {
	const n, end = 6000, 60_000.0 // requests, ms
	run := testRun("custom-1", "spotserve", 1, custom("large", ""), func(r *store.Run) {
		r.Accepted, r.Completed, r.DurationMS = n, n, end
	})
	url := storeOf(t, []store.Run{run}, [][]float64{nil})
	var b store.Batch
	for i := range n {
		latency, start := float64(1000+i%100), 0.0
		b.Requests = append(b.Requests, store.RequestLatency{
			Run: run.Run, Request: uint64(i), ArrivedMS: float64(i) * end / n, StartedMS: &start, FinishedMS: &latency, LatencyMS: &latency, Status: "completed",
		})
	}
	add(t, url, b)
	figures, err := plotter.ForRun(t.Context(), openReader(t, url), run.Run)
	if err != nil {
		t.Fatal(err)
	}
	saved(t, figures[0])
	c := figures[0].Drawing.(figure.Case)
	least, most := 9.0, 0.0
	for _, q := range c.Series[0].Requests {
		least, most = min(least, q.Latency), max(most, q.Latency)
	}
	if got := len(c.Series[0].Requests); got != 2000 || least != 1 || most != 1.099 {
		t.Errorf("got %d points from %g to %g s, want 2000 from 1 to 1.099 s", got, least, most)
	}
	windows := map[int]int{}
	for _, at := range c.Arrivals {
		windows[int(at/figure.RateWindow)]++
	}
	expect(t, "arrivals by window", fmt.Sprint(windows), "map[0:3000 1:3000]")
	expect(t, "caption", c.Caption[len(c.Caption)-1], "drawn: the fastest and the slowest of each 1/1000 of the run")
}

// counting counts the queries of a store.
type counting struct {
	store.Reader
	queries int
}

func (c *counting) Query(ctx context.Context, sql string, args ...any) (store.Rows, error) {
	c.queries++
	return c.Reader.Query(ctx, sql, args...)
}

// TestSnapshotAsksOnce: all figures of a report read each run once.
func TestSnapshotAsksOnce(t *testing.T) {
	c := &counting{Reader: openReader(t, newStore(t, testRun("e2e-1", "spotserve", 1), testRun("e2e-2", "rerouting", 1)))}
	r := plotter.Snapshot(c)
	if _, err := plotter.E2E(t.Context(), r, plotter.Query{}); err != nil {
		t.Fatal(err)
	}
	asked := c.queries
	for range 3 {
		if _, err := plotter.E2E(t.Context(), r, plotter.Query{}); err != nil {
			t.Fatal(err)
		}
		if _, err := plotter.E2ESheet(t.Context(), r, plotter.Query{}); err != nil {
			t.Fatal(err)
		}
	}
	if c.queries != asked {
		t.Errorf("got %d more queries for what was read before", c.queries-asked)
	}
	gone := errors.New("the store is gone")
	failed := plotter.Snapshot(failing{gone})
	for range 2 {
		if rows, err := failed.Query(t.Context(), "SELECT 1"); !errors.Is(err, gone) || len(rows.Values) > 0 {
			t.Errorf("got %v, want %v", err, gone)
		}
	}
}
