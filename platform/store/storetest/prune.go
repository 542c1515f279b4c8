package storetest

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
)

func openPruner(t *testing.T, at Place) store.Pruner {
	t.Helper()
	p, err := at.Writer.As.OpenPruner(t.Context(), at.Writer.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// closed writes b and leaves the store.
func closed(t *testing.T, at Place, b store.Batch) {
	t.Helper()
	w := openWriter(t, at)
	write(t, w, b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// without returns the rows of b that are not of the runs.
func without(b store.Batch, runs ...string) store.Batch {
	gone := func(run string) bool { return slices.Contains(runs, run) }
	return store.Batch{
		Runs:     slices.DeleteFunc(slices.Clone(b.Runs), func(r store.Run) bool { return gone(r.Run) }),
		Requests: slices.DeleteFunc(slices.Clone(b.Requests), func(r store.RequestLatency) bool { return gone(r.Run) }),
		Outputs:  slices.DeleteFunc(slices.Clone(b.Outputs), func(r store.RequestOutput) bool { return gone(r.Run) }),
		Fleet:    slices.DeleteFunc(slices.Clone(b.Fleet), func(r store.FleetEvent) bool { return gone(r.Run) }),
		Configs:  slices.DeleteFunc(slices.Clone(b.Configs), func(r store.ConfigChange) bool { return gone(r.Run) }),
		Moves:    slices.DeleteFunc(slices.Clone(b.Moves), func(r store.Migration) bool { return gone(r.Run) }),
		Nodes:    slices.DeleteFunc(slices.Clone(b.Nodes), func(r store.NodeTime) bool { return gone(r.Run) }),
	}
}

// Pruned runs are gone from all tables and views, the others stay as they are,
// and a pruned run may be written again.
func testPrune(t *testing.T, at Place) {
	b := Random(11, 40, 0, 7, 100, 30)
	odd := "it's 100% \\ \"odd\"; --"
	b.Runs = append(b.Runs, store.Run{Run: odd, Status: "stopped"})
	b.Requests = append(b.Requests, store.RequestLatency{Run: odd, Request: 1})
	closed(t, at, b)
	p := openPruner(t, at)
	prune := func(runs ...string) {
		t.Helper()
		n := 0
		if err := p.Prune(t.Context(), runs, func(gone int) { n += gone }); err != nil {
			t.Fatal(err)
		}
		if n != len(runs) {
			t.Errorf("of %d runs it tells that %d are gone", len(runs), n)
		}
	}
	prune("e2e-001", "e2e-004", "nosuch")
	rest := without(b, "e2e-001", "e2e-004")
	wantRows(t, p, rest)
	prune("e2e-001", odd)
	rest = without(rest, odd)
	wantRows(t, p, rest)
	for _, view := range []string{"latency_summary", "cost_summary"} {
		rows, err := p.Query(t.Context(), "SELECT run FROM "+view+" ORDER BY run")
		if err != nil || len(rows.Values) != 3 {
			t.Errorf("%s after pruning: %v, %v; want the 3 runs that stay", view, rows.Values, err)
		}
	}
	prune()
	if err := p.Prune(t.Context(), []string{"e2e-002"}, nil); err != nil {
		t.Fatal(err)
	}
	wantRows(t, p, without(rest, "e2e-002"))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	w := openWriter(t, at)
	if n, err := w.NextRun(t.Context(), ""); err != nil || n != 6 {
		t.Errorf("NextRun: %d, %v; want 6", n, err)
	}
	write(t, w, b)
	wantRows(t, w, sorted(b))
	s, err := store.Summary(t.Context(), w, "e2e-004")
	if err != nil || s.N == 0 {
		t.Errorf("a run that was pruned and is written again: %+v, %v", s, err)
	}
}

// sorted has the last run of testPrune where its name belongs.
func sorted(b store.Batch) store.Batch {
	b.Runs, b.Requests = slices.Clone(b.Runs), slices.Clone(b.Requests)
	slices.SortStableFunc(b.Runs, func(x, y store.Run) int { return strings.Compare(x.Run, y.Run) })
	slices.SortStableFunc(b.Requests, func(x, y store.RequestLatency) int { return strings.Compare(x.Run, y.Run) })
	return b
}

// More runs than one statement names.
func testPruneMany(t *testing.T, at Place) {
	b := Random(12, make([]int, 1100)...)
	closed(t, at, b)
	p := openPruner(t, at)
	runs := runNames(b.Runs)
	if err := p.Prune(t.Context(), runs[1:], nil); err != nil {
		t.Fatal(err)
	}
	wantRows(t, p, without(b, runs[1:]...))
}

// What was cut off still lists the runs that it has not pruned.
func testPruneCancelled(t *testing.T, at Place) {
	if p, err := at.Writer.As.OpenPruner(t.Context(), at.Writer.URL); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a pruner of a store that does not exist: %v, %v; want ErrNotExist", p, err)
	}
	b := Random(13, 5, 5)
	closed(t, at, b)
	p := openPruner(t, at)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Prune(cancelled, []string{"e2e-001"}, nil); err == nil {
		t.Error("pruning whose context has ended: no error")
	}
	runs, err := store.ListRuns(t.Context(), p)
	if err != nil || len(runs) != 2 {
		t.Errorf("after it the store lists %v, %v; want both runs", runNames(runs), err)
	}
	if err := p.Prune(t.Context(), []string{"e2e-001"}, nil); err != nil {
		t.Fatal(err)
	}
	wantRows(t, p, without(b, "e2e-001"))
}
