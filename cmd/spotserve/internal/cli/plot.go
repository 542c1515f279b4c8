package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/stack"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
)

func (a *app) plot() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plot",
		Short: "draw a figure of the runs in the store",
		Args:  arguments("figure"),
		RunE: func(_ *cobra.Command, args []string) error {
			return usagef("unknown figure %q: allowed is e2e", args[0])
		},
	}
	cmd.AddCommand(a.plotE2E())
	return cmd
}

func (a *app) plotE2E() *cobra.Command {
	var q plotter.Query
	var out string
	cmd := &cobra.Command{
		Use:   "e2e",
		Short: "draw average and tail latency by approach (Figure 6, one panel)",
		Long: `Draw average, P90 and P95 to P99 of every approach that the store has finished
runs of: the newest run of each seed, the median of the seeds with their band.
Runs that differ in their settings are not mixed.`,
		Example: "  spotserve plot e2e -m 20B -t As -o fig6.pdf",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.reader(cmd.Context(), func(r store.Reader) error {
				figure, err := plotter.E2E(cmd.Context(), r, q)
				if err != nil {
					return err
				}
				if out == "" {
					out = filepath.Join(stack.Figures(a.data), figure.Name+".png")
				}
				if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
					return err
				}
				if err := figure.Save(out); err != nil {
					return err
				}
				for _, missing := range figure.Missing {
					_, _ = fmt.Fprintf(a.stderr, "not in the store: %s\n", missing)
				}
				_, err = fmt.Fprintln(a.stdout, out)
				return err
			})
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&q.Model, "model", "m", "", "model of the runs")
	fs.StringVarP(&q.Trace, "trace", "t", "", "trace of the runs")
	fs.StringVar(&q.Arrivals, "arrivals", "", "arrival kind of the runs")
	fs.StringVar(&q.Quirks, "quirks", "", "quirks setting of the runs")
	fs.StringVar(&q.Run, "run", "", "a run: draw all that have its model, trace and settings")
	fs.StringVarP(&out, "out", "o", "", "file to write, .png, .svg or .pdf (default <data>/figures/<name>.png)")
	return cmd
}
