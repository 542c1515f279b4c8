package deploy_test

import (
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/deploy"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/natsserver"
)

// now is when keys are made that hold now.
var now = time.Now()

// options make keys in a new folder.
func options(t *testing.T, nodes ...string) deploy.Options {
	t.Helper()
	return deploy.Options{Out: t.TempDir() + "/keys", Nodes: nodes, Days: 2, Now: now}
}

func keys(t *testing.T, o deploy.Options) deploy.Result {
	t.Helper()
	r, err := deploy.Keys(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// site is a deployment with a server of its own.
type site struct {
	t      *testing.T
	keys   string
	store  string
	users  map[string]access.User
	server *natsserver.Server
}

func newSite(t *testing.T, nodes ...string) *site {
	t.Helper()
	o := options(t, nodes...)
	s := &site{t: t, keys: o.Out, store: t.TempDir(), users: make(map[string]access.User)}
	for _, u := range keys(t, o).Users {
		s.users[u.Name()] = u
	}
	s.start("127.0.0.1:0")
	t.Cleanup(s.stop)
	return s
}

func (s *site) start(listen string) {
	s.t.Helper()
	var err error
	if s.server, err = natsserver.Start(natsserver.Options{
		StoreDir: s.store, Listen: listen, Log: slog.New(slog.DiscardHandler),
		Security: &natsserver.Security{Users: deploy.UsersFile(s.keys), Authority: deploy.ServerFiles(s.keys, deploy.NATS)},
	}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) stop() {
	if err := s.server.Shutdown(); err != nil {
		s.t.Error(err)
	}
}

// restart has the server read its users anew.
func (s *site) restart(listen string) {
	s.t.Helper()
	s.stop()
	s.start(listen)
}

// files are a user's credentials.
func (s *site) files(name string) credential.Files { return deploy.Files(s.keys, s.users[name]) }

// connect connects a user as its service does.
func (s *site) connect(name string) (*natsbus.Bus, error) {
	b, err := natsbus.Connect(s.t.Context(), natsbus.Options{
		URL: s.server.URL(), Credentials: s.files(name), Name: name, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		s.t.Cleanup(func() { _ = b.Close() }) // a test of refusals leaves some behind
	}
	return b, err
}

func (s *site) bus(name string) *natsbus.Bus {
	s.t.Helper()
	b, err := s.connect(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// raw connects a user without our bus.
func (s *site) raw(name string) *nats.Conn {
	s.t.Helper()
	f, u := s.files(name), s.users[name]
	config, err := f.Client()
	if err != nil {
		s.t.Fatal(err)
	}
	nc, err := nats.Connect(s.server.URL(), nats.Secure(config), nats.CustomInboxPrefix(jsapi.Inbox(u.Key)), nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // LastError has it
		nats.Nkey(u.Key, func(nonce []byte) ([]byte, error) { return credential.Sign(f.NKey, nonce) }))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

// ask asks the server something, and reads the answer into to.
func ask(t *testing.T, nc *nats.Conn, subject string, to any) {
	t.Helper()
	m, err := nc.Request(subject, nil, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(m.Data, to); err != nil {
		t.Fatal(err)
	}
}

// openServer is one that takes everybody, in plain text.
func openServer(t *testing.T) (url string) {
	t.Helper()
	server, err := natsserver.Start(natsserver.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return server.URL()
}

// wantNoSecrets looks for what folders of keys hold as secrets.
func wantNoSecrets(t *testing.T, text string, folders ...string) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".key") && !strings.HasSuffix(path, ".nk") {
				return err
			}
			secret, err := os.ReadFile(path)
			for line := range strings.Lines(string(secret)) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && strings.Contains(text, line) {
					t.Errorf("a secret of %s is in\n%s", path, text)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
