package plotter_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
)

// testRun is a finished run of 20B on As that tests change.
func testRun(name, approach string, seed uint64, change ...func(*store.Run)) store.Run {
	var n int64
	_, digits, _ := strings.Cut(name, "-")
	_, _ = fmt.Sscan(digits, &n)
	r := store.Run{
		Run: name, Kind: "e2e", Approach: approach, Model: "20B", Trace: "As", Arrivals: "artifact", Quirks: "none",
		Seed: seed, Status: "finished", StartedUnixMS: 1000 * n, Accepted: 4, Completed: 4, Settings: `{"grace_s":30}`, Version: 1,
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

// newStore makes a store with the runs; run i has the latencies 1, 2, 3 and 4
// times i+1 seconds, as many as it completed. It returns the store's URL.
func newStore(t *testing.T, runs ...store.Run) string {
	t.Helper()
	latencies := make([][]float64, len(runs))
	for i, r := range runs {
		for j := range r.Completed {
			latencies[i] = append(latencies[i], 1000*float64(i+1)*float64(j+1))
		}
	}
	return storeOf(t, runs, latencies)
}

// storeOf makes a store with the runs and the latencies of their requests, in
// milliseconds.
func storeOf(t *testing.T, runs []store.Run, latencies [][]float64) string {
	t.Helper()
	url := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	w, err := open.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	b := store.Batch{Runs: runs}
	for i, r := range runs {
		for j, ms := range latencies[i] {
			start := 0.0
			b.Requests = append(b.Requests, store.RequestLatency{
				Run: r.Run, Request: uint64(j), StartedMS: &start, FinishedMS: &ms, LatencyMS: &ms, Status: "completed", Config: "1x1x1",
			})
		}
	}
	if err := w.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return url
}

func openReader(t *testing.T, url string) store.Reader {
	t.Helper()
	r, err := open.OpenReader(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}
