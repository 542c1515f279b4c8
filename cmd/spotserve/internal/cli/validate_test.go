package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/preview"
	"github.com/spotserve/spotserve/core/experiment"
)

// experimentFile writes an experiment file and returns its path.
func experimentFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// mine is a small experiment: half a minute of four fixed nodes.
const mine = `name: mine
model: 20B
instance: g4dn.12xlarge
profile: T4-20B
trace: {fixed: {instances: 4, market: on-demand, end_s: 120}}
arrivals: {kind: even, rate_rps: 0.25, prompt_tokens: 512, output_tokens: 128}
`

// TestValidatePrintsWhatAFileComesTo in a line for what it is and five for the
// rest.
func TestValidatePrintsWhatAFileComesTo(t *testing.T) {
	one := experimentFile(t, mine)
	many := experimentFile(t, mine+"seeds: [1, 2, 3]\nsweep: {rate: [0.2, 30], instances: [4, 6]}\n")
	code, stdout, stderr := commandLine("validate " + one + " " + many)
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	want := []string{
		one + ": experiment mine is fine",
		"  runs          1: seed 1",
		"  fleet         4 nodes of 4 GPUs at 0 s, 4 to 4 until 120 s",
		"  requests      29 until 120 s, 0.25 a second, of 512 + 128 tokens",
		"  first choice  1x2x8 at 0 s with batches of 4: ",
		"  load          0.285 requests/s required, ",
		many + ": experiment mine is fine",
		"  runs          12: rate 0.2, 30 x instances 4, 6 x seeds 1 to 3",
		"  fleet         4 to 6 nodes of 4 GPUs at 0 s, 4 to 6 until 120 s",
		"  requests      23 to 3599 until 120 s, 0.2 to 30 a second, of 512 + 128 tokens",
		"  first choice  ",
		"  load          0.228 to 34.2 requests/s required, sustained at first in 6 of 12 runs",
	}
	if len(lines) != len(want) {
		t.Fatalf("it prints %d lines, want %d:\n%s", len(lines), len(want), stdout)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d is\n%s\nwant\n%s", i+1, line, want[i])
		}
	}
}

// TestValidateTellsWhatIsWrong of each file, and prints what is right.
func TestValidateTellsWhatIsWrong(t *testing.T) {
	good, bad := experimentFile(t, mine), experimentFile(t, mine+"grace_s: -1\nobjective: speed\n")
	code, stdout, stderr := commandLine("validate " + bad + " " + good + " none.yaml " + t.TempDir())
	if code != exitFailed || !strings.HasPrefix(stdout, good+": experiment mine is fine\n") {
		t.Errorf("exit code %d, it prints\n%s", code, stdout)
	}
	for _, want := range []string{bad + ":7: ", "grace_s", bad + ":8: ", "objective", "none.yaml: no such file", "is a directory"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("there is no %q in\n%s", want, stderr)
		}
	}
	if code, _, stderr := commandLine("validate"); code != exitUsage || !strings.Contains(stderr, "takes one argument or more") {
		t.Errorf("without a file: exit code %d, %s", code, stderr)
	}
}

func TestValidateAsJSON(t *testing.T) {
	file := experimentFile(t, mine+"sweep: {grace: [0, 30]}\n")
	code, stdout, stderr := commandLine("validate --output json " + file)
	var got []checked
	if err := json.Unmarshal([]byte(stdout), &got); code != exitOK || err != nil {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if len(got) != 1 || got[0].Name != "mine" || len(got[0].Previews) != 2 || got[0].Previews[0].Config != "1x2x8" ||
		len(got[0].Sweep) != 1 || strings.Join(got[0].Sweep[0].Values, " ") != "0 30" {
		t.Errorf("it prints\n%s", stdout)
	}
	if code, stdout, _ := commandLine("validate --output json none.yaml"); code != exitFailed || strings.TrimSpace(stdout) != "[]" {
		t.Errorf("of no good file: exit code %d, it prints %q", code, stdout)
	}
}

func TestWhatAFileComesTo(t *testing.T) {
	fits := preview.Preview{Config: "1x2x8", ConfigAtS: 0, BatchLimit: 4, LatencyS: 15, ThroughputRPS: 0.5, RequiredRPS: 0.4}
	slow, none := fits, preview.Preview{RequiredRPS: 0.4}
	slow.ThroughputRPS = 0.3
	for _, tt := range []struct{ got, want string }{
		{sustained([]preview.Preview{fits, fits}), "sustained"},
		{sustained([]preview.Preview{slow}), "not sustained: the queue grows until the fleet does"},
		{sustained([]preview.Preview{fits, none, slow}), "sustained at first in 1 of 3 runs"},
		{firstChoice([]preview.Preview{none}), "none: nothing fits on the GPUs that there are"},
		{firstChoice([]preview.Preview{fits, fits}), "1x2x8 at 0 s with batches of 4: 15 s a batch, 0.5 requests/s expected"},
		{firstChoice([]preview.Preview{fits, slow, none, slow}), "1x2x8 at 0 s with batches of 4: 15 s a batch, 0.5 requests/s expected; elsewhere 2 others"},
		{seedList([]uint64{7}), "seed 7"},
		{seedList([]uint64{1, 2, 3}), "seeds 1 to 3"},
		{seedList([]uint64{3, 1}), "seeds 3, 1"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	swept := func(values ...string) catalog.CustomRun {
		return catalog.CustomRun{Sweep: []experiment.SweepValue{{Key: "b", Value: values[0]}, {Key: "a", Value: values[1]}}}
	}
	keys := sweptKeys([]catalog.CustomRun{swept("2", "x"), swept("2", "y"), swept("1", "x"), swept("1", "y")})
	if len(keys) != 2 || keys[0].Key != "b" || strings.Join(keys[0].Values, "") != "21" || strings.Join(keys[1].Values, "") != "xy" {
		t.Errorf("the swept keys are %v", keys)
	}
}
