package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// experimentCommand is a published experiment as people name it: its arguments
// after its kind. It is run under that name and printed under config print.
type experimentCommand struct {
	kind           experiment.Kind
	args           []string
	short          string
	long, examples string
	start          func(args []string) (event.StartExperiment, error)
	// flags adds what only this experiment can be told; nil: nothing.
	flags func(*pflag.FlagSet, *event.StartOptions)
}

func experimentCommands() []experimentCommand {
	return []experimentCommand{endToEnd(), onDemand(), workload(), ablation()}
}

func (c experimentCommand) use() string {
	return fmt.Sprintf("%s <%s>", c.kind, strings.Join(c.args, "> <"))
}

func endToEnd() experimentCommand {
	return experimentCommand{
		kind:  experiment.EndToEnd,
		args:  []string{"approach", "model", "trace"},
		short: "replay an availability trace against one approach (Figure 6)",
		long: fmt.Sprintf(`Replay an availability trace against one approach, as the published aws_e2e.sh
does.

  approach  %s
  model     %s
  trace     %s`, list(catalog.Approaches()), list(catalog.Models()), list(catalog.Traces())),
		examples: "  spotserve e2e spotserve 20B As\n  spotserve e2e rerouting 20B Bs --virtual --seed 7 --output json",
		start: func(args []string) (event.StartExperiment, error) {
			return event.StartExperiment{Experiment: experiment.EndToEnd, Approach: args[0], Model: args[1], Trace: args[2]}, nil
		},
	}
}

func onDemand() experimentCommand {
	return experimentCommand{
		kind:     experiment.OnDemand,
		args:     []string{"nodes"},
		short:    "serve GPT-20B on a fixed on-demand fleet (Figure 7)",
		long:     fmt.Sprintf("Serve GPT-20B on a fixed on-demand fleet, as the published aws_ondemand.sh does.\n\n  nodes  %v", catalog.Fleets()),
		examples: "  spotserve ondemand 4 --virtual",
		start: func(args []string) (event.StartExperiment, error) {
			nodes, err := strconv.Atoi(args[0])
			if err != nil {
				return event.StartExperiment{}, usagef("number of nodes %q: allowed are %v", args[0], catalog.Fleets())
			}
			return event.StartExperiment{Experiment: experiment.OnDemand, Nodes: nodes}, nil
		},
	}
}

func workload() experimentCommand {
	return experimentCommand{
		kind:  experiment.Workload,
		args:  []string{"approach", "trace"},
		short: "serve GPT-20B under a workload that fluctuates (Figure 8)",
		long: fmt.Sprintf(`Serve GPT-20B under a workload that fluctuates, as the published aws_workload.sh
does. The required throughput follows the script of the trace; --rate-window 30s
estimates it from the arrivals instead.

  approach  %s
  trace     %s`, list(catalog.Approaches()), list(catalog.TracesOf(experiment.Workload))),
		examples: "  spotserve workload spotserve B --virtual\n  spotserve workload rerouting A --virtual --rate-window 30s",
		start: func(args []string) (event.StartExperiment, error) {
			return event.StartExperiment{Experiment: experiment.Workload, Approach: args[0], Trace: args[1]}, nil
		},
	}
}

func ablation() experimentCommand {
	levels := catalog.Levels()
	return experimentCommand{
		kind:  experiment.Ablation,
		args:  []string{"level", "trace"},
		short: "take parts of SpotServe away, one after the other (Figure 9)",
		long: fmt.Sprintf(`Serve GPT-20B while parts of SpotServe are taken away, as the published
aws_ablation.sh does. Each level takes away what the one before it did, and:

%s

  trace  %s`, numbered(levels), list(catalog.TracesOf(experiment.Ablation))),
		examples: "  spotserve ablation 0 A --virtual\n  spotserve ablation 4 B --virtual",
		start: func(args []string) (event.StartExperiment, error) {
			level, err := strconv.Atoi(args[0])
			if err != nil {
				return event.StartExperiment{}, usagef("ablation level %q: allowed are 0 to %d", args[0], len(levels)-1)
			}
			return event.StartExperiment{Experiment: experiment.Ablation, Level: level, Trace: args[1]}, nil
		},
		flags: func(fs *pflag.FlagSet, o *event.StartOptions) {
			fs.BoolVar(&o.MinGPUsWithoutMigrationPlanner, "min-gpus-without-migration-planner", false,
				"levels without the migration planner need more GPUs, as the paper's text says and its runs do not")
		},
	}
}

func list(names []string) string { return strings.Join(names, ", ") }

// numbered returns one line an item, with its index.
func numbered(items []string) string {
	lines := make([]string, len(items))
	for i, item := range items {
		lines[i] = fmt.Sprintf("  %d  %s", i, item)
	}
	return strings.Join(lines, "\n")
}

// experimentCommand runs an experiment.
func (a *app) experimentCommand(c experimentCommand) *cobra.Command {
	f := new(experimentFlags)
	cmd := &cobra.Command{
		Use:     c.use(),
		Short:   c.short,
		Long:    c.long,
		Example: c.examples,
		Args:    arguments(c.args...),
		RunE: func(cmd *cobra.Command, args []string) error {
			start, err := c.start(args)
			if err != nil {
				return err
			}
			return a.experiment(cmd.Context(), start, f)
		},
	}
	f.add(cmd, c)
	return cmd
}

// configPrint prints an experiment without running it.
func (a *app) configPrint(c experimentCommand) *cobra.Command {
	f := new(experimentFlags)
	cmd := &cobra.Command{
		Use:   c.use(),
		Short: "print this experiment as YAML",
		Args:  arguments(c.args...),
		RunE: func(_ *cobra.Command, args []string) error {
			start, err := c.start(args)
			if err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return err
			}
			start.Options = f.startOptions()
			text, err := catalog.Config(start)
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
	f.addOptions(cmd, c)
	return cmd
}
