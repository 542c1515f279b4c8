package service_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/platform/failpoint"
	"github.com/spotserve/spotserve/platform/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is a log that is read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// sample is a service that reports what happens to it.
type sample struct {
	word   string
	steps  []string
	setup  error                       // what Setup returns
	start  func(ctx context.Context)   // called in Setup
	actor  func(context.Context) error // nil: waits to be interrupted
	atExit error
}

func (s *sample) service() service.Service {
	return service.Service{
		Name:  "sampler",
		Does:  "takes samples.",
		Flags: func(fs *pflag.FlagSet) { fs.StringVar(&s.word, "word", "none", "a word") },
		Setup: func(ctx context.Context, p *service.Process) error {
			s.steps = append(s.steps, "setup "+s.word)
			p.AtExit(func() error { s.steps = append(s.steps, "first closed"); return s.atExit })
			p.AtExit(func() error { s.steps = append(s.steps, "second closed"); return nil })
			if s.start != nil {
				s.start(ctx)
			}
			if s.setup != nil {
				return s.setup
			}
			actx, cancel := context.WithCancel(context.Background())
			p.Group.Add(func() error {
				if s.actor != nil {
					return s.actor(actx)
				}
				<-actx.Done()
				s.steps = append(s.steps, "actor ended")
				return nil
			}, func(error) { cancel() })
			return nil
		},
	}
}

func TestRun(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name   string
		args   []string
		env    string // SPOTSERVE_WORD
		sample sample
		code   int
		steps  string
		stderr string // must be in it
	}{
		{name: "until the context ends", args: []string{"--word=a"}, steps: "setup a, actor ended, second closed, first closed"},
		{name: "environment", env: "b", steps: "setup b, actor ended, second closed, first closed"},
		{name: "set-up fails", sample: sample{setup: broken}, code: 1, steps: "setup none, second closed, first closed",
			stderr: "level=ERROR msg=failed service=sampler error=broken"},
		{name: "actor fails", sample: sample{actor: func(context.Context) error { return broken }}, code: 1,
			steps: "setup none, second closed, first closed", stderr: "error=broken"},
		{name: "actor is done", sample: sample{actor: func(context.Context) error { return nil }},
			steps: "setup none, second closed, first closed"},
		{name: "closing fails", sample: sample{atExit: broken}, code: 1,
			steps: "setup none, actor ended, second closed, first closed", stderr: "error=broken"},
		{name: "help", args: []string{"--help"}, stderr: "sampler takes samples.\n\nusage: sampler [flags]\n"},
		{name: "unknown flag", args: []string{"--wort=a"}, code: 2, stderr: "sampler: unknown flag: --wort\nsee sampler --help\n"},
		{name: "argument", args: []string{"a"}, code: 2, stderr: `sampler: unexpected argument "a": all settings are flags`},
		{name: "bad setting", args: []string{"--config=no-such.yaml"}, code: 2, stderr: "sampler: no-such.yaml: cannot read the config file"},
		{name: "too many replicas", args: []string{"--stream-replicas=6"}, code: 2, stderr: "sampler: --stream-replicas 6: allowed are 1 to 5, and 0"},
		{name: "fewer replicas than none", args: []string{"--stream-replicas=-1"}, code: 2, stderr: "sampler: --stream-replicas -1: allowed are 1 to 5, and 0"},
		{name: "no such credentials", args: []string{"--nats-nkey=no-such.nk"}, code: 2, stderr: "sampler: --nats-nkey no-such.nk: cannot be read: no such file"},
		{name: "half a pair", args: []string{"--tls-cert=a"}, code: 2, stderr: "sampler: --tls-cert and --tls-key: one of them is given"},
		{name: "bad address", args: []string{"--metrics-listen=nowhere"}, code: 1, stderr: "--metrics-listen nowhere: want host:port of this host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("SPOTSERVE_WORD", tt.env)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.sample.actor == nil && tt.sample.setup == nil {
				tt.sample.start = func(context.Context) { cancel() }
			}
			var stderr buffer
			if code := tt.sample.service().Run(ctx, tt.args, &stderr); code != tt.code {
				t.Errorf("got exit code %d, want %d", code, tt.code)
			}
			if got := strings.Join(tt.sample.steps, ", "); got != tt.steps {
				t.Errorf("got steps %s, want %s", got, tt.steps)
			}
			if !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("got %s, want %s in it", stderr.String(), tt.stderr)
			}
			if tt.code == 0 && tt.stderr == "" && stderr.String() != "" {
				t.Errorf("got %s", stderr.String())
			}
		})
	}
}

func TestRunInterruptedInSetup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := sample{setup: context.Canceled, start: func(ctx context.Context) { cancel(); <-ctx.Done() }}
	var stderr buffer
	if code := s.service().Run(ctx, nil, &stderr); code != 0 || stderr.String() != "" {
		t.Errorf("got exit code %d, %s", code, stderr.String())
	}
}

func TestRunServesHealthAndFreesThePort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stderr buffer
	var addr string
	s := sample{actor: func(actx context.Context) error {
		addr = regexp.MustCompile(`url=http://(\S+)`).FindStringSubmatch(stderr.String())[1]
		client := http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("http://" + addr + "/readyz")
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("got status %d", resp.StatusCode)
		}
		cancel()
		<-actx.Done()
		return nil
	}}
	if code := s.service().Run(ctx, []string{"--metrics-listen=127.0.0.1:0"}, &stderr); code != 0 {
		t.Errorf("got exit code %d: %s", code, stderr.String())
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	_ = l.Close()
}

func TestWrongFailpointsAreRefused(t *testing.T) {
	t.Setenv(failpoint.Env, "somewhere=kill@1")
	var s sample
	var stderr buffer
	if code := s.service().Run(t.Context(), nil, &stderr); code != 1 || len(s.steps) != 0 {
		t.Errorf("exit code %d after %q; want 1 and no set-up", code, s.steps)
	}
	if said := stderr.String(); !strings.Contains(said, "is no place") {
		t.Errorf("it says %q; want the places", said)
	}
}
