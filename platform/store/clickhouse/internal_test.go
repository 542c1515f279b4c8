package clickhouse

import (
	"context"
	"testing"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
)

func open(t *testing.T, url string) *Writer {
	t.Helper()
	w, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func request(n uint64) store.Batch {
	return store.Batch{Requests: []store.RequestLatency{{Run: "e2e-1", Request: n}}}
}

func write(t *testing.T, w *Writer, b store.Batch) {
	t.Helper()
	if err := w.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func wantCount(t *testing.T, r store.Reader, table string, want int64) {
	t.Helper()
	rows, err := r.Query(t.Context(), "SELECT count() FROM "+table)
	if err != nil || rows.Values[0][0] != want {
		t.Errorf("%s: %v, %v; want %d rows", table, rows.Values, err, want)
	}
}

func TestServer(t *testing.T) {
	server := chtest.Start(t)
	t.Run("ReadOnlyQueries", func(t *testing.T) { testReadOnlyQueries(t, server.URL("a")) })
	t.Run("Retention", func(t *testing.T) { testRetention(t, server.URL("b")) })
	t.Run("LostDatabase", func(t *testing.T) { testLostDatabase(t, server.URL("c")) })
	t.Run("HalfDoneSchema", func(t *testing.T) { testHalfDoneSchema(t, server.URL("d")) })
	t.Run("NewerSchema", func(t *testing.T) { testNewerSchema(t, server.URL("e")) })
	t.Run("PlainValues", func(t *testing.T) { testPlainValues(t, server.URL("f")) })
}

// The server refuses to write even what the check of the text lets through, also
// with a deadline, which the client sends as one more setting.
func testReadOnlyQueries(t *testing.T, url string) {
	w := open(t, url)
	write(t, w, request(1))
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, statement := range []string{
		"INSERT INTO runs_rows (run) SELECT 'x'", "DROP TABLE runs_rows", "CREATE TABLE x (a Int8) ENGINE = Memory",
		"ALTER TABLE runs_rows DROP COLUMN kind", "DROP DATABASE a", "SET readonly = 0",
	} {
		for _, ctx := range []context.Context{t.Context(), ctx} {
			if _, err := w.query(ctx, statement, nil); err == nil {
				t.Errorf("%q: no error", statement)
			}
		}
	}
	if _, err := w.query(ctx, "SELECT count() FROM runs", nil); err != nil {
		t.Error(err)
	}
	wantCount(t, w, "request_latency", 1)
}

func testRetention(t *testing.T, url string) {
	w := open(t, url)
	write(t, w, request(1))
	rows, err := w.Query(t.Context(), "SELECT toString(toYYYYMM(written)) FROM request_latency_rows")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.conn.Exec(t.Context(), "ALTER TABLE request_latency_rows DROP PARTITION "+rows.Values[0][0].(string)); err != nil {
		t.Fatal(err)
	}
	wantCount(t, w, "request_latency", 0)
	write(t, w, request(1))
	wantCount(t, w, "request_latency", 1)
}

// A server that comes back without its data: the tables are made again.
func testLostDatabase(t *testing.T, url string) {
	w := open(t, url)
	write(t, w, request(1))
	if err := w.conn.Exec(t.Context(), "DROP DATABASE c"); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), request(2)); err == nil {
		t.Error("a write to a database that has gone: no error")
	}
	write(t, w, request(2))
	wantCount(t, w, "request_latency", 1)
}

// Setting up was cut off: the next writer completes it.
func testHalfDoneSchema(t *testing.T, url string) {
	w := open(t, url)
	for _, statement := range []string{"DROP TABLE schema_version", "DROP TABLE latency_summary", "DROP TABLE migration_rows"} {
		if err := w.conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, url)
	wantCount(t, again, "latency_summary", 0)
	wantCount(t, again, "migration", 0)
}

func testNewerSchema(t *testing.T, url string) {
	w := open(t, url)
	if err := w.conn.Exec(t.Context(), "INSERT INTO schema_version (version) SELECT 99"); err != nil {
		t.Fatal(err)
	}
	if newer, err := Open(t.Context(), url); err == nil {
		newer.Close()
		t.Error("a schema of a newer build: no error")
	}
}

func testPlainValues(t *testing.T, url string) {
	w := open(t, url)
	for expression, want := range map[string]any{
		"toUInt64(18446744073709551615)": "18446744073709551615",
		"toUInt8(7)":                     int64(7),
		"toInt16(-7)":                    int64(-7),
		"toFloat32(0.5)":                 0.5,
		"NULL":                           nil,
		"toDate('2026-01-02')":           "2026-01-02 00:00:00",
		"[1, 2]":                         "[1 2]",
		"toFixedString('ab', 2)":         "ab",
		"CAST(NULL, 'Nullable(Int64)')":  nil,
		"CAST(3, 'Nullable(Int64)')":     int64(3),
	} {
		rows, err := w.Query(t.Context(), "SELECT "+expression+" AS x")
		if err != nil || rows.Values[0][0] != want {
			t.Errorf("%s: %#v, %v; want %#v", expression, rows.Values, err, want)
		}
	}
}

func TestParse(t *testing.T) {
	target, err := parse("clickhouse://user:p%40ss@host/db", credential.Files{})
	if err != nil {
		t.Fatal(err)
	}
	want := clickhouse.Auth{Database: "db", Username: "user", Password: "p@ss"}
	if target.options.Auth != want || target.options.Addr[0] != "host:9000" || target.name != "clickhouse://user:xxxxx@host:9000/db" {
		t.Errorf("got %+v of %v, named %s", target.options.Auth, target.options.Addr, target.name)
	}
}
