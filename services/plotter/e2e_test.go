package plotter_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

func TestE2E(t *testing.T) {
	late := func(r *store.Run) { r.LateFacts = 3 }
	unfinished := func(r *store.Run) { r.Completed -= 2 }
	noneDone := func(r *store.Run) { r.Completed = 0 }
	tests := []struct {
		name    string
		runs    []store.Run
		query   plotter.Query
		drawn   string // runs
		series  string // label and averages in seconds
		caption string
		notes   string
		file    string
	}{
		{
			name: "one run", runs: []store.Run{testRun("e2e-1", "spotserve", 1)},
			drawn: "e2e-1", series: "SpotServe 2.5", caption: "arrivals: artifact; quirks: none; 4 requests; 1 seed",
			notes: "not in the store: rerouting, reparallelization", file: "e2e-20B-As-artifact-none",
		},
		{
			name: "all approaches in the order of the legend",
			runs: []store.Run{
				testRun("e2e-1", "reparallelization", 1), testRun("e2e-2", "rerouting", 1), testRun("e2e-3", "spotserve", 1),
			},
			query: plotter.Query{Model: "20B", Trace: "As"},
			drawn: "e2e-1 e2e-2 e2e-3", series: "SpotServe 7.5, Rerouting 5, Reparallelization 2.5",
			caption: "arrivals: artifact; quirks: none; 4 requests a run; 1 seed", file: "e2e-20B-As-artifact-none",
		},
		{
			name: "the newest run of each seed",
			runs: []store.Run{
				testRun("e2e-1", "spotserve", 2), testRun("e2e-2", "spotserve", 1), testRun("e2e-3", "spotserve", 2),
				testRun("e2e-4", "spotserve", 2, func(r *store.Run) { r.Status = "stopped" }),
			},
			drawn: "e2e-2 e2e-3", series: "SpotServe 5 7.5",
			caption: "arrivals: artifact; quirks: none; 4 requests a run; 2 seeds (median, min to max)",
			notes:   "not in the store: rerouting, reparallelization", file: "e2e-20B-As-artifact-none",
		},
		{
			name: "what the lines would hide",
			runs: []store.Run{
				testRun("e2e-1", "spotserve", 1, late), testRun("e2e-2", "spotserve", 2),
				testRun("e2e-3", "rerouting", 1, unfinished), testRun("e2e-4", "reparallelization", 1, noneDone),
				testRun("e2e-5", "rerouting", 2, func(r *store.Run) { r.Accepted, r.Completed = 6, 3 }),
				testRun("e2e-6", "rerouting", 3),
			},
			drawn: "e2e-1 e2e-2 e2e-3 e2e-5 e2e-6", series: "SpotServe 2.5 5, Rerouting 4.5 10 15",
			caption: "arrivals: artifact; quirks: none; 4 to 6 requests a run; seeds: SpotServe 2, Rerouting 3 (median, min to max)",
			notes: "not in the store: reparallelization; " +
				"requests not completed in a run, and not shown: Rerouting 0 to 3; " +
				"facts that came late, so that the run may differ from a virtual one: e2e-1 3; " +
				"no request completed in e2e-4 (reparallelization, seed 1)",
			file: "e2e-20B-As-artifact-none",
		},
		{
			name: "selected by arrivals and quirks",
			runs: []store.Run{
				testRun("e2e-1", "spotserve", 1),
				testRun("e2e-2", "spotserve", 1, func(r *store.Run) { r.Arrivals = "gamma" }),
				testRun("e2e-3", "spotserve", 1, func(r *store.Run) { r.Arrivals, r.Quirks = "gamma", "artifact" }),
			},
			query: plotter.Query{Arrivals: "gamma", Quirks: "artifact"},
			drawn: "e2e-3", series: "SpotServe 7.5", caption: "arrivals: gamma; quirks: artifact; 4 requests; 1 seed",
			notes: "not in the store: rerouting, reparallelization", file: "e2e-20B-As-gamma-artifact",
		},
		{
			name: "like a run",
			runs: []store.Run{
				testRun("e2e-1", "spotserve", 1, func(r *store.Run) { r.Settings = `{"grace_s":60}` }),
				testRun("e2e-2", "rerouting", 1, func(r *store.Run) { r.Settings = `{"grace_s":60}` }),
				testRun("e2e-3", "spotserve", 1), testRun("e2e-4", "spotserve", 1, func(r *store.Run) { r.Trace = "Bs" }),
			},
			query: plotter.Query{Run: "e2e-1", Model: "20B"},
			drawn: "e2e-1 e2e-2", series: "SpotServe 2.5, Rerouting 5",
			caption: "arrivals: artifact; quirks: none; 4 requests a run; 1 seed",
			notes:   "not in the store: reparallelization", file: "e2e-20B-As-artifact-none",
		},
		{
			name: "other kinds, models and traces are left out",
			runs: []store.Run{
				testRun("e2e-1", "spotserve", 1),
				testRun("ondemand-2", "spotserve", 1, func(r *store.Run) { r.Kind = "ondemand" }),
				testRun("e2e-3", "spotserve", 1, func(r *store.Run) { r.Model = "30B" }),
				testRun("e2e-4", "rerouting", 1, func(r *store.Run) { r.Trace = "/tmp/my trace.txt" }),
			},
			query: plotter.Query{Model: "20B", Trace: "/tmp/my trace.txt"},
			drawn: "e2e-4", series: "Rerouting 10", caption: "arrivals: artifact; quirks: none; 4 requests; 1 seed",
			notes: "not in the store: spotserve, reparallelization", file: "e2e-20B-_tmp_my_trace.txt-artifact-none",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := plotter.E2E(t.Context(), openReader(t, newStore(t, tt.runs...)), tt.query)
			if err != nil {
				t.Fatal(err)
			}
			var series []string
			tail := f.Drawing.(figure.Tail)
			for _, s := range tail.Series {
				series = append(series, s.Label)
				for _, l := range s.Seeds {
					series[len(series)-1] += fmt.Sprintf(" %g", l[0])
				}
			}
			for _, c := range []struct{ what, got, want string }{
				{"runs", strings.Join(f.Runs, " "), tt.drawn},
				{"series", strings.Join(series, ", "), tt.series},
				{"caption", strings.Join(tail.Caption, "; "), tt.caption},
				{"notes", strings.Join(tail.Notes, "; "), tt.notes},
				{"name", f.Name, tt.file},
			} {
				if c.got != c.want {
					t.Errorf("%s:\ngot  %s\nwant %s", c.what, c.got, c.want)
				}
			}
			if err := f.Save(t.TempDir() + "/" + f.Name + ".svg"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestE2ERefuses(t *testing.T) {
	gamma := func(r *store.Run) { r.Arrivals = "gamma" }
	stored := []store.Run{
		testRun("e2e-1", "spotserve", 1),
		testRun("e2e-2", "rerouting", 1, gamma),
		testRun("e2e-3", "spotserve", 1, func(r *store.Run) { r.Status = "running" }),
		testRun("ondemand-4", "spotserve", 1, func(r *store.Run) { r.Kind = "ondemand" }),
	}
	const list = `
its e2e runs, the newest first:
  e2e-3 (spotserve, seed 1): 20B on As, arrivals artifact, quirks none, running
  e2e-2 (rerouting, seed 1): 20B on As, arrivals gamma, quirks none, finished
  e2e-1 (spotserve, seed 1): 20B on As, arrivals artifact, quirks none, finished`
	tests := []struct {
		name  string
		runs  []store.Run
		query plotter.Query
		want  string
	}{
		{"an empty store", nil, plotter.Query{},
			"plot e2e: the store has no finished e2e run; make one with: spotserve e2e spotserve 20B As\nit has no e2e runs at all"},
		{"another model", stored, plotter.Query{Model: "30B", Trace: "Bs"},
			"plot e2e: the store has no finished e2e run of model 30B on trace Bs; make one with: spotserve e2e spotserve 30B Bs" + list},
		{"other settings", stored, plotter.Query{Model: "20B", Arrivals: "even", Quirks: "artifact"},
			"plot e2e: the store has no finished e2e run of model 20B with arrivals even with quirks artifact; " +
				"make one with: spotserve e2e spotserve 20B As --arrivals even --quirks artifact" + list},
		{"mixed arrivals", stored, plotter.Query{},
			`plot e2e: the finished runs differ in their settings, so they are not drawn together; choose with --arrivals, --quirks or --run RUN:
  arrivals artifact, quirks none: e2e-1 (spotserve, seed 1)
  arrivals gamma, quirks none: e2e-2 (rerouting, seed 1)`},
		{"mixed settings", []store.Run{
			testRun("e2e-1", "spotserve", 1, func(r *store.Run) { r.Settings = `{"grace_s":30,"headroom":1.1}` }),
			testRun("e2e-2", "spotserve", 1, func(r *store.Run) { r.Settings = `{"grace_s":0,"headroom":1.1,"drain":true}` }),
			testRun("e2e-3", "rerouting", 2, func(r *store.Run) { r.Settings = `{"grace_s":30,"headroom":1.1}` }),
			testRun("e2e-4", "rerouting", 2, func(r *store.Run) { r.Settings = `no JSON` }),
		}, plotter.Query{},
			`plot e2e: the finished runs differ in their settings, so they are not drawn together; choose with --arrivals, --quirks or --run RUN:
  arrivals artifact, quirks none, drain unset, grace_s 30, headroom 1.1, settings unset: e2e-1 (spotserve, seed 1), e2e-3 (rerouting, seed 2)
  arrivals artifact, quirks none, drain true, grace_s 0, headroom 1.1, settings unset: e2e-2 (spotserve, seed 1)
  arrivals artifact, quirks none, drain unset, grace_s unset, headroom unset, settings no JSON: e2e-4 (rerouting, seed 2)`},
		{"mixed traces", []store.Run{
			testRun("e2e-1", "spotserve", 1), testRun("e2e-2", "spotserve", 1, func(r *store.Run) { r.Trace = "Bs" }),
		}, plotter.Query{Model: "20B"},
			`plot e2e: the finished runs are of different models or traces, so they are not drawn together; choose with -m MODEL, -t TRACE:
  20B on As: e2e-1 (spotserve, seed 1)
  20B on Bs: e2e-2 (spotserve, seed 1)`},
		{"an unknown run", stored, plotter.Query{Run: "e2e-9"}, "plot e2e: the store has no run e2e-9" + list},
		{"a run of another kind", stored, plotter.Query{Run: "ondemand-4"}, "plot e2e: run ondemand-4 is of kind ondemand, not e2e"},
		{"a run that goes on", stored, plotter.Query{Run: "e2e-3"}, "plot e2e: run e2e-3 is running; only finished runs are drawn"},
		{"a run that contradicts", stored, plotter.Query{Run: "e2e-2", Arrivals: "even"},
			"plot e2e: run e2e-2 has arrivals gamma, not even; leave one of the two away"},
		{"no request completed", []store.Run{testRun("e2e-1", "spotserve", 1, func(r *store.Run) { r.Completed = 0 })}, plotter.Query{},
			"plot e2e: no request completed in e2e-1 (spotserve, seed 1)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := plotter.E2E(t.Context(), openReader(t, newStore(t, tt.runs...)), tt.query)
			var refused *plotter.RefusedError
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if refused.Reason != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", refused.Reason, tt.want)
			}
		})
	}
}

func TestE2EListsTheNewestRunsOnly(t *testing.T) {
	var runs []store.Run
	for i := range 13 {
		runs = append(runs, testRun(fmt.Sprintf("e2e-%d", i+1), "spotserve", uint64(i)))
	}
	_, err := plotter.E2E(t.Context(), openReader(t, newStore(t, runs...)), plotter.Query{Model: "30B"})
	if err == nil || strings.Count(err.Error(), "\n  e2e-") != 10 || !strings.HasSuffix(err.Error(), "\n  and 3 more") {
		t.Errorf("got %v", err)
	}
}

// What is drawn is sorted[int(p*n)] of the latencies that were stored, of every
// seed of every approach.
func TestE2EDrawsThePercentilesOfTheRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 11))
	for round := range 5 {
		var runs []store.Run
		var latencies [][]float64
		for i, approach := range []string{"spotserve", "rerouting", "reparallelization"} {
			for seed := range uint64(1 + rng.IntN(3)) {
				name := fmt.Sprintf("e2e-%d", 10*i+int(seed))
				ms := make([]float64, 1+rng.IntN(200))
				for j := range ms {
					ms[j] = math.Exp(rng.NormFloat64()) * 30_000
				}
				runs = append(runs, testRun(name, approach, seed, func(r *store.Run) { r.Accepted, r.Completed = len(ms), len(ms) }))
				latencies = append(latencies, ms)
			}
		}
		f, err := plotter.E2E(t.Context(), openReader(t, storeOf(t, runs, latencies)), plotter.Query{})
		if err != nil {
			t.Fatal(err)
		}
		drawn := 0
		for _, s := range f.Drawing.(figure.Tail).Series {
			for _, got := range s.Seeds {
				ms := slices.Sorted(slices.Values(latencies[drawn]))
				sum := 0.0
				for _, v := range ms {
					sum += v
				}
				want := []float64{sum / float64(len(ms))}
				for _, p := range []int{90, 95, 96, 97, 98, 99} {
					want = append(want, ms[p*len(ms)/100])
				}
				for i := range want {
					if math.Abs(got[i]-want[i]/1000) > 1e-9*want[i] {
						t.Errorf("round %d, run %s, statistic %d: got %g s, want %g ms", round, runs[drawn].Run, i, got[i], want[i])
					}
				}
				drawn++
			}
		}
		if drawn != len(runs) {
			t.Errorf("round %d: got %d runs, want %d", round, drawn, len(runs))
		}
	}
}

// failing is a store that cannot be read.
type failing struct{ err error }

func (f failing) Query(context.Context, string, ...any) (store.Rows, error) {
	return store.Rows{}, f.err
}
func (f failing) Close() error { return nil }

func TestE2EPassesTheStoresErrorsOn(t *testing.T) {
	gone := errors.New("the store is gone")
	for _, q := range []plotter.Query{{}, {Run: "e2e-1"}} {
		_, err := plotter.E2E(t.Context(), failing{gone}, q)
		var refused *plotter.RefusedError
		if !errors.Is(err, gone) || errors.As(err, &refused) {
			t.Errorf("%+v: got %v", q, err)
		}
	}
}
