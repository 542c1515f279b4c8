// Package storetest holds every store to the same promises.
package storetest

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
)

// Place is a store, as who writes to it and who reads it reach it.
type Place struct{ Writer, Reader Door }

// Door is a store's URL and the credentials that it takes.
type Door struct {
	As  open.As
	URL string
}

// Run checks a store. Each call of newURL names a store that does not exist yet.
func Run(t *testing.T, newURL func(t *testing.T) string) {
	RunAt(t, func(t *testing.T) Place {
		d := Door{URL: newURL(t)}
		return Place{d, d}
	})
}

// RunAt is Run for a store whose readers are not its writers.
func RunAt(t *testing.T, newPlace func(t *testing.T) Place) {
	for _, test := range []struct {
		name  string
		check func(*testing.T, Place)
	}{
		{"Empty", testEmpty},
		{"RoundTrip", testRoundTrip},
		{"TwiceCountsOnce", testTwiceCountsOnce},
		{"AgainReplaces", testAgainReplaces},
		{"OlderVersionIgnored", testOlderVersionIgnored},
		{"LatencySummary", testLatencySummary},
		{"CostSummary", testCostSummary},
		{"SummaryFollows", testSummaryFollows},
		{"BigBatch", testBigBatch},
		{"ConcurrentWriters", testConcurrentWriters},
		{"NextRun", testNextRun},
		{"TypedQueries", testTypedQueries},
		{"LatestFinished", testLatestFinished},
		{"QueryValues", testQueryValues},
		{"QueryErrors", testQueryErrors},
		{"OnlyReads", testOnlyReads},
		{"ReaderSeesLaterWrites", testReaderSeesLaterWrites},
		{"Reopen", testReopen},
		{"Missing", testMissing},
		{"Prune", testPrune},
		{"PruneMany", testPruneMany},
		{"PruneCancelled", testPruneCancelled},
		{"Cancelled", testCancelled},
	} {
		t.Run(test.name, func(t *testing.T) { test.check(t, newPlace(t)) })
	}
}

// openWriter opens the store until the end of the test.
func openWriter(t *testing.T, at Place) store.Writer {
	t.Helper()
	w, err := at.Writer.As.Open(t.Context(), at.Writer.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func openReader(t *testing.T, at Place) store.Reader {
	t.Helper()
	r, err := at.Reader.As.OpenReader(t.Context(), at.Reader.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func write(t *testing.T, w store.Writer, b store.Batch) {
	t.Helper()
	if err := w.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// ReadAll reads the seven tables back, each sorted by its key.
func ReadAll(ctx context.Context, r store.Reader) (b store.Batch, err error) {
	if b.Runs, err = read[store.Run](ctx, r, "runs", "run"); err != nil {
		return b, err
	}
	if b.Requests, err = read[store.RequestLatency](ctx, r, "request_latency", "run, request"); err != nil {
		return b, err
	}
	if b.Outputs, err = read[store.RequestOutput](ctx, r, "request_output", "run, request"); err != nil {
		return b, err
	}
	if b.Fleet, err = read[store.FleetEvent](ctx, r, "fleet_event", "run, seq, node"); err != nil {
		return b, err
	}
	if b.Configs, err = read[store.ConfigChange](ctx, r, "config_change", "run, epoch"); err != nil {
		return b, err
	}
	if b.Moves, err = read[store.Migration](ctx, r, "migration", "run, epoch"); err != nil {
		return b, err
	}
	b.Nodes, err = read[store.NodeTime](ctx, r, "node_time", "run, node, from_ms")
	return b, err
}

func read[T any](ctx context.Context, r store.Reader, table, key string) ([]T, error) {
	rows, err := r.Query(ctx, "SELECT * FROM "+table+" ORDER BY "+key)
	if err != nil {
		return nil, err
	}
	return store.Scan[T](rows)
}

// wantRows checks that the store holds the rows of want and no others.
func wantRows(t *testing.T, r store.Reader, want store.Batch) {
	t.Helper()
	got, err := ReadAll(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []struct {
		name      string
		got, want any
	}{
		{"runs", got.Runs, want.Runs},
		{"request_latency", got.Requests, want.Requests},
		{"request_output", got.Outputs, want.Outputs},
		{"fleet_event", got.Fleet, want.Fleet},
		{"config_change", got.Configs, want.Configs},
		{"migration", got.Moves, want.Moves},
		{"node_time", got.Nodes, want.Nodes},
	} {
		wantSameRows(t, table.name, reflect.ValueOf(table.got), reflect.ValueOf(table.want))
	}
}

func wantSameRows(t *testing.T, table string, got, want reflect.Value) {
	t.Helper()
	if got.Len() != want.Len() {
		t.Errorf("table %s has %d rows, want %d", table, got.Len(), want.Len())
		return
	}
	for i := range got.Len() {
		if g, w := got.Index(i).Interface(), want.Index(i).Interface(); !reflect.DeepEqual(g, w) {
			t.Errorf("table %s, row %d:\n got %+v\nwant %+v", table, i, g, w)
			return
		}
	}
}

func runNames(runs []store.Run) []string {
	names := make([]string, len(runs))
	for i, r := range runs {
		names[i] = r.Run
	}
	slices.Sort(names)
	return names
}
