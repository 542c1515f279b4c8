package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/progress"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
)

// retention says which runs are pruned.
type retention struct {
	olderThan time.Duration // wall time since the end
	keep      int           // of the ended runs, the newest
	dry       bool
}

func (a *app) prune() *cobra.Command {
	r := new(retention)
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "remove the rows of old runs from the store",
		Long: `Remove the rows of the runs that ended, by the clock, longer ago than
--older-than, and print those runs. Runs that wait or go on stay. Streams and
figures stay too: the collector's --retention purges streams.`,
		Example: "  spotserve prune --older-than 720h --keep 20 --dry-run\n  spotserve prune --older-than 720h --keep 20",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !cmd.Flags().Changed("older-than"):
				return usagef("prune needs --older-than, for example --older-than 720h; 0s is every run that has ended")
			case r.olderThan < 0:
				return usagef("--older-than %s: allowed are durations from 0s on", r.olderThan)
			case r.keep < 0:
				return usagef("--keep %d: allowed are numbers of runs from 0 on", r.keep)
			}
			return a.pruneRuns(cmd.Context(), *r)
		},
	}
	fs := cmd.Flags()
	fs.DurationVar(&r.olderThan, "older-than", 0, "how long ago a run ended at least, such as 720h (required)")
	fs.IntVar(&r.keep, "keep", 0, "how many ended runs stay in any case, those that ended last")
	fs.BoolVar(&r.dry, "dry-run", false, "print the runs and remove nothing; a collector may have the store open")
	return cmd
}

func (a *app) pruneRuns(ctx context.Context, keep retention) (err error) {
	if keep.dry {
		return a.reader(ctx, func(r store.Reader) error {
			old, stay, err := keep.old(ctx, r)
			if err != nil {
				return err
			}
			a.say("%d runs would be removed, %d stay", len(old), stay)
			return a.printRows(prunedRows(old))
		})
	}
	p, err := open.As(a.credentials).OpenPruner(ctx, a.storeURL)
	if err != nil {
		return interruptedOr(ctx, err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	old, stay, err := keep.old(ctx, p)
	if err != nil {
		return interruptedOr(ctx, err)
	}
	gone, err := a.remove(ctx, p, old)
	a.say("%d runs removed, %d stay", gone, stay+len(old)-gone)
	if err != nil {
		return interruptedOr(ctx, err)
	}
	return a.printRows(prunedRows(old))
}

// old lists the runs to remove, and says how many others there are.
func (k retention) old(ctx context.Context, r store.Reader) (old []store.Run, stay int, err error) {
	runs, err := store.ListRuns(ctx, r)
	old = store.EndedBefore(runs, time.Now().Add(-k.olderThan), k.keep)
	return old, len(runs) - len(old), err
}

// remove removes the runs, with progress on the terminal, and says how many are
// gone, also with an error.
func (a *app) remove(ctx context.Context, p store.Pruner, old []store.Run) (gone int, err error) {
	names := make([]string, len(old))
	for i, r := range old {
		names[i] = r.Run
	}
	var bar *progress.Bar
	if terminal := a.terminal(); terminal != nil && len(old) > 1 {
		bar = progress.NewBar(terminal, len(old))
		defer bar.Clear()
	}
	err = p.Prune(ctx, names, func(runs int) {
		gone += runs
		for range runs {
			bar.Done()
		}
	})
	return gone, err
}

func prunedRows(runs []store.Run) store.Rows {
	rows := store.Rows{Columns: []string{"run", "status", "name", "approach", "model", "trace", "seed", "ended"}}
	for _, r := range runs {
		ended, _ := r.Ended()
		rows.Values = append(rows.Values, []any{
			r.Run, r.Status, r.Name, r.Approach, r.Model, r.Trace, int64(r.Seed), ended.Format(time.DateTime),
		})
	}
	return rows
}
