package natsserver_test

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/platform/natsserver"
)

// A server of a cluster that is shut down while it is given a stream may leave the
// goroutines of that stream's file behind: NATS's own, and none of ours.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

func start(t *testing.T, o natsserver.Options) *natsserver.Server {
	t.Helper()
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	s, err := natsserver.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// roundTrip stores a message and returns its sequence.
func roundTrip(t *testing.T, url string, options ...nats.Option) uint64 {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "T", Subjects: []string{"t"}}); err != nil {
		t.Fatal(err)
	}
	ack, err := js.Publish(t.Context(), "t", nil)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func TestInProcess(t *testing.T) {
	s := start(t, natsserver.Options{})
	if s.URL() != "" {
		t.Errorf("URL() = %q; want none", s.URL())
	}
	if seq := roundTrip(t, "", nats.InProcessServer(s)); seq != 1 {
		t.Errorf("sequence %d; want 1", seq)
	}
}

func TestListen(t *testing.T) {
	s := start(t, natsserver.Options{Listen: "127.0.0.1:0"})
	if !strings.HasPrefix(s.URL(), "nats://127.0.0.1:") {
		t.Fatalf("URL() = %q", s.URL())
	}
	roundTrip(t, s.URL())
	if seq := roundTrip(t, "", nats.InProcessServer(s)); seq != 2 {
		t.Errorf("sequence %d; want 2: both ways lead to one store", seq)
	}
}

func TestStoreSurvivesShutdown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	for want := range uint64(3) {
		s := start(t, natsserver.Options{StoreDir: dir, SyncAlways: true})
		if seq := roundTrip(t, "", nats.InProcessServer(s)); seq != want+1 {
			t.Errorf("sequence %d; want %d", seq, want+1)
		}
		for range 2 {
			if err := s.Shutdown(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestStoreInUse(t *testing.T) {
	dir := t.TempDir()
	start(t, natsserver.Options{StoreDir: dir})
	_, err := natsserver.Start(natsserver.Options{StoreDir: dir})
	wantError(t, err, fmt.Sprintf("pid %d", os.Getpid()), dir)
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir, addr := t.TempDir(), l.Addr().String()
	_, err = natsserver.Start(natsserver.Options{StoreDir: dir, Listen: addr})
	wantError(t, err, "taken", "--nats nats://"+addr)
	start(t, natsserver.Options{StoreDir: dir}) // the refused one let go of the store
}

func TestBadOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		options natsserver.Options
		want    []string
	}{
		"no store":        {natsserver.Options{}, []string{"folder"}},
		"store is a file": {natsserver.Options{StoreDir: file}, []string{file}},
		"no port":         {natsserver.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1"}, []string{"127.0.0.1", "host:port"}},
		"bad port":        {natsserver.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:nats"}, []string{`"nats"`, "65535"}},
		"foreign address": {natsserver.Options{StoreDir: t.TempDir(), Listen: "192.0.2.1:4222"}, []string{"192.0.2.1:4222"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := natsserver.Start(tt.options)
			wantError(t, err, tt.want...)
		})
	}
}

// What the server calls fatal is an error here.
func TestStoreThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), []byte("not a folder"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := natsserver.Start(natsserver.Options{StoreDir: dir})
	wantError(t, err, dir, "JetStream")
}

func TestLogIsDebug(t *testing.T) {
	var text strings.Builder
	for level, logged := range map[slog.Level]bool{slog.LevelInfo: false, slog.LevelDebug: true} {
		text.Reset()
		log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level}))
		if err := start(t, natsserver.Options{Log: log}).Shutdown(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(text.String(), "Starting nats-server"); got != logged {
			t.Errorf("at level %v the server's log is there: %v; want %v", level, got, logged)
		}
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
