package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// settingsFile writes a config file and returns its path.
func settingsFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "spotserve.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestFlagOverEnvironmentOverFile: all commands share one file, and each takes
// from it what it has a flag for.
func TestFlagOverEnvironmentOverFile(t *testing.T) {
	file := settingsFile(t, "seed: 5\ntime-scale: 500\nquirks: artifact\nnats-listen: 127.0.0.1:4333\n")
	t.Setenv("SPOTSERVE_SEED", "6")
	t.Setenv("SPOTSERVE_TIME_SCALE", "600")
	code, stdout, stderr := commandLine("config print e2e spotserve 20B As --seed 7 --config " + file)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, line := range []string{"seed: 7", "time_scale: 600", "quirks: artifact"} {
		if !strings.Contains(behindValues.ReplaceAllString("\n"+stdout, ""), "\n"+line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, stdout)
		}
	}
}

func TestSettingsRefuse(t *testing.T) {
	broken := settingsFile(t, "seed: 5\ntime-scal: 500\nquirks: [1]\nseed: 6\n")
	for _, tt := range []struct {
		env, args, want string
	}{
		{"SPOTSERVE_SEED=many", "config print e2e spotserve 20B As", `environment SPOTSERVE_SEED: seed: want a whole number, got "many"`},
		{"SPOTSERVE_SEED=0", "config print e2e spotserve 20B As", "--seed 0: allowed are whole numbers from 1 on"},
		{"", "e2e spotserve 20B As --time-scale 0", "--time-scale 0: allowed are numbers above 0"},
		{"", "ls --config " + broken, broken + `:2: unknown key "time-scal"`},
		{"", "config print ondemand 4 --config " + broken, broken + `:4: key "seed" is there twice, first in line 1`},
		{"", "config print ondemand 4 --config " + broken, broken + ":3: quirks"},
		{"", "ls --config /nowhere/spotserve.yaml", "/nowhere/spotserve.yaml: cannot read the config file"},
		{"", "ls --output xml", `--output "xml": allowed are text, json`},
	} {
		t.Run(tt.env+" "+tt.args, func(t *testing.T) {
			if name, value, ok := strings.Cut(tt.env, "="); ok {
				t.Setenv(name, value)
			}
			code, stdout, stderr := commandLine(tt.args)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit code %d, it prints %q and says\n%s\nwant exit code %d and\n%s", code, stdout, stderr, exitUsage, tt.want)
			}
		})
	}
}
