package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/catalog"
)

// commandLineIn is commandLine with a data folder of its own.
func commandLineIn(data, args string) (code int, stdout, stderr string) {
	return commandLine(args + " --data " + data)
}

// TestRunOfOneRun prints what e2e prints; the file's words stand, flags go
// before them.
func TestRunOfOneRun(t *testing.T) {
	t.Parallel()
	data, file := t.TempDir(), experimentFile(t, mine+"seed: 4\nquirks: artifact\n")
	code, stdout, stderr := commandLineIn(data, "run "+file+" --virtual")
	if code != exitOK || !strings.HasPrefix(stdout, "custom-v1: mine, spotserve, 20B on ") || !strings.Contains(stdout, "quirks artifact, seed 4, virtual time, finished") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	for _, want := range []string{"29 accepted", "configuration at s", "figure  ", "store   sqlite:"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("there is no %q in\n%s", want, stdout)
		}
	}
	code, stdout, stderr = commandLineIn(data, "run "+file+" --virtual --seed 9 --name yours --quirks none --drain --output json")
	var got struct {
		Name, Quirks, Kind, Status string
		Seed                       uint64
		Unfinished                 int `json:"unfinished_at_end"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); code != exitOK || err != nil {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if got.Name != "yours" || got.Quirks != "none" || got.Kind != "custom" || got.Seed != 9 || got.Status != "finished" || got.Unfinished != 0 {
		t.Errorf("it prints\n%s", stdout)
	}
}

// TestRunOfMany prints a row a point with the median of the seeds, and draws the
// sweep.
func TestRunOfMany(t *testing.T) {
	t.Parallel()
	data, file := t.TempDir(), experimentFile(t, mine+"seeds: 2\nsweep: {rate: [0.2, 0.3]}\n")
	code, stdout, stderr := commandLineIn(data, "run "+file+" --virtual")
	if code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	rows := 0
	for line := range strings.Lines(stdout) {
		if fields := strings.Fields(line); len(fields) > 2 && (fields[0] == "0.2" || fields[0] == "0.3") && fields[1] == "2" {
			rows++
		}
	}
	if rows != 2 || !strings.Contains(stdout, "sweep-mine.png") {
		t.Errorf("it prints\n%s", stdout)
	}
	if _, err := os.Stat(filepath.Join(data, "figures", "sweep-mine.svg")); err != nil {
		t.Error(err)
	}
	if code, listed, _ := commandLineIn(data, "ls"); code != exitOK || strings.Count(listed, "rate 0.3") != 2 {
		t.Errorf("ls prints\n%s", listed)
	}

	// What was run, and no more; what is named, in the format that its name says.
	code, stdout, _ = commandLineIn(data, "run "+file+" --virtual --seeds 3 --output json")
	var report struct {
		Sections []struct{ Results []struct{ Seeds []uint64 } }
	}
	if err := json.Unmarshal([]byte(stdout), &report); code != exitOK || err != nil {
		t.Fatalf("exit code %d, %v: %s", code, err, stdout)
	}
	if r := report.Sections[0].Results; len(r) != 2 || len(r[0].Seeds) != 3 {
		t.Errorf("it prints\n%s", stdout)
	}
	out := filepath.Join(data, "out.pdf")
	if code, stdout, stderr := commandLineIn(data, "plot sweep mine -o "+out); code != exitOK || strings.TrimSpace(stdout) != out {
		t.Errorf("plot sweep: exit code %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := commandLineIn(data, "compare mine custom-v1 --fold -o "+out); code != exitOK || !strings.Contains(stdout, "They differ in: ") || !strings.Contains(stdout, "figure  "+out) {
		t.Errorf("compare: exit code %d, %s%s", code, stdout, stderr)
	}
	if code, _, stderr := commandLineIn(data, "compare mine nobodys"); code != exitFailed || !strings.Contains(stderr, `named "nobodys"`) {
		t.Errorf("compare with a name of nothing: exit code %d, %s", code, stderr)
	}
}

// TestRunOfAPublishedExperiment is that experiment under another name.
func TestRunOfAPublishedExperiment(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	code, text, stderr := commandLine("config print workload rerouting A --seed 3")
	if code != exitOK {
		t.Fatal(stderr)
	}
	code, custom, stderr := commandLineIn(data, "run "+experimentFile(t, text)+" --virtual")
	if code != exitOK {
		t.Fatal(stderr)
	}
	code, published, stderr := commandLineIn(data, "workload rerouting A --seed 3 --virtual")
	if code != exitOK {
		t.Fatal(stderr)
	}
	tables := func(text string) string {
		_, rest, _ := strings.Cut(text, "\n")
		rest, _, _ = strings.Cut(rest, "figure")
		return rest
	}
	if tables(custom) != tables(published) || tables(custom) == "" {
		t.Errorf("from its file it prints\n%s\nelse\n%s", custom, published)
	}
}

func TestRunRefuses(t *testing.T) {
	good, bad := experimentFile(t, mine), experimentFile(t, mine+"grace_s: -1\nobjective: speed\n")
	empty := filepath.Join(t.TempDir(), "none")
	for args, want := range map[string]struct {
		code int
		say  string
	}{
		"run":                                 {exitUsage, "takes 1 argument, got 0"},
		"run none.yaml":                       {exitFailed, "none.yaml: no such file"},
		"run " + t.TempDir():                  {exitFailed, "is a directory"},
		"run " + bad:                          {exitFailed, bad + ":8: "},
		"run " + good + " --seeds -1":         {exitUsage, "--seeds -1: allowed are 1 to 1000"},
		"run " + good + " --seeds 1001":       {exitUsage, "--seeds 1001: allowed are 1 to 1000"},
		"run " + good + " --seeds 2 --seed 2": {exitUsage, "--seed and --seeds are both given"},
		"run " + good + " --quirks all":       {exitFailed, `with the flags given: unknown quirks "all": allowed are none, artifact`},
		"run " + good + " --time-scale -1":    {exitFailed, "with the flags given: time_scale is -1"},
		"run " + good + " --batching x":       {exitUsage, "unknown flag: --batching"},
	} {
		code, stdout, stderr := commandLineIn(empty, args)
		if code != want.code || stdout != "" || !strings.Contains(stderr, want.say) {
			t.Errorf("%s: exit code %d, it prints %q and says %q, want %q", args, code, stdout, stderr, want.say)
		}
		if _, err := os.Stat(empty); err == nil {
			t.Fatalf("%s: there is a data folder", args)
		}
	}
}

// TestSeedsOfFlags stand instead of the file's, at each point.
func TestSeedsOfFlags(t *testing.T) {
	custom, err := catalog.ReadCustom("mine.yaml", []byte(mine+"seeds: [5, 6, 7]\nsweep: {rate: [0.2, 0.3]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		flags runFlags
		want  []uint64 // of the options
	}{
		{runFlags{}, []uint64{0, 0, 0, 0, 0, 0}},
		{runFlags{seeds: 2}, []uint64{1, 2, 1, 2}},
		{runFlags{seeds: 1}, []uint64{1, 1}},
	} {
		got := tt.flags.starts(custom)
		if len(got) != len(tt.want) {
			t.Errorf("--seeds %d: %d starts, want %d", tt.flags.seeds, len(got), len(tt.want))
			continue
		}
		for i, start := range got {
			if start.Options.Seed != tt.want[i] {
				t.Errorf("--seeds %d: start %d has seed %d, want %d", tt.flags.seeds, i, start.Options.Seed, tt.want[i])
			}
		}
		if got[0].YAML == got[len(got)-1].YAML {
			t.Errorf("--seeds %d: both points are the same", tt.flags.seeds)
		}
	}
	one := runFlags{}
	one.options.Seed = 9
	if got := one.starts(custom); len(got) != 2 || got[1].Options.Seed != 9 {
		t.Errorf("--seed 9: %d starts", len(got))
	}
}
