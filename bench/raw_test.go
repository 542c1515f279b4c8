package bench

import (
	"database/sql"
	"strings"
	"testing"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spotserve/spotserve/platform/store"
)

// requestColumns are the columns of table request_latency, in the order of
// requestValues.
var requestColumns = []string{
	"run", "request", "arrived_ms", "started_ms", "finished_ms", "latency_ms", "queue_ms", "compute_ms",
	"tokens_in", "tokens_out", "committed_carried", "tokens_recomputed", "interruptions", "pipeline", "config", "status",
}

func requestValues(r store.RequestLatency) []any {
	return []any{
		r.Run, int64(r.Request), r.ArrivedMS, r.StartedMS, r.FinishedMS, r.LatencyMS, r.QueueMS, r.ComputeMS,
		int64(r.TokensIn), int64(r.TokensOut), int64(r.CommittedCarried), int64(r.TokensRecomputed),
		int64(r.Interruptions), int64(r.Pipeline), r.Config, r.Status,
	}
}

// openRawSQLite inserts with one prepared statement in one transaction: the
// plainest fast way of database/sql.
func openRawSQLite(b *testing.B, path string) insertRaw {
	b.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	statement := "INSERT INTO request_latency (" + strings.Join(requestColumns, ", ") +
		") VALUES (?" + strings.Repeat(", ?", len(requestColumns)-1) + ")"
	return func(rows []store.RequestLatency) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback()
		insert, err := tx.Prepare(statement)
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, r := range rows {
			if _, err := insert.Exec(requestValues(r)...); err != nil {
				return err
			}
		}
		return tx.Commit()
	}
}

// openRawClickHouse sends one native batch, row by row.
func openRawClickHouse(b *testing.B, url string) insertRaw {
	b.Helper()
	options, err := clickhouse.ParseDSN(url)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	statement := "INSERT INTO request_latency_rows (" + strings.Join(requestColumns, ", ") + ")"
	return func(rows []store.RequestLatency) error {
		insert, err := conn.PrepareBatch(b.Context(), statement)
		if err != nil {
			return err
		}
		return sendRows(insert, rows)
	}
}

func sendRows(insert driver.Batch, rows []store.RequestLatency) error {
	for _, r := range rows {
		if err := insert.Append(requestValues(r)...); err != nil {
			return err
		}
	}
	return insert.Send()
}
