package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/stack"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
)

// plotCommand is a subcommand of plot.
type plotCommand struct {
	name, short, long, example string
	trace, seed, run           bool // flags that it has beside those of all
	// make draws it. sheet, if there is one, draws all of its panels together
	// where neither trace nor run chooses one.
	make, sheet func(context.Context, store.Reader, plotter.Query) (plotter.Figure, error)
}

func (f plotCommand) draw(ctx context.Context, r store.Reader, q plotter.Query) (plotter.Figure, error) {
	if f.sheet != nil && q.Trace == "" && q.Run == "" {
		return f.sheet(ctx, r, q)
	}
	return f.make(ctx, r, q)
}

func plotCommands() []plotCommand {
	return []plotCommand{
		{
			name: "e2e", short: "draw average and tail latency by approach (Figure 6)",
			long: `Draw average, P90 and P95 to P99 of every approach that the store has finished
runs of: the newest run of each seed, the median of the seeds with their band.
All models and traces on one sheet; -m chooses a row of it, -t or --run one
panel.`,
			example: "spotserve plot e2e -o fig6.pdf\n  spotserve plot e2e -m 20B -t As -o fig6b.pdf",
			trace:   true, run: true, make: plotter.E2E, sheet: plotter.E2ESheet,
		},
		{
			name: "price", short: "draw cost against latency (Figure 7)",
			long: `Draw the cost of a token against average and P99 latency: the fixed on-demand
fleets as a line, each approach on As, Bs, As+o and Bs+o as points.`,
			example: "spotserve plot price -o fig7.pdf", run: true, make: plotter.Price,
		},
		{
			name: "workload", short: "draw latency under a fluctuating workload (Figure 8, all measured panels)",
			long: `Draw what plot workload-e2e and plot workload-case draw, of both traces on one
sheet.`,
			example: "spotserve plot workload -o fig8.pdf", seed: true, make: plotter.WorkloadSheet,
		},
		{
			name: "workload-e2e", short: "draw average and tail latency under a fluctuating workload (Figure 8, tail panel)",
			long: `Draw what plot e2e draws, of the runs of the experiment workload on trace A or B.`,

			example: "spotserve plot workload-e2e -t A -o fig8e.pdf", trace: true, run: true, make: plotter.WorkloadE2E,
		},
		{
			name: "workload-case", short: "draw each request's latency over time with the configurations (Figure 8, case panel)",
			long: `Draw the latency of every request by when it arrived, of one workload run of
each approach, with the rate of the arrivals and the configurations.`,
			example: "spotserve plot workload-case -t B --seed 2 -o fig8h.pdf", trace: true, seed: true, run: true, make: plotter.WorkloadCase,
		},
		{
			name: "ablation", short: "draw average and P99 latency by ablation level (Figure 9)",
			long: `Draw average and P99 latency of the ablation levels on trace A (As) and B (Bs);
-t or --run chooses one of the two. End-to-end runs of SpotServe count as level 0.`,
			example: "spotserve plot ablation -t A -o fig9a.pdf",
			trace:   true, run: true, make: plotter.Ablation, sheet: plotter.AblationSheet,
		},
	}
}

func (a *app) plot() *cobra.Command {
	var names []string
	for _, f := range plotCommands() {
		names = append(names, f.name)
	}
	names = append(names, "sweep")
	cmd := &cobra.Command{
		Use:   "plot",
		Short: "draw a figure of the runs in the store",
		Args:  arguments("figure"),
		RunE: func(_ *cobra.Command, args []string) error {
			return usagef("unknown figure %q: allowed are %s", args[0], strings.Join(names, ", "))
		},
	}
	for _, f := range plotCommands() {
		cmd.AddCommand(a.plotFigure(f))
	}
	cmd.AddCommand(a.plotSweep())
	return cmd
}

// outUsage is the help of the flag that names a figure's file.
const outUsage = "file to write, .png, .svg or .pdf (default in <data>/figures)"

// saveFigure draws a figure into a file, by default among the figures of the
// data folder, says what it lacks, and returns the file.
func (a *app) saveFigure(f plotter.Figure, file string) (string, error) {
	if file == "" {
		file = filepath.Join(stack.Figures(a.data), f.Name+".png")
	}
	if err := f.Save(file); err != nil {
		return "", err
	}
	for _, missing := range f.Missing {
		a.say("not in the store: %s", missing)
	}
	return file, nil
}

func (a *app) plotSweep() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "sweep <name>",
		Short: "draw latency, cost and completed requests over the sweep of an experiment of your own",
		Long: `Draw average and P99 latency, cost and completed requests over the sweep of the
experiment of this name: the first swept setting along the axis, the second as
lines, the third as panels. Of each point and seed the newest finished run, the
median of the seeds with their band.`,
		Example: "  spotserve plot sweep grace-period -o grace.pdf",
		Args:    arguments("name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.reader(cmd.Context(), func(r store.Reader) error {
				sweep, err := plotter.Sweep(cmd.Context(), r, args[0], nil)
				if err != nil {
					return err
				}
				file, err := a.saveFigure(sweep.Figure, out)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.stdout, file)
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", outUsage)
	return cmd
}

func (a *app) plotFigure(f plotCommand) *cobra.Command {
	var q plotter.Query
	var out string
	cmd := &cobra.Command{
		Use:   f.name,
		Short: f.short,
		Long: f.long + `

Runs that differ in their settings are not mixed. What the store lacks is named
on the figure.`,
		Example: "  " + f.example,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.reader(cmd.Context(), func(r store.Reader) error {
				figure, err := f.draw(cmd.Context(), r, q)
				if err != nil {
					return err
				}
				file, err := a.saveFigure(figure, out)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.stdout, file)
				return err
			})
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&q.Model, "model", "m", "", "model of the runs")
	if f.trace {
		fs.StringVarP(&q.Trace, "trace", "t", "", "trace of the runs")
	}
	fs.StringVar(&q.Arrivals, "arrivals", "", "arrival kind of the runs")
	fs.StringVar(&q.Quirks, "quirks", "", "quirks setting of the runs")
	if f.seed {
		fs.Uint64Var(&q.Seed, "seed", 0, "seed of the runs (default the one that most approaches have)")
	}
	if f.run {
		fs.StringVar(&q.Run, "run", "", "a run: draw all that have its model, trace and settings")
	}
	fs.StringVarP(&out, "out", "o", "", outUsage)
	return cmd
}
