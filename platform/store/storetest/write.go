package storetest

import (
	"context"
	"math"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
)

func testEmpty(t *testing.T, at Place) {
	w := openWriter(t, at)
	write(t, w, store.Batch{})
	for _, r := range []store.Reader{w, openReader(t, at)} {
		wantRows(t, r, store.Batch{})
		for _, view := range []string{"latency_summary", "cost_summary"} {
			rows, err := r.Query(t.Context(), "SELECT * FROM "+view)
			if err != nil || len(rows.Values) > 0 || len(rows.Columns) < 9 {
				t.Errorf("%s of an empty store: %v, %v", view, rows, err)
			}
		}
	}
}

// Extremes of each type, and texts that a careless quoting would break.
func extremes() store.Batch {
	const odd = "it's \"odd\"\\ \n\t?;-- `日本` \x00 end"
	large, small := math.MaxFloat64, -math.SmallestNonzeroFloat64
	return store.Batch{
		Runs: []store.Run{
			{Run: "a"},
			{
				Run: odd, Kind: odd, Name: odd, Approach: odd, Model: odd, Trace: odd, Level: math.MinInt64,
				Arrivals: odd, Quirks: odd, Seed: math.MaxUint64, TimeScale: large, Virtual: true, Status: odd, Reason: odd,
				StartedUnixMS: math.MinInt64, DurationMS: small, Accepted: math.MaxInt64, CostUSD: 0.1, USDPerToken: 4.6875e-5,
				Settings: odd, Version: math.MaxInt64,
			},
		},
		Requests: []store.RequestLatency{
			{Run: "a"},
			{Run: "a", Request: math.MaxInt64, StartedMS: &large, FinishedMS: &small, LatencyMS: &large, Pipeline: -1, Status: odd},
		},
		Fleet:   []store.FleetEvent{{Run: "a"}, {Run: "a", Seq: 1, Node: odd, Event: odd, Market: odd, AtMS: small, DueMS: &large}},
		Configs: []store.ConfigChange{{Run: "a", D: 1, P: 2, M: 3, B: 4}, {Run: "a", Epoch: odd, Why: odd, RunnersUp: odd}},
		Moves:   []store.Migration{{Run: "a"}, {Run: "a", Epoch: odd, DeadlineMS: &small, ModelBytes: math.MaxInt64}},
		Nodes:   []store.NodeTime{{Run: "a", FromMS: -1}, {Run: "a", Node: odd, Market: odd, FromMS: small, ToMS: large}},
	}
}

func testRoundTrip(t *testing.T, at Place) {
	want := extremes()
	w := openWriter(t, at)
	write(t, w, want)
	wantRows(t, w, want)
	wantRows(t, openReader(t, at), want)
}

func testTwiceCountsOnce(t *testing.T, at Place) {
	w := openWriter(t, at)
	b := Random(1, 50, 50)
	write(t, w, b)
	write(t, w, b)
	both := store.Batch{
		Runs: append(b.Runs, b.Runs...), Requests: append(b.Requests, b.Requests...), Fleet: append(b.Fleet, b.Fleet...),
		Configs: append(b.Configs, b.Configs...), Moves: append(b.Moves, b.Moves...), Nodes: append(b.Nodes, b.Nodes...),
	}
	write(t, w, both)
	wantRows(t, w, b)
	wantSummaries(t, w, b)
	wantCosts(t, w, b)
}

func testAgainReplaces(t *testing.T, at Place) {
	w := openWriter(t, at)
	b := Random(2, 20)
	write(t, w, b)
	for i := range b.Requests {
		b.Requests[i].ComputeMS++
		b.Requests[i].StartedMS = nil
	}
	for i := range b.Nodes {
		b.Nodes[i].USD++
	}
	b.Runs[0].Version++
	b.Runs[0].Status = "stopped"
	write(t, w, b)
	wantRows(t, w, b)
	wantSummaries(t, w, b)
}

func testOlderVersionIgnored(t *testing.T, at Place) {
	w := openWriter(t, at)
	version := func(n uint64, status string) store.Run {
		return store.Run{Run: "e2e-1", Status: status, Version: n}
	}
	want := func(status string) {
		t.Helper()
		run, err := store.FindRun(t.Context(), w, "e2e-1")
		if err != nil || run.Status != status {
			t.Errorf("status %q, %v; want %q", run.Status, err, status)
		}
	}
	write(t, w, store.Batch{Runs: []store.Run{version(2, "running"), version(1, "queued")}})
	want("running")
	write(t, w, store.Batch{Runs: []store.Run{version(1, "queued")}})
	want("running")
	write(t, w, store.Batch{Runs: []store.Run{version(5, "finished"), version(9, "stopped"), version(7, "late")}})
	want("stopped")
	write(t, w, store.Batch{Runs: []store.Run{version(8, "finished")}})
	want("stopped")
}

func testBigBatch(t *testing.T, at Place) {
	w := openWriter(t, at)
	b := Random(3, 20_000, 1)
	write(t, w, b)
	wantRows(t, w, b)
	wantSummaries(t, w, b)
}

func testConcurrentWriters(t *testing.T, at Place) {
	w := openWriter(t, at)
	b := Random(4, 200)
	var group sync.WaitGroup
	for part := range 8 {
		group.Go(func() {
			if err := w.Write(t.Context(), store.Batch{Runs: b.Runs, Requests: b.Requests[part*25 : part*25+25]}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	wantRows(t, w, store.Batch{Runs: b.Runs, Requests: b.Requests})
}

func testReopen(t *testing.T, at Place) {
	b := Random(5, 10)
	w := openWriter(t, at)
	write(t, w, b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	wantRows(t, openReader(t, at), b)
	again := openWriter(t, at)
	write(t, again, b)
	wantRows(t, again, b)
}

func testCancelled(t *testing.T, at Place) {
	w := openWriter(t, at)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	b := Random(6, 10)
	if err := w.Write(cancelled, b); err == nil {
		t.Error("a write whose context has ended: no error")
	}
	write(t, w, b)
	wantRows(t, w, b)
}
