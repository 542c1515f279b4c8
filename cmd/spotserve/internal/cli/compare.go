package cli

import (
	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter/report"
)

func (a *app) compare() *cobra.Command {
	var out string
	var fold bool
	cmd := &cobra.Command{
		Use:   "compare <run>...",
		Short: "put runs side by side: latency and cost, in a table and a figure",
		Long: `Put finished runs side by side, whatever their settings, and say in which they
differ. A name is that of a run, or of an experiment of your own, which stands
for the newest finished run of each point of its sweep and seed.`,
		Example: "  spotserve compare e2e-v1 e2e-v2 -o both.pdf\n  spotserve compare grace-period closed-loop --fold",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s takes one argument or more, got 0: %s", cmd.CommandPath(), cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			rep, err := a.reportOn(cmd.Context(), func(r store.Reader) (*report.Report, error) {
				return report.Compare(cmd.Context(), r, args, fold)
			})
			if err != nil {
				return interruptedOr(cmd.Context(), err)
			}
			return interruptedOr(cmd.Context(), a.printReport(cmd.Context(), rep, out))
		},
	}
	cmd.Flags().BoolVar(&fold, "fold", false, "put runs that differ in their seeds only into one row: median, least and most")
	cmd.Flags().StringVarP(&out, "out", "o", "", outUsage)
	return cmd
}
