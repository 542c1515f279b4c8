//go:build unix

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeployedSettings starts every program with its file of deploy/, and with
// flags for what a test has to have elsewhere.
func TestDeployedSettings(t *testing.T) {
	t.Parallel()
	deploy, err := filepath.Abs(filepath.Join(repository, "deploy"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(deploy, name) }

	out, err := exec.CommandContext(t.Context(), natsServer(t), "-t", "-c", file("nats-server.conf")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "is valid") {
		t.Errorf("nats-server says of its configuration: %v\n%s", err, out)
	}

	url := startServer(t)
	s := newSite(t)
	for name, elsewhere := range map[string][]string{
		"planner":        nil,
		"worker":         nil,
		"trace-replayer": nil,
		"collector":      {"--store", s.store, "--store-password-file", ""},
		"plotter":        {"--store", s.store, "--store-password-file", "", "--figures", filepath.Join(s.dir, "figures")},
	} {
		args := append([]string{
			"--config", file(name + ".yaml"), "--nats", url, "--log-format", "text",
			"--tls-ca", "", "--tls-cert", "", "--tls-key", "", "--nats-nkey", "",
		}, elsewhere...)
		p := s.startService(name, args...)
		p.terminate(t)
	}
}
