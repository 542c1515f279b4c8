package deployment

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/testsecret"
	"github.com/spotserve/spotserve/test/internal/program"
)

// packaged is where the distribution's package has the server's configuration,
// which deploy/clickhouse adds to.
const packaged = "/etc/clickhouse-server"

// elsewhere is what a site on the test's own machine has to have elsewhere.
const elsewhere = `<yandex>
  <path replace="replace">%[1]s/data/</path><tmp_path replace="replace">%[1]s/tmp/</tmp_path>
  <user_files_path replace="replace">%[1]s/files/</user_files_path><format_schema_path replace="replace">%[1]s/schemas/</format_schema_path>
  <logger><log replace="replace">%[1]s/server.log</log><errorlog replace="replace">%[1]s/errors.log</errorlog></logger>
  <mark_cache_size replace="replace">67108864</mark_cache_size>
</yandex>
`

// ask is the configuration of the stock client, of people who read.
const ask = `<config>
  <host>clickhouse</host><port>%d</port><secure>1</secure><database>spotserve</database>
  <user>%s</user><password>%s</password>
  <openSSL><client>
    <loadDefaultCAFile>false</loadDefaultCAFile><caConfig>%s</caConfig><verificationMode>strict</verificationMode>
    <invalidCertificateHandler><name>RejectCertificateHandler</name></invalidCertificateHandler>
  </client></openSSL>
</config>
`

// startClickHouse starts the server of the distribution with the files of
// deploy/clickhouse, and a tap before it.
func (s *site) startClickHouse() {
	s.t.Helper()
	h, dir := s.lan.on("clickhouse"), filepath.Join(s.dir, "clickhouse")
	// ip netns puts it in place of the package's own folder.
	etc := filepath.Join(names, h.space, filepath.Base(packaged))
	s.copyFolder(packaged, etc)
	for _, folder := range []string{"config.d", "users.d"} {
		s.copyFolder(filepath.Join(repository, "deploy", "clickhouse", folder), filepath.Join(etc, folder))
	}
	s.copyFolder(filepath.Join(s.keys, "clickhouse"), filepath.Join(etc, "tls"))
	s.write(filepath.Join(etc, "config.d", "test.xml"), fmt.Sprintf(elsewhere, dir))
	env := []string{"SPOTSERVE_CLICKHOUSE_LISTEN=" + h.address}
	for _, user := range []string{"collector", "plotter", "reader"} {
		password := testsecret.Password()
		s.write(s.password(user), password)
		s.write(s.asker(user), fmt.Sprintf(ask, clickhousePort, user, password, s.key("operator", "ca.crt")))
		env = append(env, fmt.Sprintf("SPOTSERVE_CLICKHOUSE_%s=%x", strings.ToUpper(user), sha256.Sum256([]byte(password))))
	}
	p := &part{name: "clickhouse", host: h, file: s.tools["clickhouse-server"], dir: s.dir, env: env, args: []string{"--config-file", filepath.Join(packaged, "config.xml")}}
	p.start()
	s.parts = append(s.parts, p)
	s.rows = newTap(h, rowsTap, clickhousePort)
	within(s.t, "ClickHouse listens", func() (bool, any) {
		conn, err := h.dial(h, clickhousePort)
		if err != nil {
			return false, errors.Join(err, errors.New(p.Stderr.String()))
		}
		return conn.Close() == nil, nil
	})
}

func (s *site) write(file, text string) {
	s.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

// password is the file with the password of a user of the store; asker that with
// the settings of the stock client.
func (s *site) password(user string) string { return filepath.Join(s.dir, "passwords", user) }
func (s *site) asker(user string) string    { return s.password(user) + ".xml" }

// storeAs is the store as a user names it.
func (s *site) storeAs(user string, port int) string {
	return fmt.Sprintf("clickhouse://%s@clickhouse:%d/spotserve?secure=true", user, port)
}

// query has the stock client ask the store, as its reader.
func (s *site) query(sql string) string {
	s.t.Helper()
	exit := s.ask("reader", "--query", sql)
	if exit.Code != 0 {
		s.t.Fatalf("clickhouse-client ends with %d\n%s", exit.Code, exit.Stderr)
	}
	return strings.TrimSpace(exit.Stdout)
}

func (s *site) ask(user string, args ...string) exit {
	s.t.Helper()
	return s.lan.on("operator").run(s.dir, []string{"HOME=" + s.dir}, s.tools["clickhouse-client"], append([]string{"--config-file", s.asker(user)}, args...)...)
}

// storeIsGuarded: readers cannot write, and nobody gets in without their password.
func (s *site) storeIsGuarded() {
	s.t.Helper()
	for what, c := range map[string]struct {
		args []string
		said string
	}{
		"a reader writes":        {[]string{"--query", "INSERT INTO runs_rows (run) VALUES ('stolen')"}, "readonly"},
		"a reader drops":         {[]string{"--query", "DROP TABLE runs_rows"}, "readonly"},
		"another's password":     {[]string{"--user", "collector", "--query", "SELECT 1"}, "password"},
		"the package's own user": {[]string{"--user", "default", "--password", "", "--query", "SELECT 1"}, "default"},
		"plain text":             {[]string{"--port", "9000", "--query", "SELECT 1"}, "refused"},
	} {
		if exit := s.ask("reader", c.args...); exit.Code == 0 || !strings.Contains(strings.ToLower(exit.Stdout+exit.Stderr), c.said) {
			s.t.Errorf("%s: it ends with %d, want %q\n%s%s", what, exit.Code, c.said, exit.Stdout, exit.Stderr)
		}
	}
}

// clickhouseServer finds the stock server also where the search path of a plain
// user may not.
func clickhouseServer(t *testing.T) string {
	t.Helper()
	const sbin = "/usr/sbin/clickhouse-server"
	if _, err := os.Stat(sbin); err == nil {
		return sbin
	}
	return program.Installed(t, "clickhouse-server", "apt-get install clickhouse-server")
}
