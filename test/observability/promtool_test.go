package observability

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
)

// TestPromtool: Prometheus's own tool takes the settings and the rules, and each
// alert fires where it has to and nowhere else.
func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv(chtest.RequireEnv) != "" {
			t.Fatal("promtool is not installed: it is in Debian's package prometheus")
		}
		t.Skip("NEEDS promtool, of Debian's package prometheus: the alerts are parsed, and not tried")
	}
	for _, args := range [][]string{
		{"check", "config", "scrape.yaml"},
		{"check", "rules", "alerts.yaml"},
		{"test", "rules", "alerts_test.yaml"},
	} {
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = filepath.Join(root, "deploy", "prometheus")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
