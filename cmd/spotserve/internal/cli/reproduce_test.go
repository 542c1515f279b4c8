package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reproduceIn runs reproduce with a data folder of its own and returns what it
// prints and says. Paths are left out of what it prints.
func reproduceIn(t *testing.T, data, args string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := commandLine("reproduce " + args + " --data " + data)
	if code != exitOK {
		t.Fatalf("reproduce %s: exit code %d: %s", args, code, stderr)
	}
	return strings.ReplaceAll(stdout, data, "DATA"), stderr
}

// TestReproduceSameSeedsSameBytes: two folders, the same tables and report. What
// is there is not run again, unless that is asked for, and more seeds need only
// the new ones.
func TestReproduceSameSeedsSameBytes(t *testing.T) {
	t.Parallel()
	one, other := t.TempDir(), t.TempDir()
	first, said := reproduceIn(t, one, "price --seeds 1")
	if !strings.HasPrefix(said, "16 of 16 runs made") {
		t.Errorf("it says %q", said)
	}
	if second, _ := reproduceIn(t, other, "price --seeds 1"); second != first {
		t.Errorf("the same seeds print\n%s\nand\n%s", first, second)
	}
	for _, file := range []string{"report.md", "report.html", "figures/price-20B-artifact-none.pdf"} {
		a, errA := os.ReadFile(filepath.Join(one, "reproduce", file))
		b, errB := os.ReadFile(filepath.Join(other, "reproduce", file))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: %v, %v, or they differ", file, errA, errB)
		}
	}
	for args, want := range map[string]string{
		"price --seeds 1":         "0 of 16 runs made",
		"price --seeds 1 --fresh": "16 of 16 runs made",
	} {
		_, said := reproduceIn(t, one, args)
		if !strings.HasPrefix(said, want) {
			t.Errorf("%s says %q, want %q", args, said, want)
		}
	}
	third, said := reproduceIn(t, one, "price --seeds 2")
	if !strings.HasPrefix(said, "16 of 32 runs are in the store, 16 to go\n16 of 32 runs made") || third == first {
		t.Errorf("a seed more says %q and prints\n%s", said, third)
	}
}

// TestReproduceAsJSON: the numbers behind the tables, wherever the figures go.
func TestReproduceAsJSON(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	out := filepath.Join(data, "fig9")
	printed, _ := reproduceIn(t, data, "ablation --seeds 1 --output json --out "+out)
	var report struct {
		Sections []struct {
			Name    string
			Results []struct{ Metrics []struct{ Name string } }
		}
		Missing []string
	}
	if err := json.Unmarshal([]byte(printed), &report); err != nil {
		t.Fatalf("%v:\n%s", err, printed)
	}
	if len(report.Sections) != 1 || report.Sections[0].Name != "ablation" || len(report.Sections[0].Results) != 10 || len(report.Missing) != 0 {
		t.Errorf("it prints\n%s", printed)
	}
	if _, err := os.Stat(filepath.Join(out, "report.html")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(data, "reproduce")); err == nil {
		t.Error("it writes into the data folder too")
	}
}

func TestReproduceRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"reproduce e3":                "unknown figures \"e3\": allowed are e2e, price, workload, ablation, all",
		"reproduce e2e price":         "takes at most one argument, got 2",
		"reproduce --seeds 0":         "--seeds 0: allowed are 1 to 1000",
		"reproduce --seeds 1001":      "--seeds 1001: allowed are 1 to 1000",
		"reproduce --time-scale -1":   "--time-scale -1: allowed are numbers above 0",
		"reproduce --live --scale 60": "unknown flag: --scale",
	} {
		if code, stdout, stderr := commandLine(args); code != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, it prints %q and says %q, want %q", args, code, stdout, stderr, want)
		}
	}
}
