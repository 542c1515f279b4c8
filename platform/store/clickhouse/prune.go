package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spotserve/spotserve/platform/store/internal/layout"
)

const (
	// runsAtOnce bounds the length of a statement, far below the 256 KiB that a
	// server takes. Each statement rewrites the parts that hold its runs.
	runsAtOnce = 1000
	// mutationLook is the pause between looks at whether a mutation is done.
	mutationLook = 50 * time.Millisecond
)

// Prune implements store.Pruner by mutations, which all servers from 18.12 on
// have. It does not drop partitions: they are months of inserts and hold many
// runs, also those that stay. The rows of runs go last, so that what was cut off
// is pruned again.
func (w *Writer) Prune(ctx context.Context, runs []string, gone func(runs int)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	tables := layout.Names()
	last := len(tables) - 1
	for some := range slices.Chunk(runs, runsAtOnce) {
		for _, group := range [][]string{tables[:last], tables[last:]} {
			if err := w.remove(ctx, group, some); err != nil {
				return w.target.explain("prune", err)
			}
		}
		if gone != nil {
			gone(len(some))
		}
	}
	return nil
}

// remove removes the runs from some tables, at once, and waits for it.
func (w *Writer) remove(ctx context.Context, tables, runs []string) error {
	names := make([]any, len(runs))
	for i, run := range runs {
		names[i] = run
	}
	where := " DELETE WHERE run IN (?" + strings.Repeat(", ?", len(runs)-1) + ")"
	for _, table := range tables {
		if err := w.conn.Exec(ctx, "ALTER TABLE "+table+"_rows"+where, names...); err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
	}
	for _, table := range tables {
		if err := w.await(ctx, table); err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
	}
	return nil
}

// await waits until all mutations of a table are done: they are carried out in
// their order, so one that somebody else began is waited for in any case.
func (w *Writer) await(ctx context.Context, table string) error {
	look := time.NewTicker(mutationLook)
	defer look.Stop()
	for {
		left, err := w.query(ctx, "SELECT * FROM system.mutations WHERE database = currentDatabase() AND table = ? AND is_done = 0",
			[]any{table + "_rows"})
		if err != nil {
			return err
		}
		if len(left.Values) == 0 {
			return nil
		}
		// Old servers do not tell why one fails.
		if c := slices.Index(left.Columns, "latest_fail_reason"); c >= 0 {
			for _, m := range left.Values {
				if reason, _ := m[c].(string); reason != "" {
					return fmt.Errorf("a mutation fails, and the server goes on trying; system.mutations tells of it: %s", reason)
				}
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
