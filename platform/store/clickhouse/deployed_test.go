package clickhouse_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/clickhouse"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/platform/store/storetest"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
	"github.com/spotserve/spotserve/platform/testsecret"
)

const settings = "../../../deploy/clickhouse"

// TestDeployed starts a server with exactly the settings of deploy/clickhouse and
// checks what they promise.
func TestDeployed(t *testing.T) {
	server := chtest.StartDeployed(t, settings, "collector", "plotter", "reader")
	t.Run("Conformance", func(t *testing.T) {
		storetest.RunAt(t, func(t *testing.T) storetest.Place {
			drop(t, server)
			door := func(user string) storetest.Door {
				return storetest.Door{As: open.As(server.Files(user)), URL: server.URLOf(user, "spotserve")}
			}
			return storetest.Place{Writer: door("collector"), Reader: door("reader")}
		})
	})
	drop(t, server)
	w, err := clickhouse.OpenAs(t.Context(), server.Files("collector"), server.URLOf("collector", "spotserve"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Write(t.Context(), storetest.Random(3, 40)); err != nil {
		t.Fatal(err)
	}
	t.Run("Readers", func(t *testing.T) { testReadersOnlyRead(t, server) })
	t.Run("OtherDatabases", func(t *testing.T) { testOtherDatabases(t, server) })
	t.Run("Strangers", func(t *testing.T) { testStrangers(t, server) })
	t.Run("PasswordChanges", func(t *testing.T) { testPasswordChanges(t, server) })
	t.Run("Versions", func(t *testing.T) { testVersions(t, server) })
	t.Run("Log", func(t *testing.T) {
		if found := testsecret.Find([]byte(server.Log())); len(found) > 0 {
			t.Error("the server's log has a password")
		}
	})
}

// connect is a connection of a user that is not kept from anything by this package.
func connect(t *testing.T, server *chtest.Deployed, user, database string) chgo.Conn {
	t.Helper()
	options, err := chgo.ParseDSN(server.URLOf(user, database))
	if err != nil {
		t.Fatal(err)
	}
	files := server.Files(user)
	if options.TLS, err = files.Client(); err != nil {
		t.Fatal(err)
	}
	if options.Auth.Password, err = files.ReadStorePassword(); err != nil {
		t.Fatal(err)
	}
	conn, err := chgo.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func drop(t *testing.T, server *chtest.Deployed) {
	t.Helper()
	if err := connect(t, server, "collector", "system").Exec(t.Context(), "DROP DATABASE IF EXISTS spotserve"); err != nil {
		t.Fatal(err)
	}
}

// The server itself refuses readers to write, whatever client they use, and to raise
// their limits.
func testReadersOnlyRead(t *testing.T, server *chtest.Deployed) {
	for _, user := range []string{"reader", "plotter"} {
		conn := connect(t, server, user, "spotserve")
		for _, statement := range []string{
			"INSERT INTO runs_rows (run) SELECT 'x'", "DROP TABLE runs_rows", "DROP DATABASE spotserve", "CREATE DATABASE mine",
			"CREATE TABLE x (a Int8) ENGINE = Memory", "ALTER TABLE runs_rows DELETE WHERE 1", "ALTER TABLE runs_rows DROP COLUMN kind",
			"CREATE VIEW x AS SELECT 1", "SET readonly = 0", "SET max_execution_time = 0", "SET max_memory_usage = 0",
			"OPTIMIZE TABLE runs_rows", "RENAME TABLE runs_rows TO x",
		} {
			if err := conn.Exec(t.Context(), statement); err == nil {
				t.Errorf("%s: %q: no error", user, statement)
			}
		}
		if _, err := conn.PrepareBatch(t.Context(), "INSERT INTO runs_rows (run)"); err == nil {
			t.Errorf("%s begins an insert", user)
		}
		r, err := clickhouse.OpenReaderAs(t.Context(), server.Files(user), server.URLOf(user, "spotserve"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		t.Cleanup(cancel)
		for _, ctx := range []context.Context{t.Context(), ctx} {
			wantRequests(ctx, t, r, 40)
		}
		if rights, err := r.Rights(ctx); err != nil || rights != "reads" {
			t.Errorf("%s: rights %q, %v", user, rights, err)
		}
		if have, known, err := r.Schema(ctx); err != nil || have != known {
			t.Errorf("%s: schema %d of %d, %v", user, have, known, err)
		}
		over, end := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		end(enough)
		if rows, err := r.Query(over, "SELECT 1"); err == nil {
			t.Errorf("a query of a context that has ended: %v", rows)
		}
		if _, err := clickhouse.OpenAs(t.Context(), server.Files(user), server.URLOf(user, "other")); err == nil {
			t.Errorf("%s opens a store for writing", user)
		}
	}
}

func wantRequests(ctx context.Context, t *testing.T, r store.Reader, want int64) {
	t.Helper()
	rows, err := r.Query(ctx, "SELECT count(*) FROM request_latency")
	if err != nil || rows.Values[0][0] != want {
		t.Errorf("%v, %v; want %d requests", rows.Values, err, want)
	}
}

// Nobody gets at other databases of the server.
func testOtherDatabases(t *testing.T, server *chtest.Deployed) {
	for _, user := range []string{"collector", "reader", "plotter"} {
		conn := connect(t, server, user, "system")
		for _, statement := range []string{"SELECT * FROM default.x", "CREATE DATABASE mine", "CREATE TABLE default.x (a Int8) ENGINE = Memory", "DROP DATABASE default"} {
			if err := conn.Exec(t.Context(), statement); err == nil {
				t.Errorf("%s: %q: no error", user, statement)
			}
		}
	}
}

// Who is not known gets in nowhere, learns what to do, and shows no password.
func testStrangers(t *testing.T, server *chtest.Deployed) {
	good := server.Files("collector")
	wrong := good
	wrong.StorePassword = server.Files("reader").StorePassword
	none := good
	none.StorePassword = ""
	foreign := good
	foreign.CA = chtest.Certificates(t) + "/ca.crt"
	system := good
	system.CA = ""
	url := server.URLOf("collector", "spotserve")
	plain := strings.TrimSuffix(url, "?secure=true")
	inURL := func(password string) string { return strings.Replace(url, "collector@", "collector:"+password+"@", 1) }
	for name, c := range map[string]struct {
		files credential.Files
		url   string
		says  string
	}{
		"another CA":        {foreign, url, "--tls-ca"},
		"the system's CAs":  {system, url, "--tls-ca"},
		"another host":      {good, strings.Replace(url, "127.0.0.1", "localhost", 1), "--tls-ca"},
		"no TLS":            {good, plain, "cannot be reached"},
		"another password":  {wrong, url, "correct --store and --store-password-file"},
		"no password":       {none, url, "correct --store and --store-password-file"},
		"one in the URL":    {none, inURL(testsecret.Password()), "correct --store and --store-password-file"},
		"an unknown user":   {good, strings.Replace(url, "collector@", "nobody@", 1), "correct --store and --store-password-file"},
		"the default user":  {none, strings.Replace(url, "collector@", "default@", 1), "correct --store and --store-password-file"},
		"another database":  {good, server.URLOf("collector", "default"), "open store"},
		"not to be checked": {good, url + "&skip_verify=true", "skip_verify is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errWriter := open.As(c.files).Open(t.Context(), c.url)
			_, errReader := open.As(c.files).OpenReader(t.Context(), c.url)
			for _, err := range []error{errWriter, errReader} {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %q", err, c.says)
				} else if len(testsecret.Find([]byte(err.Error()))) > 0 {
					t.Errorf("%q shows a password", err)
				}
			}
		})
	}
}

// A password that is changed counts from the next connection on.
func testPasswordChanges(t *testing.T, server *chtest.Deployed) {
	files := server.Files("reader")
	right, err := os.ReadFile(files.StorePassword)
	if err != nil {
		t.Fatal(err)
	}
	files.StorePassword = t.TempDir() + "/password"
	set := func(text []byte) {
		if err := os.WriteFile(files.StorePassword, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set(right)
	r, err := clickhouse.OpenReaderAs(t.Context(), files, server.URLOf("reader", "spotserve"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, c := range []struct {
		text []byte
		ok   bool
	}{{[]byte("wrong"), false}, {right, true}} {
		set(c.text)
		server.Stop() // ends all connections
		server.Restart()
		rows, err := r.Query(t.Context(), "SELECT 1")
		if (len(rows.Values) == 1) != c.ok || (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "refuses this user and password") {
			t.Errorf("a right password: %t, %v", c.ok, err)
		}
	}
}

// The server speaks TLS 1.3, and 1.2 to others, and nothing older.
func testVersions(t *testing.T, server *chtest.Deployed) {
	address := strings.TrimPrefix(strings.TrimSuffix(server.URLOf("x", ""), "/?secure=true"), "clickhouse://x@")
	for version, ok := range map[uint16]bool{tls.VersionTLS13: true, tls.VersionTLS12: true, tls.VersionTLS11: false} {
		config, err := server.Files("reader").Client()
		if err != nil {
			t.Fatal(err)
		}
		config.MinVersion, config.MaxVersion = version, version
		conn, err := tls.Dial("tcp", address, config)
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}
