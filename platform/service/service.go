// Package service is what the mains of all services share: flags, environment
// and config file, log, metrics, health, signals, and the run group that the
// service's actors are in.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/config"
	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/failpoint"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/trace"
	"github.com/spotserve/spotserve/platform/version"
)

// EnvPrefix starts the names of the environment variables of all services.
const EnvPrefix = "SPOTSERVE"

// Service is one program.
type Service struct {
	Name string // of the program
	Does string // one sentence for --help
	// Flags adds the service's own flags to those that every service has:
	// config, log-level, log-format, metrics-listen, stream-replicas, trace-endpoint,
	// trace-sample and those of its credentials.
	Flags func(*pflag.FlagSet)
	// Node, if set, names the node that the process stands for, once the flags are
	// parsed; empty if there is none, or several.
	Node func() string
	// Setup connects to what the service needs and adds its actors to the
	// group. The context ends with the process, on a signal for example.
	Setup func(context.Context, *Process) error
}

// Process is what a service gets to work with.
type Process struct {
	Group   run.Group
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Ready   *obs.Readiness
	// Credentials are the files that the process proves itself with; they were
	// checked.
	Credentials credential.Files
	// Tracer says what the process does as spans; nil says nothing.
	Tracer *trace.Tracer

	replicas int
	atExit   []func() error
}

// AtExit has f called when all actors have returned, or when the set-up has
// failed. What was added last is called first.
func (p *Process) AtExit(f func() error) { p.atExit = append(p.atExit, f) }

// Holder names this process where one of several holds a lease.
func Holder() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid()), nil
}

// The exit codes of Run.
const (
	exitFailed = 1
	exitUsage  = 2
)

// Main runs the service until SIGINT or SIGTERM and returns the exit code: 0 if
// it ended by a signal or by itself, 1 if it failed, 2 if it was called wrongly.
// A second signal ends the process at once.
func (s Service) Main() int {
	if slices.Contains(os.Args[1:], "--version") { // no setting: neither the environment nor the file has it
		_, _ = fmt.Fprintln(os.Stdout, s.Name, version.Of())
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	return s.Run(ctx, os.Args[1:], os.Stderr)
}

// Run is Main without signals: it runs the service until the context ends, and
// writes the log and what is wrong to stderr.
func (s Service) Run(ctx context.Context, args []string, stderr io.Writer) int {
	given, err := s.parse(args, stderr)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "%s: %v\nsee %s --help\n", s.Name, err, s.Name)
		return exitUsage
	case given.checkReady:
		if err := askReady(ctx, given.obs.MetricsListen); err != nil {
			_, _ = fmt.Fprintf(stderr, "%s: %v\n", s.Name, err)
			return exitFailed
		}
		return 0
	}
	p := &Process{
		Log: given.obs.Logger(stderr).With("service", s.Name), Metrics: obs.NewRegistry(), Ready: &obs.Readiness{},
		Credentials: given.credentials, replicas: given.replicas,
	}
	p.Metrics.MustRegister(p.Ready)
	err = s.run(ctx, p, given)
	slices.Reverse(p.atExit)
	for _, f := range p.atExit {
		err = errors.Join(err, f())
	}
	if err != nil {
		p.Log.Error("failed", "error", err)
		return exitFailed
	}
	return 0
}

// settings are those that every service has.
type settings struct {
	obs         obs.Options
	replicas    int
	credentials credential.Files
	trace       trace.Options
	checkReady  bool
}

// parse reads all settings and checks the credentials.
func (s Service) parse(args []string, stderr io.Writer) (given settings, err error) {
	fs := pflag.NewFlagSet(s.Name, pflag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		_, _ = fmt.Fprintf(stderr, "%s %s\n\nusage: %s [flags]\n%s\nEvery flag can be set in the environment too (--log-level: %s), and in the config file.\n--version prints the version and ends.\n",
			s.Name, s.Does, s.Name, fs.FlagUsages(), config.EnvName(EnvPrefix, "log-level"))
	}
	fs.String(config.FileFlag, "", "config file in YAML, whose keys are the names of these flags")
	s.Flags(fs)
	given.obs.AddFlags(fs)
	given.trace.AddFlags(fs)
	given.credentials.AddFlags(fs)
	StreamReplicasFlag(fs, &given.replicas)
	fs.BoolVar(&given.checkReady, "check-ready", false, "ask the service that runs with these settings whether it is ready, at --metrics-listen, and end: with code 0 if it is, else 1")
	if err := fs.Parse(args); err != nil {
		return given, err
	}
	if fs.NArg() > 0 {
		return given, fmt.Errorf("unexpected argument %q: all settings are flags", fs.Arg(0))
	}
	if _, err := config.Load(fs, config.Options{EnvPrefix: EnvPrefix}); err != nil {
		return given, err
	}
	return given, errors.Join(CheckStreamReplicas(given.replicas), given.trace.Check(), given.credentials.Check())
}

// run returns when all actors have.
func (s Service) run(ctx context.Context, p *Process, given settings) error {
	if points := os.Getenv(failpoint.Env); points != "" {
		if err := failpoint.Arm(points); err != nil {
			return err
		}
		p.Log.Warn("this process fails on purpose", "failpoints", points)
	}
	server, err := obs.Listen(given.obs.MetricsListen, p.Metrics, p.Ready, p.Log)
	if err != nil {
		return err
	}
	p.AtExit(func() error { server.Interrupt(nil); return nil }) // where the group never ran
	who := trace.Service{Name: s.Name}
	if s.Node != nil {
		who.Node = s.Node()
	}
	if p.Tracer, err = given.trace.Open(ctx, who, p.Log); err != nil {
		return err
	}
	p.AtExit(p.Tracer.Close) // when all have said what they have to
	p.Group.Add(server.Serve, server.Interrupt)
	p.Group.Add(run.ContextHandler(ctx))
	if err := s.Setup(ctx, p); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // interrupted while it waited for something
		}
		return err
	}
	if err := p.Group.Run(); !errors.Is(err, context.Canceled) || ctx.Err() == nil {
		return err
	}
	return nil
}
