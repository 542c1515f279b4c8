package plotter_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// Changes that make a test run one of another experiment.
func onDemand(nodes int) func(*store.Run) {
	return func(r *store.Run) { r.Kind, r.Trace = "ondemand", fmt.Sprintf("on-demand-%d", nodes) }
}

func workload(trace string) func(*store.Run) {
	return func(r *store.Run) { r.Kind, r.Trace = "workload", trace }
}

func ablation(level int, trace string) func(*store.Run) {
	return func(r *store.Run) { r.Kind, r.Level, r.Trace = "ablation", level, trace }
}

func on(trace string) func(*store.Run) { return func(r *store.Run) { r.Trace = trace } }

func of(model string) func(*store.Run) { return func(r *store.Run) { r.Model = model } }

// add writes rows into a store.
func add(t *testing.T, url string, b store.Batch) {
	t.Helper()
	w, err := open.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(t.Context(), b), w.Close()); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

// saved saves a figure, as nothing else proves that it can be drawn.
func saved(t *testing.T, f plotter.Figure) {
	t.Helper()
	for _, format := range []figure.Format{figure.PNG, figure.SVG, figure.PDF} {
		if err := f.Save(filepath.Join(t.TempDir(), f.Name+"."+string(format))); err != nil {
			t.Error(err)
		}
	}
}

func TestPrice(t *testing.T) {
	runs := []store.Run{
		testRun("e2e-1", "spotserve", 1), testRun("e2e-2", "spotserve", 1, on("As+o")), testRun("e2e-3", "rerouting", 1, on("Bs")),
		testRun("ondemand-4", "spotserve", 1, onDemand(8)), testRun("ondemand-5", "spotserve", 2, onDemand(4)),
		testRun("ondemand-6", "spotserve", 1, onDemand(4)), testRun("ondemand-7", "spotserve", 1, onDemand(4)),
		// These have no place.
		testRun("e2e-8", "spotserve", 1, of("6.7B")), testRun("ondemand-9", "spotserve", 1, onDemand(5)),
		testRun("e2e-10", "spotserve", 1, on("/tmp/a trace")), testRun("workload-11", "spotserve", 1, workload("A")),
	}
	for i := range runs {
		runs[i].USDPerToken = float64(i + 1)
	}
	url := newStore(t, runs...)
	f, err := plotter.Price(t.Context(), openReader(t, url), plotter.Query{})
	if err != nil {
		t.Fatal(err)
	}
	saved(t, f)
	p := f.Drawing.(figure.Price)
	var points []string
	for _, s := range p.Series {
		for _, pt := range s.Points {
			text := fmt.Appendf(nil, "%s(%d,%t) %s:", s.Label, s.Look, s.Joined, pt.Label)
			for _, v := range pt.Seeds {
				text = fmt.Appendf(text, " %g/%g/%g", v.USDPerToken, v.Avg, v.P99)
			}
			points = append(points, string(text))
		}
	}
	expect(t, "points", strings.Join(points, "\n"), `SpotServe(0,false) As: 1/2.5/4
SpotServe(0,false) As+o: 2/5/8
Rerouting(1,false) Bs: 3/7.5/12
On-demand fleets(3,true) 4 nodes: 7/17.5/28 5/12.5/20
On-demand fleets(3,true) 8 nodes: 4/10/16`)
	expect(t, "runs", strings.Join(f.Runs, " "), "e2e-1 e2e-2 e2e-3 ondemand-4 ondemand-5 ondemand-7")
	expect(t, "caption", strings.Join(p.Caption, "; "), "arrivals: artifact; quirks: none; 4 requests a run; 1 to 2 seeds (median, min to max)")
	missing := "spotserve (Bs, Bs+o), rerouting (As, As+o, Bs+o), reparallelization (As, Bs, As+o, Bs+o), ondemand (3 nodes, 6 nodes)"
	expect(t, "missing", strings.Join(f.Missing, ", "), missing)
	expect(t, "notes", strings.Join(p.Notes, "; "), "not in the store: "+missing+
		"; on As+o and Bs+o, what exceeds the nodes of As and Bs at that instant is taken for on-demand; which nodes were is not published")
	expect(t, "name", f.Name, "price-20B-artifact-none")
}

func TestPriceOfAModelWithoutFleets(t *testing.T) {
	url := newStore(t, testRun("e2e-1", "spotserve", 1, of("6.7B")), testRun("ondemand-2", "spotserve", 1, onDemand(4)))
	f, err := plotter.Price(t.Context(), openReader(t, url), plotter.Query{Run: "e2e-1"})
	if err != nil {
		t.Fatal(err)
	}
	saved(t, f)
	expect(t, "runs", strings.Join(f.Runs, " "), "e2e-1")
	if f, err = plotter.Price(t.Context(), openReader(t, url), plotter.Query{}); err != nil {
		t.Fatal(err)
	}
	expect(t, "runs of the model with fleets", strings.Join(f.Runs, " "), "ondemand-2")
}

func TestWorkloadE2E(t *testing.T) {
	url := newStore(t, testRun("workload-1", "spotserve", 1, workload("A")), testRun("workload-2", "rerouting", 1, workload("A")),
		testRun("workload-3", "spotserve", 1, workload("B")), testRun("e2e-4", "reparallelization", 1, on("A")))
	f, err := plotter.WorkloadE2E(t.Context(), openReader(t, url), plotter.Query{Trace: "A"})
	if err != nil {
		t.Fatal(err)
	}
	saved(t, f)
	expect(t, "runs", strings.Join(f.Runs, " "), "workload-1 workload-2")
	expect(t, "name", f.Name, "workload-e2e-20B-A-artifact-none")
	expect(t, "missing", strings.Join(f.Missing, " "), "reparallelization")
}

func TestWorkloadCase(t *testing.T) {
	unfinished := func(r *store.Run) { r.Accepted = 5 }
	url := newStore(t,
		testRun("workload-1", "spotserve", 1, workload("A")), testRun("workload-2", "spotserve", 2, workload("A"), unfinished),
		testRun("workload-3", "rerouting", 2, workload("A")), testRun("workload-4", "spotserve", 3, workload("A")),
		testRun("workload-5", "rerouting", 3, workload("A")))
	add(t, url, store.Batch{
		Requests: []store.RequestLatency{{Run: "workload-2", Request: 9, ArrivedMS: 7000, Status: "unfinished"}},
		Configs: []store.ConfigChange{
			{Run: "workload-2", Epoch: "1.3", AtMS: 331_000, ChangeMS: 330_000, D: 3, P: 3, M: 4, B: 4, DevicesChanged: 8},
			{Run: "workload-2", Epoch: "1.2", AtMS: 301_000, ChangeMS: 300_000, D: 2, P: 2, M: 8, B: 4}, // nothing changed
			{Run: "workload-2", Epoch: "1.1", D: 2, P: 2, M: 8, B: 4, DevicesChanged: 32},
			{Run: "workload-2", Epoch: "1.4", AtMS: 400_000, ChangeMS: 400_000, D: 3, P: 3, M: 4, B: 4, DevicesChanged: 4},
		},
	})
	r := openReader(t, url)
	f, err := plotter.WorkloadCase(t.Context(), r, plotter.Query{})
	if err != nil {
		t.Fatal(err)
	}
	saved(t, f)
	c := f.Drawing.(figure.Case)
	expect(t, "runs", strings.Join(f.Runs, " "), "workload-2 workload-3") // the seed with most approaches, the smallest of two
	expect(t, "arrivals", fmt.Sprint(c.Arrivals), "[0 0 0 0 7]")
	expect(t, "series", fmt.Sprint(c.Series), "[{SpotServe 0 [{0 2} {0 4} {0 6} {0 8}] [{0 2x2x8} {330 3x3x4} {400 3x3x4}]} {Rerouting 1 [{0 3} {0 6} {0 9} {0 12}] []}]")
	expect(t, "caption", strings.Join(c.Caption, "; "),
		"arrivals: artifact; quirks: none; seed 2; 4 to 5 requests a run; configurations as DxPxM")
	expect(t, "notes", strings.Join(c.Notes, "; "),
		"not in the store: reparallelization; requests not completed in a run, and not shown: SpotServe 1")
	expect(t, "name", f.Name, "workload-case-20B-A-artifact-none-seed2")

	for _, tt := range []struct {
		query plotter.Query
		want  string
	}{
		{plotter.Query{Seed: 1}, "workload-1"},
		{plotter.Query{Run: "workload-5"}, "workload-4 workload-5"},
		{plotter.Query{Runs: []string{"workload-1", "workload-5"}}, "workload-1"},
	} {
		f, err := plotter.WorkloadCase(t.Context(), r, tt.query)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, fmt.Sprintf("runs of %+v", tt.query), strings.Join(f.Runs, " "), tt.want)
	}
	for _, tt := range []struct {
		query plotter.Query
		want  string
	}{
		{plotter.Query{Seed: 7, Trace: "A"}, "plot workload-case: the store has no finished workload run on trace A with seed 7; " +
			"make one with: spotserve workload spotserve A --seed 7\nits workload runs, the newest first:"},
		{plotter.Query{Seed: 3, Run: "workload-1"}, "plot workload-case: run workload-1 has seed 1, not 3; leave one of the two away"},
		{plotter.Query{Runs: []string{"workload-9"}}, "plot workload-case: the store has no finished workload run among workload-9; make one"},
	} {
		if _, err := plotter.WorkloadCase(t.Context(), r, tt.query); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestAblation(t *testing.T) {
	url := newStore(t,
		testRun("ablation-1", "spotserve", 1, ablation(0, "As")), testRun("e2e-2", "spotserve", 1), testRun("e2e-3", "spotserve", 2),
		testRun("ablation-4", "spotserve", 2, ablation(0, "As")), testRun("ablation-5", "spotserve", 1, ablation(2, "As")),
		testRun("ablation-6", "spotserve", 1, ablation(4, "As"), func(r *store.Run) { r.Accepted = 6 }),
		// These have no place.
		testRun("e2e-7", "rerouting", 1), testRun("e2e-8", "spotserve", 1, of("30B")), testRun("e2e-9", "spotserve", 1, on("Bs")),
		testRun("e2e-10", "spotserve", 1, on("As+o")),
	)
	for _, query := range []plotter.Query{{}, {Trace: "A"}, {Trace: "As"}, {Run: "e2e-2"}, {Run: "ablation-5", Trace: "A"}} {
		f, err := plotter.Ablation(t.Context(), openReader(t, url), query)
		if err != nil {
			t.Fatalf("%+v: %v", query, err)
		}
		saved(t, f)
		a := f.Drawing.(figure.Ablation)
		// Of level 0 the newest run of each seed, whatever its kind.
		expect(t, "runs", strings.Join(f.Runs, " "), "e2e-2 ablation-4 ablation-5 ablation-6")
		expect(t, "levels", strings.ReplaceAll(fmt.Sprint(a.Levels), "\n", " "),
			"[{SpotServe [{5 8} {10 16}]} {– controller []} {– migration planner [{12.5 20}]} {– interruption arranger []} {– device mapper [{15 24}]}]")
		expect(t, "caption", strings.Join(a.Caption, "; "), "arrivals: artifact; quirks: none; 4 to 6 requests a run; "+
			"seeds: SpotServe 2, without migration planner 1, without device mapper 1 (median, min to max); each level also lacks what those left of it lack")
		expect(t, "notes", strings.Join(a.Notes, "; "), "not in the store: level 1, level 3; "+
			"requests not completed in a run, and not shown: without device mapper 2")
		expect(t, "name", f.Name, "ablation-20B-As-artifact-none")
	}
}

func TestFiguresRefuse(t *testing.T) {
	url := newStore(t,
		testRun("e2e-1", "spotserve", 1), testRun("ablation-2", "spotserve", 1, ablation(1, "As")),
		testRun("ablation-3", "spotserve", 1, ablation(2, "Bs")), testRun("ablation-4", "spotserve", 1, ablation(3, "As"), of("30B")),
		testRun("workload-5", "spotserve", 1, workload("A")), testRun("ondemand-6", "spotserve", 1, onDemand(4)),
		testRun("ondemand-7", "spotserve", 1, onDemand(3), func(r *store.Run) { r.Arrivals = "gamma" }), testRun("e2e-8", "spotserve", 1, on("x.txt")),
	)
	tests := []struct {
		name  string
		make  func() (plotter.Figure, error)
		wants string
	}{
		{"ablations of different subjects", func() (plotter.Figure, error) {
			return plotter.Ablation(t.Context(), openReader(t, url), plotter.Query{})
		}, `plot ablation: the finished runs are of different models or traces, so they are not drawn together; choose with -m MODEL, -t TRACE:
  20B on As: e2e-1 (spotserve, seed 1), ablation-2 (level 1, seed 1)
  20B on Bs: ablation-3 (level 2, seed 1)
  30B on As: ablation-4 (level 3, seed 1)`},
		{"no ablation", func() (plotter.Figure, error) {
			return plotter.Ablation(t.Context(), openReader(t, url), plotter.Query{Trace: "B", Model: "6.7B"})
		}, "plot ablation: the store has no finished ablation or e2e run of model 6.7B on trace Bs; make one with: spotserve ablation 1 B\n"},
		{"prices of different settings", func() (plotter.Figure, error) {
			return plotter.Price(t.Context(), openReader(t, url), plotter.Query{})
		}, "plot price: the finished runs differ in their settings, so they are not drawn together; choose with --arrivals, --quirks or --run RUN:\n"},
		{"prices of nothing", func() (plotter.Figure, error) {
			return plotter.Price(t.Context(), openReader(t, url), plotter.Query{Model: "30B"})
		}, "plot price: the store has no finished ondemand or e2e run of model 30B; make one with: spotserve ondemand 4\n"},
		{"a run that has no place", func() (plotter.Figure, error) {
			return plotter.Price(t.Context(), openReader(t, url), plotter.Query{Run: "e2e-8"})
		}, "plot price: e2e-8 (spotserve, seed 1) on x.txt has no place on this figure"},
		{"no workload", func() (plotter.Figure, error) {
			return plotter.WorkloadE2E(t.Context(), openReader(t, url), plotter.Query{Trace: "B"})
		}, "plot workload-e2e: the store has no finished workload run on trace B; make one with: spotserve workload spotserve B\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.make()
			var refused *plotter.RefusedError
			if !errors.As(err, &refused) || !strings.HasPrefix(refused.Reason, tt.wants) {
				t.Errorf("got %v\nwant %s", err, tt.wants)
			}
		})
	}
}

func TestForRun(t *testing.T) {
	url := newStore(t,
		testRun("e2e-1", "spotserve", 1), testRun("ondemand-2", "spotserve", 1, onDemand(4)),
		testRun("workload-3", "rerouting", 4, workload("B")), testRun("ablation-4", "spotserve", 1, ablation(2, "As")),
		testRun("other-5", "spotserve", 1, func(r *store.Run) { r.Kind = "other" }), testRun("workload-6", "spotserve", 1, workload("B")),
	)
	for run, want := range map[string]string{
		"e2e-1":      "e2e-20B-As-artifact-none",
		"ondemand-2": "price-20B-artifact-none",
		"workload-3": "workload-e2e-20B-B-artifact-none workload-case-20B-B-artifact-none-seed4",
		"ablation-4": "ablation-20B-As-artifact-none",
	} {
		figures, err := plotter.ForRun(t.Context(), openReader(t, url), run)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range figures {
			names = append(names, f.Name)
			if !slices.Contains(f.Runs, run) {
				t.Errorf("%s is not on %s", run, f.Name)
			}
		}
		expect(t, run, strings.Join(names, " "), want)
	}
	for run, want := range map[string]string{
		"other-5": "run other-5 is of kind other, which has no figure", "e2e-9": "the store has no run e2e-9",
	} {
		_, err := plotter.ForRun(t.Context(), openReader(t, url), run)
		var refused *plotter.RefusedError
		if !errors.As(err, &refused) || refused.Reason != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	gone := errors.New("the store is gone")
	if _, err := plotter.ForRun(t.Context(), failing{gone}, "e2e-1"); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
}
