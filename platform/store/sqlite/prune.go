package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/spotserve/spotserve/platform/store/internal/layout"
)

// Prune implements store.Pruner: one transaction a run, so that readers never see
// a part of one, and what is done is done if the process ends.
func (w *Writer) Prune(ctx context.Context, runs []string, gone func(runs int)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := w.current(ctx)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if err := pruneRun(ctx, f.db, run); err != nil {
			return fmt.Errorf("prune run %s from store %s: %w", run, storeName(w.path), err)
		}
		if gone != nil {
			gone(1)
		}
	}
	if err := shrink(ctx, f.db); err != nil {
		return fmt.Errorf("the runs are gone, but store %s has not become smaller: %w", storeName(w.path), err)
	}
	return nil
}

func pruneRun(ctx context.Context, db *sql.DB, run string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, table := range append(layout.Names(), "request_summary") {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE run = ?", run); err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
	}
	return tx.Commit()
}

// shrink gives back to the file system what pruning has freed. That writes the
// rest of the file anew, so it is done where a quarter of the file is free: then
// it costs no more than three times what it frees. Fewer free pages are used for
// the rows to come. The file is cut when its last connection closes.
func shrink(ctx context.Context, db *sql.DB) error {
	var pages, free int64
	if err := db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
		return err
	}
	if free*4 < pages {
		return nil
	}
	_, err := db.ExecContext(ctx, "VACUUM")
	return err
}
