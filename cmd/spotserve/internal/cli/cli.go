// Package cli is the command line of spotserve.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/config"
	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/service"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/platform/trace"
)

// The exit codes of the program.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell reports SIGINT
)

// errInterrupted ends a command that the user stopped, after it has cleaned up.
var errInterrupted = errors.New("interrupted")

// Main runs the command line and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	defer context.AfterFunc(ctx, stop)()
	a := &app{stdout: stdout, stderr: stderr, obs: obs.Options{LogLevel: slog.LevelWarn}}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exitCode(root.ExecuteContext(ctx))
}

func (a *app) exitCode(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	}
	if said, ok := errors.AsType[*saidError](err); ok {
		return said.code
	}
	_, _ = fmt.Fprintf(a.stderr, "spotserve: %v\n", err)
	if errors.As(err, new(*usageError)) {
		return exitUsage
	}
	return exitFailed
}

// usageError is a command line that cannot be understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// saidError is the end of a program that has said itself what was wrong.
type saidError struct{ code int }

func (e *saidError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// app is the command line with its global flags.
type app struct {
	stdout, stderr io.Writer
	data           string
	storeURL       string
	nats           string
	output         string
	credentials    credential.Files
	obs            obs.Options
	trace          trace.Options
	all            *cobra.Command
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "spotserve",
		Short: "serve large language models on preemptible GPU instances, and measure what it costs",
		Long: `SpotServe serves large language models on preemptible GPU instances. This
command runs its experiments: in virtual time, live with all services in this
process, or on services that run elsewhere.

  spotserve e2e spotserve 20B As              live, 60 times as fast as the clock
  spotserve e2e spotserve 20B As --virtual    the same result in no time
  spotserve reproduce                         every published figure, and a report
  spotserve run my.yaml --virtual             an experiment of your own
  spotserve sql "SELECT * FROM latency_summary"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
		SuggestionsMinimumDistance: 2, // letters that may be wrong
		SilenceUsage:               true,
		SilenceErrors:              true,
		PersistentPreRunE:          func(cmd *cobra.Command, _ []string) error { return a.load(cmd) },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	fs := root.PersistentFlags()
	fs.StringVar(&a.data, "data", "spotserve-data", "folder of the store, the streams and the figures")
	fs.StringVar(&a.storeURL, "store", "", "SQL store, sqlite:PATH or clickhouse://user:password@host:9000/database (default sqlite:<data>/store.db)")
	fs.StringVar(&a.nats, "nats", "", "URL of a NATS server with the services on it (default: embed server and services)")
	fs.StringVar(&a.output, "output", "text", "how results are printed: text or json")
	fs.String(config.FileFlag, "", "YAML file with settings, named like the flags")
	a.obs.AddFlags(fs)
	a.trace.AddFlags(fs)
	a.credentials.AddFlags(fs)
	for _, c := range experimentCommands() {
		root.AddCommand(a.experimentCommand(c))
	}
	root.AddCommand(
		a.runFile(), a.validate(), a.reproduce(), a.compare(), a.up(), a.plot(), a.sql(), a.ls(), a.show(), a.stop(), a.prune(), a.config(), a.version(), a.generate(), a.ask(), a.profile(), a.publish(), a.worker(),
		a.mockMetadata(), a.doctor(), a.deploy(),
	)
	a.all = root
	return root
}

// unknownCommand says which commands there are, and which is most like name.
func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := ""
	if like := cmd.SuggestionsFor(name); len(like) > 0 {
		hint = "; did you mean " + like[0] + "?"
	}
	return usagef("unknown command %q: allowed are %s%s", name, strings.Join(names, ", "), hint)
}

// load fills the flags from environment and file.
func (a *app) load(cmd *cobra.Command) error {
	others := slices.DeleteFunc(flagNames(a.all), func(name string) bool { return cmd.Flags().Lookup(name) != nil })
	_, err := config.Load(cmd.Flags(), config.Options{EnvPrefix: service.EnvPrefix, OtherKeys: others})
	if err != nil {
		return &usageError{err}
	}
	if a.output != "text" && a.output != "json" {
		return usagef("--output %q: allowed are text, json", a.output)
	}
	if err := a.trace.Check(); err != nil {
		return &usageError{err}
	}
	if a.storeURL == "" {
		a.storeURL = "sqlite:" + filepath.Join(a.data, "store.db")
	}
	return nil
}

// flagNames lists the flags of all commands: they share one config file.
func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	for _, c := range cmd.Commands() {
		names = append(names, flagNames(c)...)
	}
	return names
}

// say tells the user something that is no result.
func (a *app) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, format+"\n", args...)
}

// interruptedOr is errInterrupted where an error comes from the user's wish to
// end.
func interruptedOr(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

func (a *app) logger() *slog.Logger { return a.obs.Logger(a.stderr) }

// reader opens the store for reading and hands it to read.
func (a *app) reader(ctx context.Context, read func(store.Reader) error) (err error) {
	r, err := open.As(a.credentials).OpenReader(ctx, a.storeURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return read(r)
}

// arguments checks the number of arguments and says what each is.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		plural := "s"
		if len(names) == 1 {
			plural = ""
		}
		return usagef("%s takes %d argument%s, got %d: %s", cmd.CommandPath(), len(names), plural, len(args), cmd.UseLine())
	}
}
