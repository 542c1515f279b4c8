package obs_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/obs"
)

func parse(t *testing.T, args ...string) (obs.Options, error) {
	t.Helper()
	var o obs.Options
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.AddFlags(fs)
	err := fs.Parse(args)
	return o, err
}

func TestFlags(t *testing.T) {
	tests := []struct {
		args []string
		want obs.Options
		err  string
	}{
		{nil, obs.Options{}, ""},
		{[]string{"--log-level=debug", "--log-format=json", "--metrics-listen=127.0.0.1:0"},
			obs.Options{LogLevel: slog.LevelDebug, LogFormat: obs.JSON, MetricsListen: "127.0.0.1:0"}, ""},
		{[]string{"--log-level=WARN"}, obs.Options{LogLevel: slog.LevelWarn}, ""},
		{[]string{"--log-level=loud"}, obs.Options{}, "must be debug, info, warn or error"},
		{[]string{"--log-format=xml"}, obs.Options{}, "must be text or json"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			got, err := parse(t, tt.args...)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestFlagDefaultsAreThePresentValues(t *testing.T) {
	o := obs.Options{LogLevel: slog.LevelError, LogFormat: obs.JSON, MetricsListen: "127.0.0.1:9090"}
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.AddFlags(fs)
	for name, want := range map[string]string{"log-level": "error", "log-format": "json", "metrics-listen": "127.0.0.1:9090"} {
		if got := fs.Lookup(name).DefValue; got != want {
			t.Errorf("default of --%s: got %q, want %q", name, got, want)
		}
	}
}

func TestLogger(t *testing.T) {
	tests := []struct {
		name string
		opts obs.Options
		want []string // one a line
	}{
		{"text", obs.Options{}, []string{`level=INFO msg=planned run=e2e-1 epoch=1.2`, `level=ERROR msg=broken run=e2e-1`}},
		{"debug", obs.Options{LogLevel: slog.LevelDebug}, []string{`msg=seen`, `msg=planned`, `msg=broken`}},
		{"error", obs.Options{LogLevel: slog.LevelError}, []string{`msg=broken`}},
		{"json", obs.Options{LogFormat: obs.JSON}, []string{`"msg":"planned","run":"e2e-1","epoch":"1.2"`, `"msg":"broken"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var buf bytes.Buffer
			log := tt.opts.Logger(&buf).With("run", "e2e-1")
			log.Debug("seen")
			log.Info("planned", "epoch", "1.2")
			log.Error("broken")
			lines := strings.Split(strings.TrimSuffix(buf.String(), "\n"), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(tt.want), &buf)
			}
			for i, want := range tt.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d: got %s, want %s in it", i+1, lines[i], want)
				}
				if tt.opts.LogFormat == obs.JSON && !json.Valid([]byte(lines[i])) {
					t.Errorf("line %d is not JSON: %s", i+1, lines[i])
				}
			}
		})
	}
}

func TestReadiness(t *testing.T) {
	var r obs.Readiness
	unmet := func() string {
		var names []string
		for _, u := range r.Unmet() {
			names = append(names, u.Name+": "+u.Reason)
		}
		return strings.Join(names, "; ")
	}
	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"empty", func() {}, ""},
		{"added", func() { r.Add("store"); r.Add("bus") }, "bus: starting; store: starting"},
		{"one met", func() { r.Add("bus").Met() }, "store: starting"},
		{"added again keeps its state", func() { r.Add("bus") }, "store: starting"},
		{"all met", func() { r.Add("store").Met() }, ""},
		{"lost", func() { r.Add("bus").NotMet("reconnecting") }, "bus: reconnecting"},
		{"lost without a reason", func() { r.Add("bus").NotMet("") }, "bus: not met"},
	}
	for _, s := range steps {
		s.do()
		if got := unmet(); got != s.want {
			t.Errorf("%s: got %q, want %q", s.name, got, s.want)
		}
	}
}
