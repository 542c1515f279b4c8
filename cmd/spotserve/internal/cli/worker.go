package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/crew"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/engine/checkpoint"
	"github.com/spotserve/spotserve/platform/config"
	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/service"
	"github.com/spotserve/spotserve/services/worker"
)

func (a *app) worker() *cobra.Command {
	return &cobra.Command{
		Use:   "worker",
		Short: "stand for nodes, as the program worker does, with its flags",
		Long: `Stand for nodes and execute migrations and inference, as the program worker
does. It has the flags of that program: spotserve worker --help lists them. With
--tied before them it ends when its standard input does.`,
		Example:            "  spotserve worker --nats nats://127.0.0.1:4222 --node node-0",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if len(args) > 0 && args[0] == crew.Tied {
				ctx, args = crew.UntilEnd(ctx, cmd.InOrStdin()), args[1:]
			}
			if code := worker.Program().Run(ctx, args, a.stderr); code != exitOK {
				return &saidError{code}
			}
			return nil
		},
	}
}

// staff is the workers that runs on this machine need: a process a node.
type staff struct {
	nodes   []string
	memory  int64 // bytes of a node
	threads int
}

// staffOf is the workers of runs that compute tokens; nil if none of them does.
// Their weights have to be there.
func staffOf(starts []event.StartExperiment, threads int) (*staff, error) {
	s := &staff{threads: threads}
	opened := make(map[string]bool)
	for _, start := range starts {
		if start.Experiment != experiment.Custom {
			return nil, nil
		}
		spec, _, err := catalog.Resolve(start)
		if err != nil {
			return nil, err
		}
		s.nodes = append(s.nodes, spec.Nodes...)
		if !spec.Measured() {
			continue
		}
		s.memory = max(s.memory, spec.Instance.GPUMemoryBytes*int64(spec.Instance.GPUs))
		if t := spec.Transformer; !opened[t.Weights] {
			opened[t.Weights] = true
			if err := canOpen(spec); err != nil {
				return nil, err
			}
		}
	}
	if len(opened) == 0 {
		return nil, nil
	}
	slices.SortFunc(s.nodes, topology.CompareNodes)
	s.nodes = slices.Compact(s.nodes)
	return s, nil
}

// canOpen opens the weights of a run, so that nothing is started for those that
// are not there.
func canOpen(spec experiment.Spec) error {
	shape, err := checkpoint.Config(spec.Model.Name, spec.Transformer.Shape)
	if err != nil {
		return err
	}
	source, err := checkpoint.Open(spec.Transformer.Weights, checkpoint.Options{Shape: shape})
	if err != nil {
		return err
	}
	return source.Close()
}

// start starts the workers, which log below the data folder.
func (s *staff) start(a *app, nats string) (*crew.Crew, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return crew.Start(crew.Options{
		Program: program, Command: []string{"worker"},
		Args: []string{
			"--nats", nats, "--threads", strconv.Itoa(s.threads), "--memory-gib", fmt.Sprintf("%.6f", float64(s.memory)/(1<<30)),
			"--trace-endpoint", a.trace.Endpoint, "--trace-sample", strconv.FormatFloat(a.trace.Sample, 'g', -1, 64),
		},
		// What one process is told in the environment cannot be for all.
		// The server of this process asks for no credentials.
		Without: append(credentialVariables(), config.EnvName(service.EnvPrefix, "metrics-listen"), config.EnvName(service.EnvPrefix, config.FileFlag)),
		Nodes:   s.nodes, Logs: filepath.Join(a.data, "workers"), Log: a.logger(),
	})
}

// credentialVariables are where the environment names credentials.
func credentialVariables() (names []string) {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(credential.Files).AddFlags(fs)
	fs.VisitAll(func(f *pflag.Flag) { names = append(names, config.EnvName(service.EnvPrefix, f.Name)) })
	return names
}

// joinWait is how long workers may take to join, in wall time.
const joinWait = 30 * time.Second

// joined waits until the workers answer.
func (s *staff) joined(ctx context.Context, b rollcall.Bus, c *crew.Crew) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.Broken(), func() { cancel(context.Cause(c.Broken())) })()
	var missing []string
	_, err := rollcall.Call(ctx, b, joinWait, func(present []event.ServicePresent) bool {
		missing = slices.DeleteFunc(slices.Clone(s.nodes), func(node string) bool {
			return slices.ContainsFunc(present, func(p event.ServicePresent) bool { return p.Service == "worker" && slices.Contains(p.Nodes, node) })
		})
		return len(missing) == 0
	})
	switch {
	case c.Broken().Err() != nil:
		return context.Cause(c.Broken())
	case err != nil:
		return err
	case len(missing) > 0:
		return errors.New("no worker of " + strings.Join(missing, ", ") + " has joined after " + joinWait.String())
	}
	return nil
}
