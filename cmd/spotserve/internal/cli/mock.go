package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/mockmetadata"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/clock"
)

type mockOptions struct {
	trace            string
	dialects         []string
	listen           string
	node             string
	timeScale        float64
	grace, rebalance time.Duration
}

func (a *app) mockMetadata() *cobra.Command {
	var o mockOptions
	cmd := &cobra.Command{
		Use:   "mock-metadata",
		Short: "play a trace as the metadata services of EC2, Compute Engine and Azure",
		Long: `Play an availability trace as the metadata services of EC2, Compute Engine and
Azure would tell it inside its instances, until it is stopped. A worker follows
it with --notice aws, gcp or azure, and --notice-url http://HOST:PORT/node/NAME.
The trace begins when the command does.`,
		Example: "  spotserve mock-metadata --trace As\n  worker --node node-0 --notice aws --notice-url http://127.0.0.1:8169/node/node-0",
		Args:    arguments(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runMock(cmd.Context(), o) },
	}
	fs := cmd.Flags()
	fs.StringVar(&o.trace, "trace", "", "trace to play: "+list(catalog.Traces())+", or a file in the artifact's format (JSON lines, or CSV by its name)")
	fs.StringSliceVar(&o.dialects, "dialect", []string{"aws", "gcp", "azure"}, "what to speak: aws, gcp, azure")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:8169", "host:port to answer on")
	fs.StringVar(&o.node, "node", "", "instance that paths without /node/NAME are of")
	fs.Float64Var(&o.timeScale, "time-scale", 1, "trace seconds a wall second")
	fs.DurationVar(&o.grace, "grace", 30*time.Second, "trace time from the notice to the end of an instance")
	fs.DurationVar(&o.rebalance, "rebalance", 30*time.Second, "trace time from a rebalance recommendation to the notice; 0: none")
	return cmd
}

func (a *app) runMock(ctx context.Context, o mockOptions) error {
	options := mockmetadata.Options{Node: o.node, Grace: o.grace, Rebalance: o.rebalance}
	if o.grace < 0 || o.rebalance < 0 {
		return usagef("--grace %s, --rebalance %s: want durations, 0 or more", o.grace, o.rebalance)
	}
	for _, d := range o.dialects {
		options.Dialects = append(options.Dialects, mockmetadata.Dialect(d))
	}
	var err error
	if options.Changes, err = changesOf(o.trace); err != nil {
		return err
	}
	if options.Clock, err = clock.New(time.Now(), o.timeScale); err != nil {
		return usagef("--%w", err)
	}
	mock, err := mockmetadata.New(options)
	if err != nil {
		return &usageError{err}
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: mock, ReadHeaderTimeout: 5 * time.Second,
		// Questions that wait for a change end with the command.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	for _, line := range mock.Describe() {
		a.say("%s", line)
	}
	a.say("mock-metadata answers at http://%s/node/NAME for %s; stop it with Ctrl-C", listener.Addr(), strings.Join(mock.Nodes(), ", "))
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// changesOf returns the changes of a trace of the catalogue, or of a file.
func changesOf(trace string) ([]catalog.FleetChange, error) {
	names := catalog.Traces()
	if slices.Contains(names, trace) {
		return changesOfCatalog(trace)
	}
	if trace == "" {
		return nil, usagef("--trace is missing: allowed are %s, or a file", list(names))
	}
	f, err := os.Open(trace)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("--trace %q: allowed are %s, or a file, and there is none of this name", trace, list(names))
	}
	if err != nil {
		return nil, err
	}
	read := catalog.ReadAvailability
	if strings.EqualFold(filepath.Ext(trace), ".csv") {
		read = catalog.ReadAvailabilityCSV
	}
	a, err := read(trace, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return a.Changes, nil
}

// changesOfCatalog takes the spot instances of a trace: nobody preempts others.
func changesOfCatalog(trace string) ([]catalog.FleetChange, error) {
	_, timeline, err := catalog.Resolve(event.StartExperiment{
		Experiment: experiment.EndToEnd, Approach: string(experiment.SpotServe), Model: catalog.Models()[0], Trace: trace,
	})
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", trace, err)
	}
	var out []catalog.FleetChange
	for _, c := range timeline.Changes {
		change := catalog.FleetChange{At: c.At, Kind: c.Kind}
		for _, i := range c.Instances {
			if i.Market == cost.Spot {
				change.Nodes = append(change.Nodes, i.Node)
			}
		}
		if len(change.Nodes) > 0 {
			out = append(out, change)
		}
	}
	return out, nil
}
