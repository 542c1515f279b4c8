package open_test

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/platform/store/sqlite"
)

func TestWrongURLs(t *testing.T) {
	for _, c := range []struct{ url, says string }{
		{"", "allowed: sqlite:PATH or clickhouse://"},
		{"store.db", "allowed: sqlite:PATH or clickhouse://"},
		{"postgres://user:secret@host/db", `"postgres"`},
		{"sqlite:", "allowed: sqlite:PATH"},
		{"clickhouse:", "allowed: clickhouse://"},
		{"clickhouse:///db", "allowed: clickhouse://"},
		{"clickhouse://user:se/cret@host:9000/db", "percent-encoded"},
		{"clickhouse://user:secret@host:port/db", "percent-encoded"},
		{"clickhouse://user:secret@host:9000/", "database"},
		{"clickhouse://user:secret@host:9000/a-b", "letters, digits"},
		{"clickhouse://user:secret@host:9000/a/b", "letters, digits"},
		{"clickhouse://user:secret@host:9000/db?dial_timeout=soon", "soon"},
		{"clickhouse://user@host:9000/db?password=secret", "no parameter is named password"},
		{"clickhouse://user:secret@host:9440/db?secure=true&skip_verify=true", "skip_verify is refused"},
		{"clickhouse://user:secret@host:9440/db?secure=perhaps", "secure"},
	} {
		_, errWriter := open.Open(t.Context(), c.url)
		_, errReader := open.OpenReader(t.Context(), c.url)
		for _, err := range []error{errWriter, errReader} {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q: %v; want an error that says %q", c.url, err, c.says)
			} else if strings.Contains(err.Error(), "cret") {
				t.Errorf("%q: the error shows the password: %v", c.url, err)
			}
		}
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	url := "clickhouse://user:secret@" + address + "/db"
	_, errWriter := open.Open(t.Context(), url)
	_, errReader := open.OpenReader(t.Context(), url)
	for _, err := range []error{errWriter, errReader} {
		if err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "start the server") {
			t.Errorf("%v; want the address and what to do", err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestSQLite(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	w, err := open.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Write(t.Context(), store.Batch{Runs: []store.Run{{Run: "e2e-1"}}}); err != nil {
		t.Fatal(err)
	}
	if p, err := open.OpenPruner(t.Context(), url); !errors.Is(err, sqlite.ErrOwned) {
		t.Errorf("a pruner beside a writer: %v, %v; want ErrOwned", p, err)
	}
	r, err := open.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if run, err := store.FindRun(t.Context(), r, "e2e-1"); err != nil || run.Run != "e2e-1" {
		t.Errorf("%v, %v", run, err)
	}
}

func TestRedacted(t *testing.T) {
	for text, want := range map[string]string{
		"sqlite:/data/store.db":                                   "sqlite:/data/store.db",
		"clickhouse://user:secret@host:9000/db":                   "clickhouse://user:xxxxx@host:9000/db",
		"clickhouse://user@host:9440/db?secure=true":              "clickhouse://user@host:9440/db?secure=true",
		"clickhouse://user@host/db?password=secret&secure=true#x": "clickhouse://user@host/db?secure=true",
		"clickhouse://user:%zzsecret@host/db":                     "clickhouse:?",
		"postgres://user:secret@host/db":                          "?",
		"user:secret@host":                                        "?",
	} {
		if got := open.Redacted(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
