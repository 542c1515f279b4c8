//go:build unix

package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/lengths"
	"github.com/spotserve/spotserve/core/vtime"
)

var update = flag.Bool("update", false, "write the data of the examples anew")

// TestConversations: the requests of the examples are made here, and are nobody
// else's.
func TestConversations(t *testing.T) {
	const seed = 1
	arrivals := arrival.Process{Kind: arrival.Gamma, Rate: 5. / 3, CV: 2}
	times, err := arrivals.Times(seed, vtime.Seconds(1200))
	if err != nil {
		t.Fatal(err)
	}
	sampler := func(d lengths.Distribution, purpose string) *lengths.Sampler {
		d.Kind = lengths.LogNormal
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		return lengths.NewSampler(d, seed, purpose)
	}
	prompts := sampler(lengths.Distribution{Mean: 800, Sigma: 0.8, Min: 16, Max: 3000}, "prompt")
	answers := sampler(lengths.Distribution{Mean: 180, Sigma: 0.7, Min: 1, Max: 800}, "answer")
	var b strings.Builder
	b.WriteString("TIMESTAMP,ContextTokens,GeneratedTokens\n")
	start := time.Date(2024, 1, 1, 9, 0, 0, 0, time.UTC) // any day
	for i, at := range times {
		stamp := start.Add(time.Duration(at)).Format("2006-01-02 15:04:05.0000000")
		fmt.Fprintf(&b, "%s,%d,%d\n", stamp, prompts.Tokens(uint64(i)), answers.Tokens(uint64(i)))
	}
	file := filepath.Join(repository, "examples", "data", "conversations.csv")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != b.String() {
		t.Errorf("%v; conversations.csv is not what makes it: go test ./test/e2e -run TestConversations -update", err)
	}
}

// TestExamples: each says in its first line what it shows, is fine, and runs to
// the end of what it says.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(repository, "examples", "*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	index, err := os.ReadFile(filepath.Join(repository, "examples", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			if !strings.HasPrefix(first, "# ") || !strings.Contains(string(text), "# What to learn: ") || !strings.Contains(string(index), "["+name+".yaml]") {
				t.Errorf("it begins with %q; it and examples/README.md must say what it shows", first)
			}
			path, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newSite(t)
			said := s.ok("validate", path)
			mustSay(t, said, "experiment "+name+" is fine", "sustained")
			_, line, _ := strings.Cut(said, "\n  runs ")
			var runs int
			if _, err := fmt.Sscanf(line, "%d:", &runs); err != nil {
				t.Fatalf("%v:\n%s", err, said)
			}
			mustSay(t, s.ok("run", path, "--virtual"), name+": ", "sweep-"+name+".png")
			if n := s.count(finishedRuns); n != runs || n < 2 {
				t.Errorf("%d runs have finished, want %d", n, runs)
			}
			if n := s.count("SELECT count(*) FROM runs WHERE lost > 0 OR duplicated > 0 OR refused > 0 OR completed = 0"); n != 0 {
				t.Errorf("%d runs answer nothing, or lose requests", n)
			}
		})
	}
}

// TestExampleLive: an example on all services says what it says in virtual time.
func TestExampleLive(t *testing.T) {
	t.Parallel()
	path, err := filepath.Abs(filepath.Join(repository, "examples", "closed-loop.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	live, virtual := newSite(t), newSite(t)
	printed := live.ok("run", path, "--seeds", "1", "--time-scale", fast)
	if want := virtual.ok("run", path, "--seeds", "1", "--virtual"); printed != want {
		t.Errorf("live it prints\n%s\nin virtual time\n%s", printed, want)
	}
	if n := live.count("SELECT sum(late_facts) FROM runs"); n != 0 {
		t.Errorf("%d facts came late", n)
	}
}
