package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/live"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/stack"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/service"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/version"
	"github.com/spotserve/spotserve/services/collector"
	"github.com/spotserve/spotserve/services/planner"
)

// defaultListen is where others join the services of up.
const defaultListen = "127.0.0.1:4222"

func (a *app) up() *cobra.Command {
	var listen string
	var nodes []string
	var reorderWait time.Duration
	var keep collector.Retention
	var replicas int
	var keys string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "run all services in this process until it is stopped",
		Long: `Run all services in this process, with an embedded NATS server that others may
join, or on the server at --nats. Start experiments by publishing to it:

  nats pub spot.control.experiment.start '{"e2e":{"approach":"spotserve","model":"20B","trace":"As"}}'`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkUp(a.nats, keep, replicas); err != nil {
				return err
			}
			if err := checkListen(a.nats, listen, keys); err != nil {
				return err
			}
			return a.runUp(cmd.Context(), stack.Options{
				Data: a.data, Store: a.storeURL, NATS: a.nats, Listen: listen, Keys: keys, Credentials: a.credentials, Nodes: nodes, ReorderWait: reorderWait, Retention: keep, Replicas: replicas, Trace: a.trace,
			})
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&listen, "nats-listen", defaultListen, "host:port of the embedded NATS server")
	fs.StringVar(&keys, "keys", "", "folder of spotserve deploy keys: the embedded NATS server takes its users only, over TLS")
	fs.StringArrayVar(&nodes, "node", nil, "name of a node that the worker stands for, repeatable (default: every node of a run)")
	fs.DurationVar(&reorderWait, "reorder-wait", planner.DefaultReorderWait, "wall time that an overdue event waits for a silent source")
	keep.AddFlags(fs)
	service.StreamReplicasFlag(fs, &replicas)
	return cmd
}

// checkUp refuses settings of up that its flags' types let pass.
func checkUp(nats string, keep collector.Retention, replicas int) error {
	if err := cmp.Or(keep.Check(), service.CheckStreamReplicas(replicas)); err != nil {
		return usagef("%v", err)
	}
	if replicas > 1 && nats == "" {
		return usagef("--stream-replicas %d: the embedded NATS server is one; allowed is 1, or more with --nats", replicas)
	}
	return nil
}

// checkListen keeps a server that takes everybody on this host.
func checkListen(nats, listen, keys string) error {
	if nats != "" {
		if keys != "" {
			return usagef("--keys %s: it is for the embedded NATS server, and --nats names another one; allowed is one of them", keys)
		}
		return nil
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil || keys != "" {
		return nil //nolint:nilerr // the server says what is wrong with it
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return usagef("--nats-listen %s: whoever reaches it could do everything; make credentials with spotserve deploy keys --host NAME and name their folder with --keys, or listen on 127.0.0.1", listen)
}

func (a *app) runUp(ctx context.Context, o stack.Options) (err error) {
	o.Log, o.Metrics, o.Ready = a.logger(), obs.NewRegistry(), new(obs.Readiness)
	o.Metrics.MustRegister(o.Ready)
	metrics, err := obs.Listen(a.obs.MetricsListen, o.Metrics, o.Ready, o.Log)
	if err != nil {
		return err
	}
	s, err := stack.New(ctx, o)
	if err != nil {
		metrics.Interrupt(nil)
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	where := s.URL()
	if where == "" {
		where = natsbus.Redacted(o.NATS)
	}
	// It says so when that is true.
	go func() {
		if o.Ready.Wait(ctx) == nil {
			_, _ = fmt.Fprintf(a.stderr, "spotserve is up: NATS at %s, store %s; stop it with Ctrl-C\n", where, redacted(o.Store))
		}
	}()
	return s.Run(ctx, metrics)
}

func (a *app) stop() *cobra.Command {
	return &cobra.Command{
		Use:   "stop <run>",
		Short: "end a run early; what it measured is kept",
		Args:  arguments("run"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			url := a.nats
			if url == "" {
				url = service.DefaultNATS
			}
			if err := a.checkRunning(cmd.Context(), args[0]); err != nil {
				return err
			}
			b, err := natsbus.Connect(cmd.Context(), natsbus.Options{URL: url, Credentials: a.credentials, Name: "spotserve-cli", Log: a.logger()})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			if err := live.Stop(cmd.Context(), b, args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s is told to stop\n", args[0])
			return err
		},
	}
}

// checkRunning refuses runs that the store knows to have ended. A store that
// cannot be read knows nothing.
func (a *app) checkRunning(ctx context.Context, run string) error {
	var status string
	_ = a.reader(ctx, func(r store.Reader) error {
		row, err := store.FindRun(ctx, r, run)
		status = row.Status
		return err
	})
	switch status {
	case "finished", "stopped", "refused":
		return fmt.Errorf("run %s is not running: it is %s", run, status)
	}
	return nil
}

func (a *app) config() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "show what an experiment consists of",
		Args:  arguments("command"),
		RunE: func(_ *cobra.Command, args []string) error {
			return usagef("unknown command config %s: allowed is print", args[0])
		},
	}
	printer := &cobra.Command{
		Use:   "print",
		Short: "print a resolved experiment as YAML, every setting with its unit and source",
		Args:  arguments("experiment"),
		RunE: func(_ *cobra.Command, args []string) error {
			return usagef("unknown experiment %q: allowed are %s", args[0], strings.Join(catalog.Experiments(), ", "))
		},
	}
	for _, c := range experimentCommands() {
		printer.AddCommand(a.configPrint(c))
	}
	cmd.AddCommand(printer)
	return cmd
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version of this build",
		Args:  arguments(),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.stdout, "spotserve", version.Of())
			return err
		},
	}
}
