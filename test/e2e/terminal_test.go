//go:build unix

package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// progressLine is the experiment clock, the fleet, the configuration, the queue,
// done of all, and the P99 so far.
var progressLine = regexp.MustCompile(`(\d+) / 1320 s +(\d+) nodes +(none|\dx\dx\d( starting)?) +queue +\d+ +done \d+/\d+ +P99 (-|[\d.]+ s)`)

// onTerminal runs spotserve with a terminal as its standard error, and returns
// what it prints and what the terminal was sent.
func (s *site) onTerminal(args ...string) (printed, shown string) {
	s.t.Helper()
	terminal, tty, err := pty.Open()
	if err != nil {
		s.t.Fatal(err)
	}
	defer terminal.Close()
	var result bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), spotserve(s.t), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &result, tty
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	tty.Close()
	sent, err := io.ReadAll(terminal)
	// A terminal that nobody holds any more reads as an error on Linux.
	if err != nil && !errors.Is(err, syscall.EIO) && !errors.Is(err, os.ErrClosed) {
		s.t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		s.t.Fatalf("%v\n%s", err, sent)
	}
	return result.String(), string(sent)
}

// TestProgressOnATerminal: there it is shown, on one line that is gone in the
// end, and the result goes to standard output all the same.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	printed, shown := newSite(t).onTerminal(job(mainJob, "--time-scale", "600", "--output", "json")...)
	lines := progressLine.FindAllStringSubmatch(shown, -1)
	if len(lines) < 5 {
		t.Fatalf("it shows %d lines of progress:\n%q", len(lines), shown)
	}
	if strings.Contains(strings.TrimRight(shown, "\r\n "), "\n") {
		t.Errorf("the progress takes more than one line: %q", shown)
	}
	moved := lines[0][1] != lines[len(lines)-1][1]
	if !moved || !strings.Contains(shown, "2x2x8") {
		t.Errorf("the progress does not move: %q", shown)
	}
	if r := decode(t, printed); r.text("status") != "finished" {
		t.Errorf("the run is %s", r.text("status"))
	}
}

// TestProgressOfManyRuns: how many are done, and the time that is left; in
// virtual time as a bar, live before the progress of each.
func TestProgressOfManyRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	printed, shown := s.onTerminal("reproduce", "ablation", "--seeds", "2")
	for _, want := range []string{"] 0 of 20 runs done, ? left", " runs done, ", "20 of 20 runs made"} {
		if !strings.Contains(shown, want) {
			t.Errorf("there is no %q in %q", want, shown)
		}
	}
	if !strings.Contains(printed, "Figure 9") || strings.Contains(printed, "runs done") {
		t.Errorf("it prints\n%s", printed)
	}
	file := s.file("mine.yaml", mine+"seeds: 2\n")
	_, shown = s.onTerminal("run", file, "--time-scale", "600")
	for _, want := range []string{"1/2, ? left   ", "2/2, "} {
		if !strings.Contains(shown, want) {
			t.Errorf("there is no %q in %q", want, shown)
		}
	}
}
