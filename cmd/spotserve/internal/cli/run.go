package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/stack"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/report"
)

// stdinFile is the name that asks for the standard input.
const stdinFile = "-"

// maxFile bounds, in bytes, what is read of an experiment file; the catalogue
// refuses far less.
const maxFile = 64 << 20

// readCustom reads an experiment file.
func readCustom(file string, stdin io.Reader) (*catalog.Custom, error) {
	if file == stdinFile {
		text, err := io.ReadAll(io.LimitReader(stdin, maxFile))
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return catalog.ReadCustom("stdin", text)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	return catalog.ReadCustom(file, text)
}

// runFlags are the settings of the runs of a file. Zero values leave them to the
// file.
type runFlags struct {
	options event.StartOptions
	seeds   int
	pace    pace
}

func (a *app) runFile() *cobra.Command {
	f := new(runFlags)
	cmd := &cobra.Command{
		Use:   "run <file>",
		Short: "run an experiment of your own, from a YAML file",
		Long: `Run the experiment that a YAML file describes; "-" reads the standard input. A
file with a sweep or with several seeds stands for many runs: in virtual time
they run on all cores, live one after the other. One run prints its result, many
print a table and draw a figure. What the flags set goes before what the file
says.

spotserve config print shows a published experiment as such a file.`,
		Example: "  spotserve run my.yaml --virtual\n" +
			"  spotserve config print e2e spotserve 20B As | sed 's/grace_s: 30/grace_s: 0/' | spotserve run - --virtual",
		Args: arguments("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.seeds < 0 || f.seeds > maxSeeds:
				return usagef("--seeds %d: allowed are 1 to %d", f.seeds, maxSeeds)
			case f.seeds > 0 && f.options.Seed > 0:
				return usagef("--seed and --seeds are both given: allowed is one of them")
			case f.pace.threads < 1 || f.pace.threads > maxThreads:
				return usagef("--worker-threads %d: allowed are 1 to %d", f.pace.threads, maxThreads)
			}
			custom, err := readCustom(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			return a.runCustom(cmd.Context(), cmp.Or(f.options.Name, custom.Name()), f.starts(custom), f.pace)
		},
	}
	fs := cmd.Flags()
	fs.Uint64Var(&f.options.Seed, "seed", 0, "the one seed (default the file's)")
	fs.IntVar(&f.seeds, "seeds", 0, "seeds 1 to this (default the file's)")
	fs.Float64Var(&f.options.TimeScale, "time-scale", 0, "experiment seconds a wall second, of live runs (default the file's, or 60)")
	fs.StringVar(&f.options.Name, "name", "", "name of the experiment (default the file's)")
	fs.StringVar(&f.options.Quirks, "quirks", "", "known flaws of the published artifact: "+list(catalog.QuirkSettings())+" (default the file's)")
	fs.BoolVar(&f.options.Drain, "drain", false, "run on until every accepted request is answered (default the file's)")
	fs.IntVar(&f.pace.threads, "worker-threads", 1, "of each worker process, where tokens are computed")
	f.pace.add(cmd)
	return cmd
}

// starts are the runs of a file, with what the flags set.
func (f *runFlags) starts(custom *catalog.Custom) []event.StartExperiment {
	runs, seeds := custom.Runs(), []uint64{f.options.Seed}
	if f.seeds > 0 {
		seeds = nil
		for seed := range f.seeds {
			seeds = append(seeds, uint64(seed+1))
		}
	}
	if seeds[0] > 0 {
		// Seeds of the flags instead of the file's: each point of the sweep once.
		first := runs[0].Seed
		runs = slices.DeleteFunc(slices.Clone(runs), func(r catalog.CustomRun) bool { return r.Seed != first })
	}
	var starts []event.StartExperiment
	for _, run := range runs {
		for _, seed := range seeds {
			start := run.Start
			start.Options = f.options
			start.Options.Seed = seed
			starts = append(starts, start)
		}
	}
	return starts
}

// runCustom makes the runs and prints what they amount to.
func (a *app) runCustom(ctx context.Context, name string, starts []event.StartExperiment, p pace) error {
	if a.nats == "" || p.virtual {
		// Nothing is opened or started for what is wrong. Services elsewhere
		// have a catalogue of their own.
		// The file is fine by itself, and the flags are the same for all runs.
		_, _, err := catalog.Resolve(starts[0])
		if wrong, ok := errors.AsType[*catalog.FileError](err); ok {
			return fmt.Errorf("with the flags given: %s", wrong.Reason)
		}
		if err != nil {
			return err
		}
	}
	runs, err := a.makeRuns(ctx, starts, p)
	if err != nil && !errors.Is(err, errInterrupted) {
		return err
	}
	ctx = context.WithoutCancel(ctx) // what there is gets printed
	if len(starts) == 1 {
		for _, m := range runs {
			if err := a.report(ctx, m); err != nil {
				return err
			}
		}
		return err
	}
	names := make([]string, len(runs))
	for i, m := range runs {
		names[i] = m.run
	}
	if len(names) == 0 {
		return err
	}
	rep, failed := a.reportOn(ctx, func(r store.Reader) (*report.Report, error) {
		return report.Custom(ctx, r, name, report.Options{Runs: names})
	})
	if refused, ok := errors.AsType[*plotter.RefusedError](failed); ok && refused.NoRuns && err != nil {
		return err // no run has ended by itself yet
	}
	if failed != nil {
		return failed
	}
	return errors.Join(a.printReport(ctx, rep, ""), err)
}

// reportOn makes a report of what is in the store.
func (a *app) reportOn(ctx context.Context, of func(store.Reader) (*report.Report, error)) (rep *report.Report, err error) {
	err = a.reader(ctx, func(r store.Reader) (err error) {
		rep, err = of(r)
		return err
	})
	return rep, err
}

// printReport prints the tables of a report and draws its figures, which have to
// be few: the first into a file if one is named, else all in all formats among
// the figures of the data folder.
func (a *app) printReport(ctx context.Context, rep *report.Report, file string) error {
	var files []string
	var err error
	if file != "" {
		files = []string{file}
		err = rep.Figures()[0].Save(file)
	} else {
		var tasks []func() error
		files, tasks = drawings(stack.Figures(a.data), rep.Figures())
		err = save(ctx, tasks)
	}
	if err != nil {
		return err
	}
	if a.output == "json" {
		return rep.JSON(a.stdout)
	}
	if err := rep.Text(a.stdout); err != nil {
		return err
	}
	for _, f := range files {
		if _, err := fmt.Fprintf(a.stdout, "figure  %s\n", f); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.stdout, "store   %s\n", redacted(a.storeURL))
	return err
}
