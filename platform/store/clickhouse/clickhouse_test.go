package clickhouse_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/clickhouse"
	"github.com/spotserve/spotserve/platform/store/sqlite"
	"github.com/spotserve/spotserve/platform/store/storetest"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
)

func TestConformance(t *testing.T) {
	server := chtest.Start(t)
	var n atomic.Int64
	storetest.Run(t, func(*testing.T) string { return server.URL(fmt.Sprintf("test_%d", n.Add(1))) })
}

func openWriter(t *testing.T, url string) *clickhouse.Writer {
	t.Helper()
	w, err := clickhouse.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// Both stores show the same rows in the same columns.
func TestSameAsSQLite(t *testing.T) {
	here := openWriter(t, chtest.Start(t).URL("same"))
	there, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	b := storetest.Random(20, 0, 1, 2, 20, 50, 100, 333)
	for _, w := range []store.Writer{here, there} {
		for range 2 {
			if err := w.Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, query := range []string{
		"SELECT * FROM latency_summary ORDER BY run",
		"SELECT * FROM cost_summary ORDER BY run",
		"SELECT * FROM runs ORDER BY run",
		"SELECT * FROM request_latency ORDER BY run, request",
		"SELECT * FROM fleet_event ORDER BY run, seq, node",
		"SELECT * FROM config_change ORDER BY run, epoch",
		"SELECT * FROM migration ORDER BY run, epoch",
		"SELECT * FROM node_time ORDER BY run, node, from_ms",
	} {
		a, err := here.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		b, err := there.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, query, a, b)
	}
}

func wantSame(t *testing.T, query string, a, b store.Rows) {
	t.Helper()
	if !slices.Equal(a.Columns, b.Columns) || len(a.Values) != len(b.Values) || len(a.Values) == 0 {
		t.Errorf("%s: %d rows of %v and %d rows of %v", query, len(a.Values), a.Columns, len(b.Values), b.Columns)
		return
	}
	for i := range a.Values {
		for c, name := range a.Columns {
			if x, y := a.Values[i][c], b.Values[i][c]; x != y && !nearly(name, x, y) {
				t.Errorf("%s: row %d, %s: %#v and %#v", query, i, name, x, y)
			}
		}
	}
}

// nearly allows for sums that were taken in another order.
func nearly(column string, x, y any) bool {
	a, okA := x.(float64)
	b, okB := y.(float64)
	summed := []string{"avg", "spot_minutes", "on_demand_minutes", "cost_usd", "usd_per_token"}
	return okA && okB && slices.Contains(summed, column) && math.Abs(a-b) <= 1e-12*math.Abs(a)
}

func TestServerGoesAndComesBack(t *testing.T) {
	server := chtest.Start(t)
	w := openWriter(t, server.URL("spot"))
	r, err := clickhouse.OpenReader(t.Context(), server.URL("spot"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := storetest.Random(1, 50)
	for i, away := range []func(){server.Stop, server.Kill} {
		if err := w.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		away()
		b.Requests = append(b.Requests, store.RequestLatency{Run: "e2e-002", Request: uint64(i)})
		if err := w.Write(t.Context(), b); err == nil || !strings.Contains(err.Error(), server.URL("spot")[len("clickhouse://default:@"):]) {
			t.Errorf("a write while the server is away: %v; want an error that names it", err)
		}
		if rows, err := r.Query(t.Context(), "SELECT 1"); err == nil {
			t.Errorf("a query while the server is away: %v and no error", rows)
		}
		server.Restart()
		if err := w.Write(t.Context(), b); err != nil {
			t.Fatalf("after it came back: %v", err)
		}
		rows, err := r.Query(t.Context(), "SELECT count(*) FROM request_latency")
		if err != nil || rows.Values[0][0] != int64(len(b.Requests)) {
			t.Errorf("after it came back: %v, %v; want %d requests", rows.Values, err, len(b.Requests))
		}
	}
}
