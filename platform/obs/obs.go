// Package obs is how a process shows what it does: its log, its metrics, and
// whether it is alive and ready.
//
// A process has one logger, one metrics registry and one Readiness, made in
// main and handed to what needs them. Nothing here is global.
package obs

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/pflag"
)

// Options are the flags that every service has. The zero value logs text from
// level info on and serves no metrics.
type Options struct {
	LogLevel  slog.Level
	LogFormat LogFormat
	// MetricsListen is the host:port of Server; empty means no server.
	MetricsListen string
}

// AddFlags adds --log-level, --log-format and --metrics-listen, with the
// present values as defaults.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.Var((*levelFlag)(&o.LogLevel), "log-level", "log from this level on: "+levels)
	fs.Var(&o.LogFormat, "log-format", "format of the log: "+formats)
	fs.StringVar(&o.MetricsListen, "metrics-listen", o.MetricsListen,
		"serve /metrics, /healthz and /readyz on this host:port, loopback recommended (127.0.0.1:9090); empty: off")
}

// Logger writes the log to w, as a service does to stderr. Callers add the
// attributes run, epoch and node where they know them.
func (o Options) Logger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: o.LogLevel, ReplaceAttr: legible}
	if o.LogFormat == JSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// legible writes what has a text as that text, in JSON too: an epoch as "1.3", an
// instant of experiment time as "24.370s". Durations are texts as well.
func legible(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case error:
	case time.Duration:
		a.Value = slog.StringValue(v.String())
	case fmt.Stringer:
		if a.Value.Kind() == slog.KindAny {
			a.Value = slog.StringValue(v.String())
		}
	}
	return a
}

// NewRegistry returns the registry of a process, with the metrics of the Go
// runtime, the process and the build in it.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newBuildInfo(),
	)
	return r
}

// LogFormat is how a log line is written. It is a flag value.
type LogFormat int

// The log formats.
const (
	Text LogFormat = iota
	JSON
)

const formats = "text or json"

// String implements pflag.Value.
func (f *LogFormat) String() string {
	if *f == JSON {
		return "json"
	}
	return "text"
}

// Set implements pflag.Value.
func (f *LogFormat) Set(s string) error {
	switch s {
	case "text":
		*f = Text
	case "json":
		*f = JSON
	default:
		return fmt.Errorf("must be %s", formats)
	}
	return nil
}

// Type implements pflag.Value.
func (f *LogFormat) Type() string { return "format" }

// levelFlag is a slog.Level as a flag value.
type levelFlag slog.Level

const levels = "debug, info, warn or error"

func (l *levelFlag) String() string { return strings.ToLower(slog.Level(*l).String()) }

func (l *levelFlag) Set(s string) error {
	if err := (*slog.Level)(l).UnmarshalText([]byte(s)); err != nil {
		return fmt.Errorf("must be %s", levels)
	}
	return nil
}

func (l *levelFlag) Type() string { return "level" }
