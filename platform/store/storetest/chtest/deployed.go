package chtest

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/testsecret"
)

// distributed is where the distribution's package has its settings.
const distributed = "/etc/clickhouse-server"

// Deployed is a server with a deployment's settings over those of the distribution.
type Deployed struct {
	*Server
	dir string // of the passwords and certificates
}

// overriding has what a test cannot share with the host: paths and the port.
const overriding = `<yandex>
    <path replace="replace">{dir}/data/</path>
    <tmp_path replace="replace">{dir}/tmp/</tmp_path>
    <user_files_path replace="replace">{dir}/user_files/</user_files_path>
    <format_schema_path replace="replace">{dir}/format_schemas/</format_schema_path>
    <logger><log replace="replace">{dir}/server.log</log><errorlog replace="replace">{dir}/server.err.log</errorlog></logger>
    <mark_cache_size replace="replace">67108864</mark_cache_size>
    <tcp_port_secure replace="replace">{port}</tcp_port_secure>
    <openSSL><server>
        <certificateFile replace="replace">{keys}/server.crt</certificateFile>
        <privateKeyFile replace="replace">{keys}/server.key</privateKeyFile>
        <caConfig replace="replace">{keys}/ca.crt</caConfig>
    </server></openSSL>
</yandex>
`

// StartDeployed runs a server with the settings of a folder, config.d and users.d,
// under TLS. users are those whose hashes the settings take from the environment.
func StartDeployed(t testing.TB, settings string, users ...string) *Deployed {
	t.Helper()
	if _, err := find(); err != nil {
		failOrSkip(t, err)
	}
	keys := Certificates(t)
	env := []string{"SPOTSERVE_CLICKHOUSE_LISTEN=127.0.0.1"}
	var first string
	for _, user := range users {
		password := testsecret.Password()
		if user == users[0] {
			first = password
		}
		if err := os.WriteFile(filepath.Join(keys, user+".password"), []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, fmt.Sprintf("SPOTSERVE_CLICKHOUSE_%s=%x", strings.ToUpper(user), sha256.Sum256([]byte(password))))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(t, filepath.Join(keys, "ca.crt"))) {
		t.Fatal("no authority")
	}
	s := start(t, func(s *Server) {
		s.env = env
		s.dial = clickhouse.Options{
			TLS:  &tls.Config{RootCAs: roots},
			Auth: clickhouse.Auth{Database: "system", Username: users[0], Password: first},
		}
		for _, name := range []string{"config.xml", "users.xml"} {
			write(t, filepath.Join(s.dir, name), read(t, filepath.Join(distributed, name)))
		}
		for _, name := range []string{"config.d/spotserve.xml", "users.d/spotserve.xml"} {
			write(t, filepath.Join(s.dir, name), read(t, filepath.Join(settings, name)))
		}
		text := strings.NewReplacer("{dir}", s.dir, "{port}", fmt.Sprint(s.port), "{keys}", keys).Replace(overriding)
		write(t, filepath.Join(s.dir, "config.d", "test.xml"), []byte(text))
	})
	kept := testsecret.Keep(t, "clickhouse")
	t.Cleanup(func() { _, _ = io.WriteString(kept, s.log()) })
	return &Deployed{s, keys}
}

// Files are the credentials of a user.
func (d *Deployed) Files(user string) credential.Files {
	return credential.Files{CA: filepath.Join(d.dir, "ca.crt"), StorePassword: filepath.Join(d.dir, user+".password")}
}

// URLOf is the --store value of a user.
func (d *Deployed) URLOf(user, database string) string {
	return "clickhouse://" + user + "@" + d.address() + "/" + database + "?secure=true"
}

// Log is what the server has written of itself so far.
func (d *Deployed) Log() string { return d.log() }

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
