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

// TestProgressOnATerminal: there it is shown, on one line that is gone in the
// end, and the result goes to standard output all the same.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var result bytes.Buffer
	cmd := exec.CommandContext(t.Context(), spotserve(t), job(mainJob, "--time-scale", "600", "--output", "json")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &result, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	shown, err := io.ReadAll(terminal)
	// A terminal that nobody holds any more reads as an error on Linux.
	if err != nil && !errors.Is(err, syscall.EIO) && !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	lines := progressLine.FindAllStringSubmatch(string(shown), -1)
	if len(lines) < 5 {
		t.Fatalf("it shows %d lines of progress:\n%q", len(lines), shown)
	}
	if strings.Contains(strings.TrimRight(string(shown), "\r\n "), "\n") {
		t.Errorf("the progress takes more than one line: %q", shown)
	}
	moved := lines[0][1] != lines[len(lines)-1][1]
	if !moved || !strings.Contains(string(shown), "2x2x8") {
		t.Errorf("the progress does not move: %q", shown)
	}
	if r := decode(t, result.String()); r.text("status") != "finished" {
		t.Errorf("the run is %s", r.text("status"))
	}
}
