package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhoMayReachUp: a server that takes everybody listens on this host alone.
func TestWhoMayReachUp(t *testing.T) {
	for args, parts := range map[string][]string{
		"--nats-listen 0.0.0.0:4222":              {"--nats-listen 0.0.0.0:4222", "deploy keys", "--keys", "127.0.0.1"},
		"--nats-listen :4222":                     {"--nats-listen :4222", "--keys"},
		"--nats-listen [::]:4222":                 {"--keys"},
		"--nats-listen example.com:4222":          {"--keys"},
		"--nats nats://127.0.0.1:4222 --keys any": {"--keys any", "--nats"},
	} {
		code, _, stderr := commandLine("up --data " + t.TempDir() + " " + args)
		if code != exitUsage {
			t.Errorf("up %s: exit code %d, %s", args, code, stderr)
		}
		for _, part := range parts {
			if !strings.Contains(stderr, part) {
				t.Errorf("up %s says %q, not %q", args, stderr, part)
			}
		}
	}
	for _, listen := range []string{"127.0.0.1:4222", "127.0.0.2:0", "[::1]:0", "localhost:4222", "nowhere"} {
		if err := checkListen("", listen, ""); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
	for _, listen := range []string{"0.0.0.0:4222", ":4222"} {
		if err := checkListen("", listen, "keys"); err != nil {
			t.Errorf("%s with keys: %v", listen, err)
		}
	}
}

// TestDeployKeys: the command says what it made and what goes where, and shows no
// secret.
func TestDeployKeys(t *testing.T) {
	out := filepath.Join(t.TempDir(), "keys")
	code, stdout, stderr := commandLine("deploy keys --node node-0 --host nats-1 --out " + out)
	if code != exitOK {
		t.Fatal(stderr)
	}
	for _, part := range []string{"made  ca.crt", "worker-node-0/tls.crt", "nats/auth.conf", filepath.Join(out, "ca.key"), "nowhere", "to that node and no other"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("it does not say %q:\n%s", part, stdout)
		}
	}
	for _, name := range []string{"ca.key", "worker-node-0/tls.key", "planner/nats.nk"} {
		secret, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(secret)) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && strings.Contains(stdout+stderr, line) {
				t.Errorf("it shows %s", name)
			}
		}
	}
	for args, parts := range map[string][]string{
		"deploy keys --days 0":   {"--days 0", "allowed are"},
		"deploy keys --node *":   {"--node", "one node"},
		"deploy secrets":         {"allowed is keys"},
		"deploy keys x":          {"takes 0 arguments"},
		"deploy keys --host a:1": {"--host"},
	} {
		code, _, stderr := commandLine(args + map[bool]string{true: " --out " + t.TempDir()}[strings.HasPrefix(args, "deploy keys")])
		if code == exitOK {
			t.Errorf("%s: it is taken", args)
		}
		for _, part := range parts {
			if !strings.Contains(stderr, part) {
				t.Errorf("%s says %q, not %q", args, stderr, part)
			}
		}
	}
}
