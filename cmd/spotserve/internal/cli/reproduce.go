package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/reproduce"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/report"
)

// everyFigure asks reproduce for all figures.
const everyFigure = "all"

// maxSeeds bounds the runs that one command makes of an experiment.
const maxSeeds = 1000

type reproduceOptions struct {
	seeds     int
	live      bool
	fresh     bool
	timeScale float64
	out       string
	pace      pace
}

func (a *app) reproduce() *cobra.Command {
	var o reproduceOptions
	allowed := append(report.Which(), everyFigure)
	cmd := &cobra.Command{
		Use:   "reproduce [figures]",
		Short: "run every published experiment, and make its tables and figures",
		Long: fmt.Sprintf(`Run the published experiments with several seeds, in virtual time on all cores,
print the result tables, and write report.md, report.html and all figures as
PNG, SVG and PDF into <data>/reproduce.

  figures  %s (default all)

Runs that the store has already are not made again: what was interrupted goes on
where it stopped.`, list(allowed)),
		Example: "  spotserve reproduce\n  spotserve reproduce ablation --seeds 3 -o fig9",
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usagef("%s takes at most one argument, got %d: %s", cmd.CommandPath(), len(args), cmd.UseLine())
			case len(args) == 1 && !slices.Contains(allowed, args[0]):
				return usagef("unknown figures %q: allowed are %s", args[0], list(allowed))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.seeds < 1 || o.seeds > maxSeeds:
				return usagef("--seeds %d: allowed are 1 to %d", o.seeds, maxSeeds)
			case !(o.timeScale > 0):
				return usagef("--time-scale %g: allowed are numbers above 0", o.timeScale)
			}
			figures := report.Which()
			if len(args) == 1 && args[0] != everyFigure {
				figures = args
			}
			o.pace.virtual = !o.live
			return a.reproduceFigures(cmd.Context(), figures, o)
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&o.seeds, "seeds", 9, "run every experiment with the seeds 1 to this")
	fs.BoolVar(&o.live, "live", false, "run live, one experiment after the other, instead of in virtual time")
	fs.Float64Var(&o.timeScale, "time-scale", 60, "experiment seconds a wall second, of live runs")
	fs.BoolVar(&o.fresh, "fresh", false, "run all again, also what the store has")
	fs.StringVarP(&o.out, "out", "o", "", "folder of the report and the figures (default <data>/reproduce)")
	o.pace.addReorderWait(cmd)
	return cmd
}

// reproduceFigures makes the runs behind some figures that the store lacks, and
// reports on all.
func (a *app) reproduceFigures(ctx context.Context, figures []string, o reproduceOptions) error {
	began := time.Now()
	runs, made, err := a.publishedRuns(ctx, figures, o)
	if err != nil {
		return err
	}
	rep, err := a.reportOn(ctx, func(r store.Reader) (*report.Report, error) {
		return report.Published(ctx, r, report.Options{Which: figures, Runs: runs})
	})
	if err != nil {
		return interruptedOr(ctx, err)
	}
	measured := time.Now()
	if o.out == "" {
		o.out = filepath.Join(a.data, "reproduce")
	}
	files, err := saveReport(ctx, o.out, rep)
	if err != nil {
		return interruptedOr(ctx, err)
	}
	a.say("%d of %d runs made, and all tables, in %.1f s; %d figures drawn in %.1f s",
		made, len(runs), measured.Sub(began).Seconds(), len(rep.Figures()), time.Since(measured).Seconds())
	if a.output == "json" {
		return rep.JSON(a.stdout)
	}
	if err := rep.Text(a.stdout); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "report   %s\nreport   %s\nfigures  %s\n", files[0], files[1], filepath.Dir(files[2]))
	return err
}

// publishedRuns returns the runs behind some figures. It makes those that the
// store lacks, or all if that is asked for, and tells how many these were.
func (a *app) publishedRuns(ctx context.Context, figures []string, o reproduceOptions) (runs []string, made int, err error) {
	cells, err := reproduce.Cells(figures)
	if err != nil {
		return nil, 0, err
	}
	starts := reproduce.Starts(cells, o.seeds)
	stored := make([]string, len(starts))
	if !o.fresh {
		if stored, err = a.findRuns(ctx, cells, o.seeds); err != nil {
			return nil, 0, interruptedOr(ctx, err)
		}
	}
	var todo []event.StartExperiment
	for i, start := range starts {
		if stored[i] != "" {
			runs = append(runs, stored[i])
			continue
		}
		start.Options.TimeScale = o.timeScale
		todo = append(todo, start)
	}
	if len(todo) == 0 {
		return runs, 0, nil
	}
	if len(runs) > 0 {
		a.say("%d of %d runs are in the store, %d to go", len(runs), len(starts), len(todo))
	}
	done, err := a.makeRuns(ctx, todo, o.pace)
	if errors.Is(err, errInterrupted) {
		a.say("interrupted: the runs that have finished are kept, and spotserve reproduce goes on from there")
	}
	for _, m := range done {
		runs = append(runs, m.run)
	}
	return runs, len(done), err
}

// findRuns returns the stored runs of the cells, as reproduce.Find does. A store
// that is not there yet has none.
func (a *app) findRuns(ctx context.Context, cells []reproduce.Cell, seeds int) (names []string, err error) {
	err = a.reader(ctx, func(r store.Reader) (err error) {
		names, err = reproduce.Find(ctx, r, cells, seeds)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return make([]string, len(cells)*seeds), nil
	}
	return names, err
}
