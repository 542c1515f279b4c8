//go:build unix

package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

const completedRows = "SELECT count(*) FROM request_latency WHERE status = 'completed'"

// TestInterruptedRunKeepsItsRows: Ctrl-C in mid-run ends the run with what was
// measured.
func TestInterruptedRunKeepsItsRows(t *testing.T) {
	for name, signal := range map[string]os.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.start(job(mainJob, "--output", "json")...)
			s.awaitRows(3, completedRows)
			p.Signal(t, signal)
			exit := p.Wait(t)
			if exit.Code != 130 || strings.Contains(exit.Stderr, "spotserve:") {
				t.Errorf("exit code %d, want 130; it says %q", exit.Code, exit.Stderr)
			}
			mustBeStopped(t, s, decode(t, exit.Stdout))
			s.streams()                                // which the process must have let go of
			s.experiment(job(mainJob, "--virtual")...) // writes to the store, which must be free too
		})
	}
}

// TestStoppedRunKeepsItsRows: spotserve stop, from another process.
func TestStoppedRunKeepsItsRows(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	up := s.up()
	p := s.start(job(mainJob, "--nats", up.url, "--output", "json")...)
	s.awaitRows(3, completedRows)
	const run = "e2e-1"
	if said := s.ok("stop", run, "--nats", up.url); !strings.Contains(said, run) {
		t.Errorf("stop says %q, want it to name %s", said, run)
	}
	exit := p.Wait(t)
	if exit.Code != 0 {
		t.Errorf("the one who follows the run: exit code %d: %s", exit.Code, exit.Stderr)
	}
	mustBeStopped(t, s, decode(t, exit.Stdout))
	if said := s.refused(1, "stop", run, "--nats", up.url); !strings.Contains(said, "not running: it is stopped") {
		t.Errorf("stopping it again says %q", said)
	}

	// Ctrl-C of the one who follows ends the run too, and the services stay.
	p = s.start(job(mainJob, "--nats", up.url, "--output", "json")...)
	s.awaitRows(3, "SELECT count(*) FROM request_latency WHERE status = 'completed' AND run <> '"+run+"'")
	p.Signal(t, syscall.SIGINT)
	if exit = p.Wait(t); exit.Code != 130 {
		t.Errorf("exit code %d, want 130: %s", exit.Code, exit.Stderr)
	}
	mustBeStopped(t, s, decode(t, exit.Stdout))
	s.experiment(job(mainJob, "--nats", up.url, "--time-scale", fast)...)
	up.stop(t)
}

func mustBeStopped(t *testing.T, s *site, r result) {
	t.Helper()
	if r.text("status") != "stopped" {
		t.Errorf("the run is %s, want it stopped", r.text("status"))
	}
	if r.int("completed") == 0 || r.int("accepted") != r.int("completed")+r.int("unfinished_at_end") || r.int("lost") != 0 {
		t.Errorf("%d accepted, %d completed, %d unfinished, %d lost", r.int("accepted"), r.int("completed"), r.int("unfinished_at_end"), r.int("lost"))
	}
	run := r.text("run")
	if n := s.count(fmt.Sprintf("%s AND run = '%s'", completedRows, run)); n != r.int("completed") {
		t.Errorf("%d requests completed, %d rows kept", r.int("completed"), n)
	}
	if listed := s.ok("ls"); !strings.Contains(listed, run) || !strings.Contains(listed, "stopped") {
		t.Errorf("ls does not mark %s as stopped:\n%s", run, listed)
	}
}
