package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
)

// storeWithRuns makes a data folder with runs of several ages and states, and
// returns it with the open writer.
func storeWithRuns(t *testing.T) (data string, w store.Writer) {
	t.Helper()
	data = t.TempDir()
	w, err := open.Open(t.Context(), "sqlite:"+filepath.Join(data, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	started := func(ago time.Duration) int64 { return time.Now().Add(-ago).UnixMilli() }
	b := store.Batch{Runs: []store.Run{
		{Run: "e2e-1", Status: "finished", StartedUnixMS: started(100 * time.Hour), DurationMS: 3.6e6, TimeScale: 60},
		{Run: "e2e-2", Status: "stopped", StartedUnixMS: started(50 * time.Hour), DurationMS: 3.6e6, TimeScale: 1}, // ends 49 hours ago
		{Run: "e2e-3", Status: "finished", StartedUnixMS: started(time.Hour), TimeScale: 60},
		{Run: "e2e-4", Status: "running", StartedUnixMS: started(200 * time.Hour), TimeScale: 60},
		{Run: "e2e-5", Status: "queued", StartedUnixMS: started(200 * time.Hour)},
	}}
	for _, r := range b.Runs {
		b.Requests = append(b.Requests, store.RequestLatency{Run: r.Run})
	}
	if err := w.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return data, w
}

// pruned runs prune and returns the runs that it prints.
func pruned(t *testing.T, data, args string) (runs []string, stderr string) {
	t.Helper()
	code, stdout, stderr := commandLineIn(data, "prune --output json "+args)
	var got []struct{ Run string }
	if err := json.Unmarshal([]byte(stdout), &got); code != exitOK || err != nil {
		t.Fatalf("prune %s: exit code %d, %v: %s%s", args, code, err, stdout, stderr)
	}
	for _, r := range got {
		runs = append(runs, r.Run)
	}
	return runs, stderr
}

func TestPrune(t *testing.T) {
	t.Parallel()
	data, w := storeWithRuns(t)
	listed := func() (runs []string) {
		t.Helper()
		_, stdout, stderr := commandLineIn(data, `sql --output json SELECT(run)FROM(request_latency)`)
		var got []map[string]string
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatalf("%v: %s%s", err, stdout, stderr)
		}
		for _, r := range got {
			for _, name := range r {
				runs = append(runs, name)
			}
		}
		return runs
	}
	for args, want := range map[string][]string{
		"--older-than 49h30m":       {"e2e-1"},
		"--older-than 48h":          {"e2e-1", "e2e-2"},
		"--older-than 48h --keep 2": {"e2e-1"},
		"--older-than 0s":           {"e2e-1", "e2e-2", "e2e-3"},
		"--older-than 0s --keep 9":  nil,
		"--older-than 101h":         nil,
	} {
		runs, stderr := pruned(t, data, args+" --dry-run")
		if !slices.Equal(runs, want) || !strings.Contains(stderr, "would be removed") {
			t.Errorf("prune %s --dry-run prints %v and says %q, want %v", args, runs, stderr, want)
		}
	}
	if got := listed(); len(got) != 5 {
		t.Errorf("after --dry-run the store has rows of %v", got)
	}

	// A collector has the store.
	code, stdout, stderr := commandLineIn(data, "prune --older-than 0s")
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "another process writes to this store") || !strings.Contains(stderr, "process ") {
		t.Errorf("beside a writer: exit code %d, %s%s", code, stdout, stderr)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	code, stdout, stderr = commandLineIn(data, "prune --older-than 48h --keep 2")
	if code != exitOK || !strings.Contains(stdout, "e2e-1") || strings.Contains(stdout, "e2e-2") || !strings.Contains(stderr, "1 runs removed, 4 stay") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	if got, want := listed(), []string{"e2e-2", "e2e-3", "e2e-4", "e2e-5"}; !slices.Equal(got, want) {
		t.Errorf("the store has rows of %v, want %v", got, want)
	}
	if runs, _ := pruned(t, data, "--older-than 0s"); !slices.Equal(runs, []string{"e2e-2", "e2e-3"}) {
		t.Errorf("it prints %v", runs)
	}
	if got, want := listed(), []string{"e2e-4", "e2e-5"}; !slices.Equal(got, want) {
		t.Errorf("the store has rows of %v, want %v", got, want)
	}
	if runs, stderr := pruned(t, data, "--older-than 0s"); len(runs) != 0 || !strings.Contains(stderr, "0 runs removed, 2 stay") {
		t.Errorf("with nothing to remove it prints %v and says %s", runs, stderr)
	}
}

func TestPruneRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"":                            "prune needs --older-than, for example --older-than 720h",
		"--older-than 30d":            `invalid argument "30d" for "--older-than" flag`,
		"--older-than -1h":            "--older-than -1h0m0s: allowed are durations from 0s on",
		"--older-than 1h --keep -1":   "--keep -1: allowed are numbers of runs from 0 on",
		"--older-than 1h --keep some": `invalid argument "some" for "--keep" flag`,
		"--older-than 1h everything":  "prune takes 0 arguments, got 1",
	} {
		code, stdout, stderr := commandLineIn(t.TempDir(), "prune "+args)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("prune %s: exit code %d, %q, %q, want %d and %q", args, code, stdout, stderr, exitUsage, want)
		}
	}
	// No store is made for it.
	data := t.TempDir()
	for _, args := range []string{"", " --dry-run"} {
		code, _, stderr := commandLineIn(data, "prune --older-than 1h"+args)
		if code != exitFailed || !strings.Contains(stderr, "does not exist") {
			t.Errorf("prune without a store: exit code %d, %s", code, stderr)
		}
	}
	if left, err := os.ReadDir(data); err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}
