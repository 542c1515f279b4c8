package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/deploy"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/wire"
)

// patience is far above what a refusal takes, and far below what the bus waits
// for an answer.
const patience = 20 * time.Second

// TestRefusalsAreTold: what the server refuses is not waited for. The call fails,
// names user and subject, and is none of a bus that is away.
func TestRefusalsAreTold(t *testing.T) {
	s := newSite(t, "node-0", "node-1")
	s.bus("collector") // makes the streams
	w, plotter, client := s.bus("worker-node-0"), s.bus("plotter"), s.bus("client")
	const foreign = "spot.run.r-1.worker.node-1.fact.tokens_committed"
	m := bus.Outgoing{Subject: foreign, Data: []byte("x")}
	flush := func(ctx context.Context, b bus.Bus) error { return errors.Join(b.Publish(ctx, m), b.Flush(ctx)) }
	for name, tt := range map[string]struct {
		user, subject string
		do            func(context.Context) error
	}{
		"publish":          {"worker-node-0", foreign, func(ctx context.Context) error { return flush(ctx, w) }},
		"publish and wait": {"worker-node-0", foreign, func(ctx context.Context) error { _, err := w.PublishWait(ctx, m); return err }},
		"append":           {"worker-node-0", foreign, func(ctx context.Context) error { _, err := w.Append(ctx, m, 0); return err }},
		"a plotter's word": {"plotter", foreign, func(ctx context.Context) error { _, err := plotter.PublishWait(ctx, m); return err }},
		"put a key": {"worker-node-0", "$KV.SPOT_KEYS.data.node-1", func(ctx context.Context) error {
			_, err := w.Put(ctx, access.AddressKey("node-1"), []byte("x"), 0)
			return err
		}},
		"get a key": {"worker-node-0", "DIRECT.GET.KV_SPOT_KEYS.$KV.SPOT_KEYS.planner", func(ctx context.Context) error {
			_, _, err := w.Get(ctx, access.LeasePlanner)
			return err
		}},
		"follow": {"worker-node-0", "CONSUMER.CREATE.SPOT_CONTROL.", func(ctx context.Context) error {
			_, err := w.Follow(ctx, bus.Control, bus.Position{}, wire.SubjectStart)
			return err
		}},
		"follow by many filters": {"client", "CONSUMER.CREATE.SPOT_RUNS.", func(ctx context.Context) error {
			_, err := client.Follow(ctx, bus.Runs, bus.Position{}, wire.PlanFilter("r-1"), wire.FleetFilter("r-1"))
			return err
		}},
		"consume": {"worker-node-0", "CONSUMER.CREATE.SPOT_RUNS.collector-runs", func(ctx context.Context) error {
			_, err := w.Consume(ctx, bus.Runs, access.CollectorRuns.Name, wire.PlanFilter("*"))
			return err
		}},
		"ask for a place": {"worker-node-0", "CONSUMER.INFO.SPOT_RUNS.plotter", func(ctx context.Context) error {
			_, err := w.Waiting(ctx, bus.Runs, access.PlotterRuns.Name)
			return err
		}},
		"newest": {"client", "STREAM.MSG.GET.SPOT_RUNS", func(ctx context.Context) error {
			_, _, err := client.Newest(ctx, bus.Runs, wire.FleetFilter("r-1"))
			return err
		}},
		"purge":        {"worker-node-0", "STREAM.PURGE.SPOT_RUNS", func(ctx context.Context) error { return w.Purge(ctx, bus.Runs, wire.RunFilter("r-1")) }},
		"purge before": {"client", "STREAM.PURGE.SPOT_CONTROL", func(ctx context.Context) error { return client.PurgeBefore(ctx, bus.Control, 2) }},
		"listen":       {"client", "spot.signal.>", func(ctx context.Context) error { _, err := client.Listen(ctx, "spot.signal.>"); return err }},
		"signal": {"client", "spot.signal.heartbeat.watch", func(ctx context.Context) (err error) {
			for err == nil { // nobody answers a signal: a refusal is known a moment later
				err = client.Signal(ctx, "spot.signal.heartbeat.watch", nil)
			}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := tt.do(ctx)
			if !errors.Is(err, bus.ErrDenied) || errors.Is(err, bus.ErrAway) {
				t.Fatalf("%v; want a refusal", err)
			}
			for _, part := range []string{tt.subject, s.users[tt.user].Key, "spotserve://", "docs/security.md"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
	// A refusal leaves the bus as it was.
	if _, err := w.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.r-1.worker.node-0.fact.x"}); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}

// TestWhoMayNotMakeStreamsWaits: services start in any order, and who may not make
// the streams says once what it waits for.
func TestWhoMayNotMakeStreamsWaits(t *testing.T) {
	s := newSite(t, "node-0")
	for _, name := range []string{"worker-node-0", "plotter", "client"} {
		_, err := s.connect(name)
		if !errors.Is(err, bus.ErrAway) || errors.Is(err, bus.ErrDenied) || !strings.Contains(err.Error(), "SPOT_CONTROL: ") || !strings.Contains(err.Error(), "may not make it") {
			t.Errorf("%s without streams: %v", name, err)
		}
	}
	var said lines
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	connected := make(chan error, 1)
	go func() {
		connected <- bus.Insist(t.Context(), log, func(ctx context.Context) error {
			b, err := natsbus.Connect(ctx, natsbus.Options{URL: s.server.URL(), Credentials: s.files("worker-node-0"), Log: log})
			if err == nil {
				err = b.Close()
			}
			return err
		})
	}()
	for said.String() == "" {
		time.Sleep(10 * time.Millisecond)
	}
	s.bus("planner")
	if err := <-connected; err != nil {
		t.Errorf("when they are there: %v", err)
	}
	if n := strings.Count(said.String(), "\n"); n != 1 || !strings.Contains(said.String(), "may not make it") {
		t.Errorf("it takes %d lines to say what it waits for:\n%s", n, said.String())
	}
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A stream that differs from what a service would have, and that it may not
// change, stays; the collector changes it.
func TestWhoMayNotChangeStreamsTakesThem(t *testing.T) {
	s := newSite(t)
	s.bus("planner")
	window := func(name string, d time.Duration) time.Duration {
		t.Helper()
		b, err := natsbus.Connect(t.Context(), natsbus.Options{
			URL: s.server.URL(), Credentials: s.files(name), DuplicateWindow: d, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		var info struct {
			Config struct {
				Window time.Duration `json:"duplicate_window"`
			} `json:"config"`
		}
		ask(t, s.raw("operator"), "$JS.API.STREAM.INFO.SPOT_RUNS", &info)
		return info.Config.Window
	}
	if got := window("planner", time.Minute); got != 2*time.Minute {
		t.Errorf("the planner has changed the window to %s", got)
	}
	if got := window("collector", time.Minute); got != time.Minute {
		t.Errorf("the collector has not changed the window: it is %s", got)
	}
}

// TestWhoIsLetIn: nobody without the right certificate and the right seed, and
// nothing in plain text. Every refusal says what to do, and none has a secret.
func TestWhoIsLetIn(t *testing.T) {
	s, other := newSite(t, "node-0"), newSite(t, "node-0")
	good := s.files("collector")
	plain := strings.Replace(s.server.URL(), "tls://", "nats://", 1)
	open := openServer(t)
	half := other.files("collector") // of an authority that follows, which the server does not know yet
	half.CA = t.TempDir() + "/ca.crt"
	replace(t, other.files("collector").CA, half.CA)
	appendFile(t, good.CA, half.CA)
	for name, tt := range map[string]struct {
		url   string
		files credential.Files
		want  []string // nil: it is let in
	}{
		"as it should":                   {s.server.URL(), good, nil},
		"a URL without TLS is no matter": {plain, good, nil},
		"no certificate":                 {s.server.URL(), credential.Files{CA: good.CA, NKey: good.NKey}, []string{"--tls-cert"}},
		"another authority's":            {s.server.URL(), other.files("collector"), []string{"--tls-ca"}},
		"the next authority's":           {s.server.URL(), half, []string{"--tls-cert"}},
		"a stranger's seed":              {s.server.URL(), with(good, func(f *credential.Files) { f.NKey = other.files("collector").NKey }), []string{"does not let", other.users["collector"].Key, "--nats-nkey"}},
		"no seed":                        {s.server.URL(), with(good, func(f *credential.Files) { f.NKey = "" }), []string{"does not let"}},
		"nothing":                        {plain, credential.Files{}, []string{"--tls-ca"}},
		"a server without TLS":           {open, with(good, func(f *credential.Files) { f.NKey = "" }), []string{"--tls-ca", "plain text"}},
		"a server without users":         {open, good, []string{"no nkeys", "auth.conf"}},
		"no such seed":                   {s.server.URL(), with(good, func(f *credential.Files) { f.NKey += "x" }), []string{"--nats-nkey", "no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := natsbus.Connect(t.Context(), natsbus.Options{URL: tt.url, Credentials: tt.files, Log: slog.New(slog.DiscardHandler)})
			if err == nil {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}
			if tt.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("it is let in")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			wantNoSecrets(t, err.Error(), s.keys, other.keys)
		})
	}
}

func with(f credential.Files, change func(*credential.Files)) credential.Files {
	change(&f)
	return f
}

// Who stops being a user while connected is cut off and told so; with a new seed
// in its file it is let in again, without being started anew.
func TestASeedIsReplaced(t *testing.T) {
	s := newSite(t, "node-0")
	s.bus("collector")
	var said lines
	files := s.files("worker-node-0")
	linked := make(chan bool, 8)
	b, err := natsbus.Connect(t.Context(), natsbus.Options{
		URL: s.server.URL(), Credentials: files, Log: slog.New(slog.NewTextHandler(&said, nil)), Linked: func(up bool) { linked <- up },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if up := <-linked; !up {
		t.Fatal("it is not connected")
	}
	listen := strings.TrimPrefix(s.server.URL(), "tls://")
	stranger := newSite(t, "node-0").files("worker-node-0")
	replace(t, stranger.NKey, files.NKey)
	s.restart(listen)
	if up := <-linked; up {
		t.Fatal("it is connected with another deployment's seed")
	}
	for !strings.Contains(said.String(), "does not let") {
		time.Sleep(10 * time.Millisecond)
	}
	// Nor does it wait in silence for a file that is not there.
	if err := os.Remove(files.NKey); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(said.String(), "no such file") {
		time.Sleep(10 * time.Millisecond)
	}
	before := s.users["worker-node-0"].Key
	for _, u := range keys(t, deploy.Options{Out: s.keys, Days: 2, Now: now}).Users {
		s.users[u.Name()] = u
	}
	if s.users["worker-node-0"].Key == before {
		t.Fatal("the user is the same")
	}
	s.restart(listen)
	if up := <-linked; !up {
		t.Fatal("it is not connected again")
	}
	if _, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.r-1.worker.node-0.fact.x"}); err != nil {
		t.Errorf("with the new seed: %v", err)
	}
	wantNoSecrets(t, said.String(), s.keys)
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func appendFile(t *testing.T, from, to string) {
	t.Helper()
	text, fromErr := os.ReadFile(from)
	before, toErr := os.ReadFile(to)
	if err := errors.Join(fromErr, toErr, os.WriteFile(to, slices.Concat(before, text), 0o600)); err != nil {
		t.Fatal(err)
	}
}
