package reproduce

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/virtual"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
)

func mustCells(t *testing.T, figures ...string) []Cell {
	t.Helper()
	cells, err := Cells(figures)
	if err != nil {
		t.Fatal(err)
	}
	return cells
}

// TestCells: as many as the paper has, and none twice under two names.
func TestCells(t *testing.T) {
	for figure, want := range map[string]int{"e2e": 36, "price": 4 + 12, "workload": 6, "ablation": 10} {
		if got := len(mustCells(t, figure)); got != want {
			t.Errorf("%s: %d cells, want %d", figure, got, want)
		}
	}
	if got := len(mustCells(t, Figures()...)); got != 54 {
		t.Errorf("all: %d cells, want 54", got)
	}
	ablation := mustCells(t, "ablation")
	for _, trace := range []string{"As", "Bs"} {
		whole := event.StartExperiment{Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20B", Trace: trace}
		if !slices.ContainsFunc(ablation, func(c Cell) bool { return c.Start == whole }) {
			t.Errorf("ablation level 0 on %s is not the end-to-end run", trace)
		}
	}
}

func TestStartsAreSeedBySeed(t *testing.T) {
	cells := mustCells(t, "workload")
	starts := Starts(cells, 3)
	if len(starts) != 18 {
		t.Fatalf("%d starts, want 18", len(starts))
	}
	for i, start := range starts {
		want := cells[i%6].Start
		want.Options.Seed = uint64(i/6 + 1)
		if start != want {
			t.Errorf("start %d is %+v, want %+v", i, start, want)
		}
	}
}

// TestFind: what the runner stores is found again; other settings, other seeds
// and runs that did not end well are not.
func TestFind(t *testing.T) {
	cells := mustCells(t, "workload", "ablation")[:8]
	w, err := open.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	find := func(want map[int]string) {
		t.Helper()
		names, err := Find(t.Context(), w, cells, 2)
		if err != nil || len(names) != 2*len(cells) {
			t.Fatalf("%v, %d names", err, len(names))
		}
		for i, name := range names {
			if name != want[i] {
				t.Errorf("start %d: found %q, want %q", i, name, want[i])
			}
		}
	}
	find(nil)
	starts, runner := Starts(cells, 3), virtual.NewRunner(w)
	drain := starts[3]
	drain.Options.Drain = true
	for _, start := range []event.StartExperiment{starts[1], starts[7], starts[8+6], starts[1], starts[16], drain} {
		if _, err := runner.Run(t.Context(), start); err != nil {
			t.Fatal(err)
		}
	}
	kind := func(i int) string { return string(starts[i].Experiment) }
	want := map[int]string{1: kind(1) + "-v4", 7: kind(7) + "-v2", 14: kind(14) + "-v3"}
	find(want)

	run, err := store.FindRun(t.Context(), w, "workload-v4")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*store.Run){
		func(r *store.Run) { r.Status = "stopped" },
		func(r *store.Run) { r.LateFacts = 1 },
	} {
		changed := run
		changed.Run, changed.Seed = "workload-9", 2
		change(&changed)
		if err := w.Write(t.Context(), store.Batch{Runs: []store.Run{changed}}); err != nil {
			t.Fatal(err)
		}
		find(want)
	}
}
