package plotter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

func with(settings string) func(*store.Run) { return func(r *store.Run) { r.Settings = settings } }

// panels writes the series of panels: label, look and averages.
func panels(rows [][]figure.TailPanel) string {
	var b strings.Builder
	for _, row := range rows {
		for _, p := range row {
			fmt.Fprintf(&b, "%s:", p.Title)
			for _, s := range p.Series {
				fmt.Fprintf(&b, " %s(%d)", s.Label, s.Look)
				for _, l := range s.Seeds {
					fmt.Fprintf(&b, " %g", l[0])
				}
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func TestE2ESheet(t *testing.T) {
	rate := func(rps float64) func(*store.Run) {
		return with(fmt.Sprintf(`{"grace_s":30,"arrival_rate_rps":%g,"profile":"p%g"}`, rps, rps))
	}
	url := newStore(t,
		testRun("e2e-1", "spotserve", 1, rate(0.35)), testRun("e2e-2", "spotserve", 2, rate(0.35)),
		testRun("e2e-3", "rerouting", 1, rate(0.35)), testRun("e2e-4", "spotserve", 1, on("Bs+o"), rate(0.35)),
		testRun("e2e-5", "reparallelization", 1, of("6.7B"), on("Bs"), rate(1.5), func(r *store.Run) { r.Accepted = 7 }),
		// These have no place.
		testRun("e2e-6", "spotserve", 1, on("x.txt"), rate(0.35)), testRun("workload-7", "spotserve", 1, workload("A")),
		testRun("e2e-8", "spotserve", 1, of("345M"), rate(2)),
	)
	f, err := plotter.E2ESheet(t.Context(), openReader(t, url), plotter.Query{})
	if err != nil {
		t.Fatal(err)
	}
	saved(t, f)
	s := f.Drawing.(figure.TailSheet)
	expect(t, "panels", panels(s.Rows), `6.7B on As:
6.7B on Bs: Reparallelization(2) 12.5
6.7B on As+o:
6.7B on Bs+o:
20B on As: SpotServe(0) 2.5 5 Rerouting(1) 7.5
20B on Bs:
20B on As+o:
20B on Bs+o: SpotServe(0) 10
`)
	expect(t, "runs", strings.Join(f.Runs, " "), "e2e-5 e2e-1 e2e-2 e2e-3 e2e-4")
	expect(t, "missing", strings.Join(f.Missing, "; "), "6.7B spotserve (As, Bs, As+o, Bs+o); 6.7B rerouting (As, Bs, As+o, Bs+o); "+
		"6.7B reparallelization (As, As+o, Bs+o); 20B spotserve (Bs, As+o); 20B rerouting (Bs, As+o, Bs+o); "+
		"20B reparallelization (As, Bs, As+o, Bs+o); 30B")
	expect(t, "notes", strings.Join(s.Notes[1:], "; "), "requests not completed in a run, and not shown: 6.7B Reparallelization 3")
	expect(t, "name", f.Name, "e2e-sheet-6.7B+20B-artifact-none")

	if f, err = plotter.E2ESheet(t.Context(), openReader(t, url), plotter.Query{Model: "20B", Runs: []string{"e2e-2", "e2e-5"}}); err != nil {
		t.Fatal(err)
	}
	expect(t, "runs of one model among some", strings.Join(f.Runs, " "), "e2e-2")
}

func TestE2ESheetRefuses(t *testing.T) {
	url := newStore(t,
		testRun("e2e-1", "spotserve", 1, with(`{"grace_s":30,"arrival_rate_rps":0.35}`)),
		testRun("e2e-2", "spotserve", 1, of("30B"), with(`{"grace_s":60,"arrival_rate_rps":0.2}`)),
		testRun("e2e-3", "spotserve", 1, of("6.7B"), with(`{"grace_s":30}`)), testRun("e2e-4", "spotserve", 2, of("6.7B"), with(`{"grace_s":9}`)),
	)
	for _, tt := range []struct {
		query plotter.Query
		want  string
	}{
		{plotter.Query{Runs: []string{"e2e-1", "e2e-2"}}, `plot e2e: the finished runs differ in their settings, so they are not drawn together; choose with --arrivals, --quirks or -m MODEL:
  arrivals artifact, quirks none, arrival_rate_rps 0.35, grace_s 30: e2e-1 (spotserve, seed 1)
  arrivals artifact, quirks none, arrival_rate_rps 0.2, grace_s 60: e2e-2 (spotserve, seed 1)`},
		{plotter.Query{}, `plot e2e: the finished runs differ in their settings, so they are not drawn together; choose with --arrivals, --quirks or --run RUN:
  arrivals artifact, quirks none, grace_s 30: e2e-3 (spotserve, seed 1)
  arrivals artifact, quirks none, grace_s 9: e2e-4 (spotserve, seed 2)`},
		{plotter.Query{Quirks: "artifact"}, "plot e2e: the store has no finished e2e run of model 30B with quirks artifact; make one with: spotserve e2e spotserve 30B As --quirks artifact\n"},
		{plotter.Query{Model: "345M"}, `plot e2e: no published model is called "345M": there are 6.7B, 20B, 30B`},
	} {
		_, err := plotter.E2ESheet(t.Context(), openReader(t, url), tt.query)
		var refused *plotter.RefusedError
		if !errors.As(err, &refused) || !strings.HasPrefix(refused.Reason, tt.want) {
			t.Errorf("%+v: got %v, want %s", tt.query, err, tt.want)
		}
	}
}

func TestWorkloadSheet(t *testing.T) {
	url := newStore(t,
		testRun("workload-1", "spotserve", 1, workload("A")), testRun("workload-2", "spotserve", 2, workload("A")),
		testRun("workload-3", "rerouting", 2, workload("A")), testRun("workload-4", "rerouting", 4, workload("B")),
		testRun("workload-5", "rerouting", 5, workload("B")),
	)
	for seed, want := range map[uint64]string{
		0: "(g) trace A, each request of seed 2: SpotServe 4 Rerouting 4\n(h) trace B, each request of seed 4: Rerouting 4\n",
		5: "(g) trace A:\n(h) trace B, each request of seed 5: Rerouting 4\n",
	} {
		f, err := plotter.WorkloadSheet(t.Context(), openReader(t, url), plotter.Query{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		saved(t, f)
		var cases strings.Builder
		var tails [][]figure.TailPanel
		for _, c := range f.Drawing.(figure.WorkloadSheet).Columns {
			tails = append(tails, []figure.TailPanel{{Title: c.TailTitle, Series: c.Tail}})
			fmt.Fprintf(&cases, "%s:", c.CaseTitle)
			for _, s := range c.Case.Series {
				fmt.Fprintf(&cases, " %s %d", s.Label, len(s.Requests))
			}
			cases.WriteByte('\n')
		}
		expect(t, "tails", panels(tails), "(e) trace A: SpotServe(0) 2.5 5 Rerouting(1) 7.5\n(f) trace B: Rerouting(1) 10 12.5\n")
		expect(t, "cases", cases.String(), want)
		expect(t, "missing", strings.Join(f.Missing, "; "), "spotserve (B); reparallelization (A, B)")
		expect(t, "name", f.Name, "workload-sheet-20B-artifact-none")
	}
}

func TestAblationSheet(t *testing.T) {
	url := newStore(t,
		testRun("e2e-1", "spotserve", 1), testRun("ablation-2", "spotserve", 1, ablation(0, "As")),
		testRun("ablation-3", "spotserve", 1, ablation(4, "Bs")), testRun("e2e-4", "spotserve", 1, on("As+o")),
	)
	f, err := plotter.AblationSheet(t.Context(), openReader(t, url), plotter.Query{})
	if err != nil {
		t.Fatal(err)
	}
	saved(t, f)
	var got []string
	for _, p := range f.Drawing.(figure.AblationSheet).Panels {
		for i, l := range p.Levels {
			got = append(got, fmt.Sprint(p.Title, " ", i, " ", l.Seeds))
		}
	}
	expect(t, "bars", strings.Join(got, "; "), "20B on As 0 [{5 8}]; 20B on As 1 []; 20B on As 2 []; 20B on As 3 []; 20B on As 4 []; "+
		"20B on Bs 0 []; 20B on Bs 1 []; 20B on Bs 2 []; 20B on Bs 3 []; 20B on Bs 4 [{7.5 12}]")
	expect(t, "runs", strings.Join(f.Runs, " "), "ablation-2 ablation-3")
	expect(t, "name", f.Name, "ablation-sheet-20B-artifact-none")
	if len(f.Missing) != 8 {
		t.Errorf("got %q, want 8 missing", f.Missing)
	}
}
