package storetest

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
)

func testNextRun(t *testing.T, at Place) {
	w := openWriter(t, at)
	want := func(live, virtual uint64) {
		t.Helper()
		for prefix, want := range map[string]uint64{"": live, "v": virtual} {
			n, err := w.NextRun(t.Context(), prefix)
			if err != nil || n != want {
				t.Errorf("NextRun(%q) = %d, %v; want %d", prefix, n, err, want)
			}
		}
	}
	want(1, 1)
	add := func(names ...string) {
		t.Helper()
		var b store.Batch
		for _, name := range names {
			b.Runs = append(b.Runs, store.Run{Run: name})
		}
		write(t, w, b)
	}
	add("e2e-9", "ondemand-10", "e2e-v3")
	want(11, 4)
	add("my-own-run", "e2e-v", "e2e-", "17", "-18", "e2e-19x", "e2e-99999999999999999999")
	want(11, 4)
	add("custom-with-dashes-20", "custom-v-21", "workload-v30")
	want(22, 31)
}

func testTypedQueries(t *testing.T, at Place) {
	w := openWriter(t, at)
	b := store.Batch{
		Runs: []store.Run{{Run: "b", StartedUnixMS: 1}, {Run: "a", StartedUnixMS: 2}, {Run: "c", StartedUnixMS: 1}},
		Configs: []store.ConfigChange{
			{Run: "a", Epoch: "1.9", AtMS: 5}, {Run: "a", Epoch: "1.10", AtMS: 5}, {Run: "a", Epoch: "2.1", AtMS: 5},
			{Run: "a", Epoch: "1.12", AtMS: 4}, {Run: "b", Epoch: "1.1", AtMS: 1},
		},
	}
	write(t, w, b)

	runs, err := store.ListRuns(t.Context(), w)
	if want := []store.Run{b.Runs[0], b.Runs[2], b.Runs[1]}; err != nil || !slices.Equal(runs, want) {
		t.Errorf("ListRuns: %v, %v; want %v", runs, err, want)
	}
	run, err := store.FindRun(t.Context(), w, "a")
	if err != nil || run != b.Runs[1] {
		t.Errorf("FindRun: %v, %v", run, err)
	}
	changes, err := store.ConfigChanges(t.Context(), w, "a")
	var epochs []string
	for _, c := range changes {
		epochs = append(epochs, c.Epoch)
	}
	if want := []string{"1.12", "1.9", "1.10", "2.1"}; err != nil || !slices.Equal(epochs, want) {
		t.Errorf("ConfigChanges: %v, %v; want %v", epochs, err, want)
	}
	_, err = store.FindRun(t.Context(), w, "no' such")
	_, errSummary := store.Summary(t.Context(), w, "no' such")
	_, errCost := store.CostSummary(t.Context(), w, "no' such")
	for _, err := range []error{err, errSummary, errCost} {
		if !errors.Is(err, store.ErrNoRun) || !strings.Contains(err.Error(), "no' such") {
			t.Errorf("an unknown run: %v", err)
		}
	}
}

func testLatestFinished(t *testing.T, at Place) {
	w := openWriter(t, at)
	base := store.Run{Kind: "e2e", Approach: "spotserve", Model: "20B", Trace: "As", Seed: 1, Status: "finished"}
	var b store.Batch
	add := func(name string, change func(*store.Run)) {
		run := base
		run.Run, run.StartedUnixMS = name, int64(len(b.Runs))
		change(&run)
		b.Runs = append(b.Runs, run)
	}
	add("old", func(*store.Run) {})
	add("new", func(r *store.Run) { r.Virtual, r.TimeScale, r.CostUSD = true, 60, 3 })
	add("stopped", func(r *store.Run) { r.Status = "stopped" })
	add("seed", func(r *store.Run) { r.Seed = 2 })
	add("settings", func(r *store.Run) { r.Settings = "{}" })
	add("approach", func(r *store.Run) { r.Approach = "rerouting" })
	add("model", func(r *store.Run) { r.Model = "30B" })
	add("trace", func(r *store.Run) { r.Trace = "Bs" })
	add("kind", func(r *store.Run) { r.Kind = "ablation" })
	write(t, w, b)
	for _, c := range []struct {
		filter store.Filter
		want   []string
	}{
		{store.Filter{}, []string{"approach", "kind", "model", "new", "seed", "settings", "trace"}},
		{store.Filter{Kind: "e2e", Model: "20B", Trace: "As"}, []string{"approach", "new", "seed", "settings"}},
		{store.Filter{Kind: "e2e", Approach: "rerouting"}, []string{"approach"}},
		{store.Filter{Kind: "workload"}, []string{}},
	} {
		runs, err := store.LatestFinished(t.Context(), w, c.filter)
		if got := runNames(runs); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v; want %v", c.filter, got, err, c.want)
		}
	}
}

func testQueryValues(t *testing.T, at Place) {
	w := openWriter(t, at)
	write(t, w, store.Batch{Requests: []store.RequestLatency{{Run: "a", Request: 7, ArrivedMS: 2, Status: "refused"}}})
	rows, err := w.Query(t.Context(),
		"SELECT run, request AS id, arrived_ms, finished_ms, count(*) AS n FROM request_latency WHERE run = ? AND request = ? GROUP BY run, request, arrived_ms, finished_ms;",
		"a", 7)
	want := store.Rows{
		Columns: []string{"run", "id", "arrived_ms", "finished_ms", "n"},
		Values:  [][]any{{"a", int64(7), 2.0, nil, int64(1)}},
	}
	if err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("got %#v, %v; want %#v", rows, err, want)
	}
}

func testQueryErrors(t *testing.T, at Place) {
	w := openWriter(t, at)
	for _, statement := range []string{"SELECT nosuch FROM runs", "SELECT * FROM nosuch", "SELECT FROM WHERE", "", "nonsense"} {
		rows, err := w.Query(t.Context(), statement)
		if err == nil {
			t.Errorf("%q: %v and no error", statement, rows)
		} else if name, _, _ := strings.Cut(at.Writer.URL, "//"); !strings.Contains(err.Error(), name) {
			t.Errorf("%q: the error does not name the store: %v", statement, err)
		}
	}
}

func testOnlyReads(t *testing.T, at Place) {
	w := openWriter(t, at)
	b := Random(7, 5)
	write(t, w, b)
	for _, r := range []store.Reader{w, openReader(t, at)} {
		for _, statement := range []string{
			"INSERT INTO runs (run) VALUES ('x')", "DELETE FROM runs", "UPDATE runs SET kind = 'x'", "DROP TABLE runs",
			"drop view latency_summary", "CREATE TABLE x (a String)", "ALTER TABLE runs ADD COLUMN x String",
			"ATTACH 'x.db' AS x", "DETACH TABLE runs", "PRAGMA user_version = 9", "PRAGMA journal_mode = DELETE",
			"VACUUM", "OPTIMIZE TABLE runs_rows FINAL", "SYSTEM RELOAD CONFIG", "SET readonly = 0", "BEGIN", "USE default",
			"SELECT 1; DROP TABLE runs", "/* SELECT */ DELETE FROM runs", "WITH x AS (SELECT 1) DELETE FROM runs",
		} {
			if rows, err := r.Query(t.Context(), statement); err == nil {
				t.Errorf("%q: %v and no error", statement, rows)
			}
		}
		wantRows(t, r, b)
	}
}

func testReaderSeesLaterWrites(t *testing.T, at Place) {
	w := openWriter(t, at)
	r := openReader(t, at)
	b := Random(8, 10)
	write(t, w, b)
	wantRows(t, r, b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	wantRows(t, r, b)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if rows, err := r.Query(t.Context(), "SELECT 1"); err == nil {
		t.Errorf("a query after Close: %v and no error", rows)
	}
}

func testMissing(t *testing.T, at Place) {
	_, err := at.Reader.As.OpenReader(t.Context(), at.Reader.URL)
	if err == nil || !strings.Contains(err.Error(), "does not exist") || !strings.Contains(err.Error(), "collector") {
		t.Errorf("a store that does not exist: %v", err)
	}
}
