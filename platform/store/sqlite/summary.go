package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/spotserve/spotserve/platform/store"
)

// percentiles are those of view latency_summary, in the order of its columns.
var percentiles = []float64{0.5, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99}

// ended is the condition on a row of table runs that its requests are complete.
const ended = "status IN ('finished', 'stopped')"

// summarise sums up the runs that b touches and that have ended. A run's rows
// are complete by then; those that come again later change nothing, and are
// summed up again. A run that has not ended has no summary.
func summarise(ctx context.Context, tx *sql.Tx, b store.Batch) error {
	var runs []string
	note := func(run string) {
		if len(runs) == 0 || runs[len(runs)-1] != run {
			runs = append(runs, run)
		}
	}
	for _, r := range b.Runs {
		note(r.Run)
	}
	for _, r := range b.Requests {
		note(r.Run)
	}
	slices.Sort(runs)
	for _, run := range slices.Compact(runs) {
		var known string
		err := tx.QueryRowContext(ctx, "SELECT run FROM runs WHERE run = ? AND "+ended, run).Scan(&known)
		switch {
		case err == nil:
			err = sumUp(ctx, tx, run)
		case errors.Is(err, sql.ErrNoRows):
			_, err = tx.ExecContext(ctx, "DELETE FROM request_summary WHERE run = ?", run)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// summariseMissing sums up the ended runs that an older build has written.
func summariseMissing(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, "SELECT run FROM runs WHERE "+ended+" AND run NOT IN (SELECT run FROM request_summary)")
	if err != nil {
		return err
	}
	defer rows.Close()
	var runs []string
	for rows.Next() {
		var run string
		if err := rows.Scan(&run); err != nil {
			return err
		}
		runs = append(runs, run)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, run := range runs {
		if err := sumUp(ctx, tx, run); err != nil {
			return fmt.Errorf("sum up run %s: %w", run, err)
		}
	}
	return tx.Commit()
}

// sumUp puts what the views say of the requests of a run into request_summary.
func sumUp(ctx context.Context, tx *sql.Tx, run string) error {
	rows, err := tx.QueryContext(ctx, "SELECT latency_ms, tokens_in + tokens_out FROM request_latency WHERE run = ? AND status = 'completed'", run)
	if err != nil {
		return err
	}
	defer rows.Close()
	var sorted []float64 // milliseconds
	completed, tokens := 0, int64(0)
	for rows.Next() {
		var latency sql.NullFloat64
		var n int64
		if err := rows.Scan(&latency, &n); err != nil {
			return err
		}
		completed++
		tokens += n
		if latency.Valid {
			sorted = append(sorted, latency.Float64)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	slices.Sort(sorted)
	values := []any{run, completed, tokens, len(sorted), nil}
	sum := 0.0
	for _, ms := range sorted {
		sum += ms
	}
	if len(sorted) > 0 {
		values[4] = sum / float64(len(sorted)) / 1000
	}
	for _, p := range percentiles {
		var at any
		if len(sorted) > 0 {
			at = sorted[int(p*float64(len(sorted)))] / 1000
		}
		values = append(values, at)
	}
	_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO request_summary (run, completed, tokens, n, avg, p50, p90, p95, p96, p97, p98, p99) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values...)
	return err
}
