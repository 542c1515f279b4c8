package testsecret_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/spotserve/spotserve/platform/testsecret"
)

func TestFind(t *testing.T) {
	password := testsecret.Password()
	quoted, err := json.Marshal(map[string]string{"password": password})
	if err != nil {
		t.Fatal(err)
	}
	address := url.URL{Scheme: "nats", User: url.UserPassword("planner", "hunter2"), Host: "127.0.0.1:4222"}
	for _, c := range []struct {
		name, text string
		want       string // the first leak; empty: none
	}{
		{"nothing", "level=INFO msg=\"service runs\" nats=nats://127.0.0.1:4222\n", ""},
		{"password", "one\ntwo\nauth failed for " + password + "\n", "line 3: password of a test"},
		{"password in JSON", string(quoted), "line 1: password of a test"},
		{"password in a URL", "cannot reach " + address.String(), "line 1: password in a URL"},
		{"masked URL", "cannot reach " + address.Redacted(), ""},
		{"help", "nats://[user:password@]host:port, clickhouse://user:password@host:9000/database", ""},
		{"user without password", "clickhouse://planner@127.0.0.1:9440/spotserve", ""},
		{"two URLs", "http://127.0.0.1:4222, mail to: user@host", ""},
		{"seed", "\n" + seed(t), "line 2: seed of an nkey"},
		{"public key", public(t), ""},
		{"private key", key(t), "line 1: private key in PEM"},
		{"certificate", "-----BEGIN CERTIFICATE-----", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaks := testsecret.Find([]byte(c.text))
			switch {
			case c.want == "" && len(leaks) > 0:
				t.Errorf("found %v, want nothing", leaks)
			case c.want != "" && (len(leaks) == 0 || leaks[0].String() != c.want):
				t.Errorf("found %v, want %s", leaks, c.want)
			}
		})
	}
}

func TestFindInBase64(t *testing.T) {
	for _, user := range []string{"", "u", "us", "use", "user", "users"} {
		text := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+testsecret.Password()))
		if leaks := testsecret.Find([]byte(text)); len(leaks) != 1 {
			t.Errorf("user %q: found %v", user, leaks)
		}
	}
}

func TestFindTellsAllInOrder(t *testing.T) {
	text := strings.Join([]string{seed(t), "", testsecret.Password(), seed(t)}, "\n")
	got := fmt.Sprint(testsecret.Find([]byte(text)))
	if want := "[line 1: seed of an nkey line 3: password of a test line 4: seed of an nkey]"; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(testsecret.LogFolder, dir)
	t.Run("in/a test", func(t *testing.T) {
		for range 2 { // of the same name
			if _, err := io.WriteString(testsecret.Keep(t, "/usr/bin/worker"), "said"); err != nil {
				t.Fatal(err)
			}
		}
	})
	files, err := filepath.Glob(filepath.Join(dir, "TestKeep-in-a_test--usr-bin-worker-*.log"))
	if err != nil || len(files) != 2 {
		t.Fatalf("kept %v, %v; want two files", files, err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err != nil || string(text) != "said" {
			t.Errorf("%s: %q, %v", f, text, err)
		}
	}
}

func TestKeepNowhere(t *testing.T) {
	t.Setenv(testsecret.LogFolder, "")
	if w := testsecret.Keep(t, "worker"); w != io.Discard {
		t.Errorf("keeps a log in %v", w)
	}
}

func user(t *testing.T) nkeys.KeyPair {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func seed(t *testing.T) string {
	t.Helper()
	s, err := user(t).Seed()
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}

func public(t *testing.T) string {
	t.Helper()
	p, err := user(t).PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func key(t *testing.T) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}
