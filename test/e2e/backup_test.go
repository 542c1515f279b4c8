//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/test/internal/program"
)

// TestStreamsAreBackedUpAndRestored goes through that part of docs/runbook.md with
// the stock command line of NATS: the operator copies the streams of servers that
// are in use, may not restore them there, and does on empty servers that let in
// nobody else. Then the services go on with what the copy has.
func TestStreamsAreBackedUpAndRestored(t *testing.T) {
	t.Parallel()
	nats := program.Installed(t, "nats", "bash .ci/tools nats, and add the folder that it prints to the search path")
	keys := deployKeys(t)
	folder := filepath.Join(keys, "operator")
	key, err := credential.PublicKey(filepath.Join(folder, "nats.nk"))
	if err != nil {
		t.Fatal(err)
	}
	backup := t.TempDir()
	operator := func(server natsProcess, args ...string) program.Exit {
		return program.Run(t, backup, []string{"XDG_CONFIG_HOME=" + t.TempDir()}, nats, append([]string{
			"--server", server.url, "--tlsca", filepath.Join(folder, "ca.crt"), "--tlscert", filepath.Join(folder, "tls.crt"),
			"--tlskey", filepath.Join(folder, "tls.key"), "--nkey", filepath.Join(folder, "nats.nk"), "--inbox-prefix", "_INBOX." + key,
		}, args...)...)
	}
	must := func(exit program.Exit) {
		t.Helper()
		if exit.Code != 0 || strings.Contains(exit.Stderr, "Violation") {
			t.Fatalf("exit code %d: %s%s", exit.Code, exit.Stdout, exit.Stderr)
		}
	}

	// A trace-replayer refuses a start that has no planner, in public.
	first := startDeployedNATS(t, keys, 1)[0]
	s := newSite(t)
	replayer := func(server natsProcess) serviceProcess {
		args := []string{"--config", deployed(t, "trace-replayer.yaml"), "--nats", server.url, "--log-format", "text", "--roll-call", "100ms"}
		return s.startService("trace-replayer", append(args, proof(keys, "trace-replayer")...)...)
	}
	p := replayer(first)
	start := `{"e2e":{"approach":"spotserve","model":"20B","trace":"As"}}`
	must(operator(first, "pub", wire.SubjectStart, start))
	p.Await(t, "start refused")
	p.terminate(t)
	for _, stream := range []bus.Stream{bus.Control, bus.Runs} {
		must(operator(first, "backup", "stream", string(stream), string(stream)))
	}
	must(operator(first, "backup", "validate", string(bus.Control)))
	if exit := operator(first, "--timeout", "1s", "backup", "restore", "stream", string(bus.Control)); exit.Code == 0 {
		t.Errorf("the operator restores a stream of servers that are in use: %s", exit.Stdout)
	}

	second := startDeployedNATS(t, keys, 1)[0]
	auth := filepath.Join(second.dir, "auth.conf")
	deployment, err := os.ReadFile(auth)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(text string) {
		t.Helper()
		if err := os.WriteFile(auth, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		said := strings.Count(second.Stderr.String(), "Reloaded server configuration")
		must(program.Run(t, second.dir, nil, natsServer(t), "--signal", fmt.Sprintf("reload=%d", second.PID())))
		second.awaitCount(t, "Reloaded server configuration", said+1)
	}
	reload(fmt.Sprintf("accounts {\n  SPOT { jetstream: enabled, users: [ { nkey: %s } ] }\n  SYS {}\n}\nsystem_account: SYS\n", key))
	for _, stream := range []bus.Stream{bus.Control, bus.Runs} {
		must(operator(second, "backup", "restore", "stream", string(stream)))
	}
	reload(string(deployment))
	p = replayer(second)
	defer p.terminate(t)
	exit := operator(second, "stream", "get", string(bus.Control), "--last-for", wire.SubjectStart)
	must(exit)
	if !strings.Contains(exit.Stdout, start) {
		t.Errorf("the restored stream has %q, want the start", exit.Stdout)
	}
	if strings.Contains(p.Stderr.String(), "start refused") {
		t.Errorf("a start that was answered is answered again:\n%s", p.Stderr.String())
	}
}

// awaitCount waits until the server has said something so many times.
func (s natsProcess) awaitCount(t *testing.T, text string, n int) {
	t.Helper()
	timeout := time.After(time.Minute)
	for strings.Count(s.Stderr.String(), text) < n {
		select {
		case <-timeout:
			t.Fatalf("%s does not say %q %d times:\n%s", s.url, text, n, s.Stderr.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
