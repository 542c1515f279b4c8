//go:build unix

package e2e

import (
	"path/filepath"
	"testing"

	"github.com/spotserve/spotserve/test/internal/program"
)

// deployed is a path in deploy/.
func deployed(t *testing.T, path ...string) string {
	t.Helper()
	deploy, err := filepath.Abs(filepath.Join(append([]string{repository, "deploy"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return deploy
}

// deployKeys makes the credentials of a deployment whose hosts are this machine.
func deployKeys(t *testing.T, args ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "keys")
	args = append([]string{"deploy", "keys", "--out", dir, "--node", "node-0", "--host", "localhost"}, args...)
	if exit := program.Run(t, t.TempDir(), nil, spotserve(t), args...); exit.Code != 0 {
		t.Fatalf("spotserve %q: exit code %d\n%s%s", args, exit.Code, exit.Stdout, exit.Stderr)
	}
	return dir
}

// proof is the flags that name a role's credentials.
func proof(keys, role string) []string {
	file := func(name string) string { return filepath.Join(keys, role, name) }
	return []string{"--tls-ca", file("ca.crt"), "--tls-cert", file("tls.crt"), "--tls-key", file("tls.key"), "--nats-nkey", file("nats.nk")}
}

// TestDeployedSettings starts every program with its file of deploy/ and its own
// credentials, on a NATS server with the configuration of deploy/, and with flags
// for what a test has to have elsewhere.
func TestDeployedSettings(t *testing.T) {
	t.Parallel()
	keys := deployKeys(t)
	url := startDeployedNATS(t, keys, 1)[0].url
	s := newSite(t)
	for _, c := range []struct {
		name, role string
		elsewhere  []string
	}{
		{"trace-replayer", "trace-replayer", nil}, // it may make the streams that the others wait for
		{"planner", "planner", nil},
		{"worker", "worker-node-0", []string{"--data-listen", "127.0.0.1:0"}},
		{"collector", "collector", []string{"--store", s.store, "--store-password-file", ""}},
		{"plotter", "plotter", []string{"--store", s.store, "--store-password-file", "", "--figures", filepath.Join(s.dir, "figures")}},
	} {
		args := append([]string{"--config", deployed(t, c.name+".yaml"), "--nats", url, "--log-format", "text"}, c.elsewhere...)
		p := s.startService(c.name, append(args, proof(keys, c.role)...)...)
		p.terminate(t)
	}
}
