package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
)

func requests(n int) store.Batch {
	b := store.Batch{Runs: []store.Run{{Run: "e2e-1"}}}
	for i := range n {
		b.Requests = append(b.Requests, store.RequestLatency{Run: "e2e-1", Request: uint64(i), Status: "completed"})
	}
	return b
}

func exec(t *testing.T, w *Writer, statement string) {
	t.Helper()
	if _, err := w.file.db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, r store.Reader, table string) any {
	t.Helper()
	rows, err := r.Query(t.Context(), "SELECT count(*) FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	return rows.Values[0][0]
}

// A full disk shows up in the middle of a batch: nothing of it stays, and the
// writer goes on when there is space again.
func TestFullDisk(t *testing.T) {
	w, err := Open(t.Context(), filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Write(t.Context(), requests(10)); err != nil {
		t.Fatal(err)
	}
	exec(t, w, "PRAGMA max_page_count = 30")
	for range 2 {
		err := w.Write(t.Context(), requests(10_000))
		if err == nil || !strings.Contains(err.Error(), "full") {
			t.Fatalf("a batch that does not fit: %v, want an error that says so", err)
		}
		if n := count(t, w, "request_latency"); n != int64(10) {
			t.Fatalf("%v requests after a failed batch, want the 10 from before", n)
		}
	}
	exec(t, w, "PRAGMA max_page_count = 1000000")
	if err := w.Write(t.Context(), requests(10_000)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, w, "request_latency"); n != int64(10_000) {
		t.Errorf("%v requests, want 10000", n)
	}
}

// A batch whose last table cannot be written leaves nothing in the others.
func TestBatchIsAtomic(t *testing.T) {
	w, err := Open(t.Context(), filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	exec(t, w, "CREATE TRIGGER refuse BEFORE INSERT ON runs BEGIN SELECT raise(ABORT, 'refused'); END")
	if err := w.Write(t.Context(), requests(10)); err == nil || !strings.Contains(err.Error(), "runs") {
		t.Errorf("got %v, want an error that names the table", err)
	}
	if n := count(t, w, "request_latency"); n != int64(0) {
		t.Errorf("%v requests of a failed batch", n)
	}
	exec(t, w, "DROP TRIGGER refuse")
	if err := w.Write(t.Context(), requests(10)); err != nil {
		t.Error(err)
	}
}

// The connection refuses to write even what the check of the text lets through.
func TestReaderConnectionIsReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	w, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, statement := range []string{
		"INSERT INTO node_time VALUES ('a', 'n', 'spot', 0, 0, 0)", "DROP TABLE runs", "PRAGMA user_version = 9",
		"PRAGMA query_only = 0; DELETE FROM runs; DROP TABLE runs",
	} {
		if _, err := r.query(t.Context(), statement, nil); err == nil {
			t.Errorf("%q: no error", statement)
		}
	}
	if n := count(t, r, "sqlite_schema"); n != count(t, w, "sqlite_schema") || n == int64(0) {
		t.Errorf("the schema has %v entries", n)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	w, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	files, err := schemaFiles()
	if err != nil {
		t.Fatal(err)
	}
	newer := fmt.Sprint("schema ", len(files)+2)
	exec(t, w, fmt.Sprintf("PRAGMA user_version = %d", len(files)+2))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), newer) {
		t.Errorf("a writer of a newer schema: %v, want an error that says %q", err, newer)
	}
	if _, err := OpenReader(t.Context(), path); err == nil || !strings.Contains(err.Error(), newer) {
		t.Errorf("a reader of a newer schema: %v, want an error that says %q", err, newer)
	}
}

// TestTheNextSchemaIsWrittenAndRead: a collector of the version before goes on with
// a store that today's has extended.
func TestTheNextSchemaIsWrittenAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	w, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	files, err := schemaFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"runs", "request_latency", "request_summary", "request_output", "fleet_event", "config_change", "migration", "node_time"} {
		exec(t, w, "ALTER TABLE "+table+" ADD COLUMN of_the_next TEXT NOT NULL DEFAULT 'x'")
	}
	exec(t, w, "CREATE TABLE of_the_next (run TEXT)")
	exec(t, w, fmt.Sprintf("PRAGMA user_version = %d", len(files)+1))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Write(t.Context(), store.Batch{
		Runs:     []store.Run{{Run: "a", Status: "finished", Version: 3, Completed: 1}},
		Requests: []store.RequestLatency{{Run: "a", Request: 1, Status: "completed"}},
		Outputs:  []store.RequestOutput{{Run: "a", Request: 1}}, Nodes: []store.NodeTime{{Run: "a", Node: "n"}},
		Fleet: []store.FleetEvent{{Run: "a", Seq: 1}}, Configs: []store.ConfigChange{{Run: "a"}}, Moves: []store.Migration{{Run: "a"}},
	}); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := r.Query(t.Context(), "SELECT run FROM latency_summary"); err != nil || len(rows.Values) != 1 {
		t.Errorf("%v, %v", rows, err)
	}
	if err := errors.Join(r.Close(), again.Close()); err != nil {
		t.Error(err)
	}
}

// A store of the first schemas, of which views worked out every summary when
// asked, shows the same after the next writer has opened it.
func TestOlderStoreIsBroughtUpToDate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	files, err := schemaFiles()
	if err != nil {
		t.Fatal(err)
	}
	db, err := connect(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for version, statements := range files[:2] {
		if err := migrateTo(t.Context(), db, version+1, statements); err != nil {
			t.Fatal(err)
		}
	}
	for run, status := range []string{"finished", "stopped", "running", "queued", "finished"} {
		if _, err := db.ExecContext(t.Context(), `INSERT INTO runs VALUES (?, 'e2e', '', 'spotserve', '20B', 'As', 0, '', '', 1, 0, 1, ?, '',
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', 3)`, fmt.Sprint("e2e-v", run), status); err != nil {
			t.Fatal(err)
		}
		for request := range 7 * run {
			latency, state := any(float64(request*7919%101)), "completed"
			if request%10 == 9 {
				latency, state = nil, "unfinished"
			}
			if _, err := db.ExecContext(t.Context(), `INSERT INTO request_latency VALUES (?, ?, 0, 1, 2, ?, 3, 4, 512, 128, 0, 0, 0, 1, '1x2x8', ?)`,
				fmt.Sprint("e2e-v", run), request, latency, state); err != nil {
				t.Fatal(err)
			}
		}
	}
	views := func(r store.Reader) (out []store.Rows) {
		for _, view := range []string{"latency_summary", "cost_summary"} {
			rows, err := r.Query(t.Context(), "SELECT * FROM "+view+" ORDER BY run")
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, rows)
		}
		return out
	}
	before := views(&Reader{path, db})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if after := views(w); !reflect.DeepEqual(after, before) {
		t.Errorf("the views show\n%v\nand before\n%v", after, before)
	}
	if n := count(t, w, "request_summary"); n != int64(3) {
		t.Errorf("%v runs are summed up, want the 3 that have ended", n)
	}
}
