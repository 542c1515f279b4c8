package bench

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/clickhouse"
	"github.com/spotserve/spotserve/platform/store/sqlite"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
)

// BenchmarkSummary reads view latency_summary of stores of two kinds: 486 runs
// of 500 to 2,000 requests, and one run of a million. The runs have ended.
func BenchmarkSummary(b *testing.B) {
	if testing.Short() {
		b.Skip("writes two million rows first")
	}
	b.Run("sqlite", func(b *testing.B) {
		summaries(b, func(b *testing.B) store.Writer {
			w, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"))
			if err != nil {
				b.Fatal(err)
			}
			return w
		})
	})
	b.Run("clickhouse", func(b *testing.B) {
		server := chtest.Start(b)
		n := 0
		summaries(b, func(b *testing.B) store.Writer {
			n++
			w, err := clickhouse.Open(b.Context(), server.URL(fmt.Sprint("summaries", n)))
			if err != nil {
				b.Fatal(err)
			}
			return w
		})
	})
}

func summaries(b *testing.B, open func(*testing.B) store.Writer) {
	facts := runFacts(b)
	pattern := rowsOf(facts, "pattern").Requests
	for _, size := range []struct {
		name     string
		runs     int
		requests func(run int) int
	}{
		{"486-runs", 486, func(run int) int { return 500 + 1500*run/485 }},
		{"a-million-requests", 1, func(int) int { return 1_000_000 }},
	} {
		b.Run(size.name, func(b *testing.B) {
			w := open(b)
			defer w.Close()
			for run := range size.runs {
				fillRun(b, w, fmt.Sprintf("e2e-v%d", run+1), pattern, size.requests(run))
			}
			for b.Loop() {
				rows, err := w.Query(b.Context(), "SELECT * FROM latency_summary")
				if err != nil || len(rows.Values) != size.runs {
					b.Fatalf("%d runs, %v", len(rows.Values), err)
				}
			}
		})
	}
}

// fillRun writes a run of n requests like those of the pattern, in chunks as the
// collector and the runner of virtual runs do.
func fillRun(b *testing.B, w store.Writer, run string, pattern []store.RequestLatency, n int) {
	b.Helper()
	const chunk = 8192
	row := store.Run{Run: run, Kind: "e2e", Status: "running", Version: 2}
	rows := store.Batch{Runs: []store.Run{row}}
	for i := range n {
		r := pattern[i%len(pattern)]
		r.Run, r.Request = run, uint64(i)
		rows.Requests = append(rows.Requests, r)
		if len(rows.Requests) == chunk {
			if err := w.Write(b.Context(), rows); err != nil {
				b.Fatal(err)
			}
			rows = store.Batch{}
		}
	}
	row.Status, row.Version = "finished", 3
	rows.Runs = append(rows.Runs, row)
	if err := w.Write(b.Context(), rows); err != nil {
		b.Fatal(err)
	}
}
