package storetest

import (
	"math"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
)

func testLatencySummary(t *testing.T, at Place) {
	w := openWriter(t, at)
	sizes := []int{0, 1, 2, 3, 1000}
	for n := 9; n <= 120; n += 7 {
		sizes = append(sizes, n, n+1)
	}
	b := Random(9, sizes...)
	leaveRunning(b.Runs)
	write(t, w, b)
	wantSummaries(t, w, b)
}

// leaveRunning lets every other run go on.
func leaveRunning(runs []store.Run) {
	for i := range runs {
		if i%2 == 1 {
			runs[i].Status = "running"
		}
	}
}

// testSummaryFollows changes what has been summed up: rows come after the end of
// their run, replace others, and a run begins again.
func testSummaryFollows(t *testing.T, at Place) {
	w := openWriter(t, at)
	b := Random(11, 40, 150, 0)
	b.Runs[1].Status = "stopped"
	write(t, w, store.Batch{Runs: b.Runs, Requests: b.Requests[:100], Nodes: b.Nodes})
	write(t, w, store.Batch{Requests: b.Requests[50:]})
	wantSummaries(t, w, b)
	wantCosts(t, w, b)
	*b.Requests[slices.IndexFunc(b.Requests, func(r store.RequestLatency) bool { return r.Status == "completed" })].LatencyMS = 1e9
	write(t, w, b)
	wantSummaries(t, w, b)
	for i := range b.Runs {
		b.Runs[i].Status = "running"
		b.Runs[i].Version++
	}
	write(t, w, store.Batch{Runs: b.Runs})
	wantSummaries(t, w, b)
	wantCosts(t, w, b)
}

func testCostSummary(t *testing.T, at Place) {
	w := openWriter(t, at)
	b := Random(10, 0, 0, 1, 5, 30, 30, 30)
	leaveRunning(b.Runs)
	write(t, w, b)
	wantCosts(t, w, b)
}

// wantSummaries compares view latency_summary with a computation of its own.
func wantSummaries(t *testing.T, r store.Reader, b store.Batch) {
	t.Helper()
	for _, run := range b.Runs {
		var sorted []float64
		sum := 0.0
		for _, q := range b.Requests {
			if q.Run == run.Run && q.Status == "completed" {
				sorted = append(sorted, *q.LatencyMS)
				sum += *q.LatencyMS / 1000
			}
		}
		slices.Sort(sorted)
		at := func(p float64) float64 {
			if len(sorted) == 0 {
				return 0
			}
			return sorted[int(p*float64(len(sorted)))] / 1000
		}
		want := store.LatencySummary{
			Run: run.Run, N: len(sorted), Avg: sum / math.Max(1, float64(len(sorted))),
			P50: at(.5), P90: at(.9), P95: at(.95), P96: at(.96), P97: at(.97), P98: at(.98), P99: at(.99),
		}
		got, err := store.Summary(t.Context(), r, run.Run)
		if err != nil {
			t.Fatal(err)
		}
		if near(got.Avg, want.Avg) {
			got.Avg = want.Avg // the order of summation is not defined
		}
		if got != want {
			t.Errorf("latency_summary of %d requests:\n got %+v\nwant %+v", want.N, got, want)
		}
	}
	wantRunColumns(t, r, "latency_summary", b)
}

func wantCosts(t *testing.T, r store.Reader, b store.Batch) {
	t.Helper()
	for _, run := range b.Runs {
		want := store.RunCost{Run: run.Run}
		for _, n := range b.Nodes {
			if n.Run != run.Run {
				continue
			}
			want.CostUSD += n.USD
			if n.Market == "spot" {
				want.SpotMinutes += (n.ToMS - n.FromMS) / 60000
			} else {
				want.OnDemandMinutes += (n.ToMS - n.FromMS) / 60000
			}
		}
		tokens := 0
		for _, q := range b.Requests {
			if q.Run == run.Run && q.Status == "completed" {
				want.Completed++
				tokens += q.TokensIn + q.TokensOut
			}
		}
		if tokens > 0 {
			want.USDPerToken = want.CostUSD / float64(tokens)
		}
		got, err := store.CostSummary(t.Context(), r, run.Run)
		if err != nil {
			t.Fatal(err)
		}
		if got.Run != want.Run || got.Completed != want.Completed || !near(got.CostUSD, want.CostUSD) ||
			!near(got.SpotMinutes, want.SpotMinutes) || !near(got.OnDemandMinutes, want.OnDemandMinutes) ||
			!near(got.USDPerToken, want.USDPerToken) {
			t.Errorf("cost_summary:\n got %+v\nwant %+v", got, want)
		}
	}
	wantRunColumns(t, r, "cost_summary", b)
}

// runColumns is what the views repeat of a run.
type runColumns struct {
	Run, Kind, Approach, Model, Trace string
	Level                             int
	Seed                              uint64
	Status                            string
}

func wantRunColumns(t *testing.T, r store.Reader, view string, b store.Batch) {
	t.Helper()
	rows, err := r.Query(t.Context(), "SELECT * FROM "+view+" ORDER BY run")
	if err != nil {
		t.Fatal(err)
	}
	got, err := store.Scan[runColumns](rows)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]runColumns, len(b.Runs))
	for i, run := range b.Runs {
		want[i] = runColumns{run.Run, run.Kind, run.Approach, run.Model, run.Trace, run.Level, run.Seed, run.Status}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", view, got, want)
	}
}

// near allows for sums that were taken in another order.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-12*math.Max(math.Abs(a), math.Abs(b)) }
