//go:build unix

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const finishedRuns = "SELECT count(*) FROM runs WHERE status = 'finished'"

// TestReproduceGoesOn: Ctrl-C keeps what is measured, nobody else may write
// meanwhile, and the next call makes the rest only.
func TestReproduceGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start("reproduce", "ablation", "--seeds", "200")
	s.awaitRows(10, finishedRuns)
	pid := "pid " + strconv.Itoa(p.PID())
	mustSay(t, s.refused(1, "reproduce", "workload", "--seeds", "1"), "store.db", pid)
	p.Signal(t, syscall.SIGINT)
	exit := p.Wait(t)
	if exit.Code != 130 || exit.Stdout != "" || strings.Contains(exit.Stderr, "spotserve:") {
		t.Errorf("exit code %d, want 130; it prints %q and says %q", exit.Code, exit.Stdout, exit.Stderr)
	}
	mustSay(t, exit.Stderr, "the runs that have finished are kept")
	kept := s.count(finishedRuns)
	if kept < 10 || kept >= 2000 {
		t.Fatalf("%d runs are kept of 2000", kept)
	}
	if n := s.count("SELECT count(*) FROM runs WHERE status NOT IN ('finished', 'stopped')"); n != 0 {
		t.Errorf("%d runs are neither finished nor stopped", n)
	}

	// Whole seeds are there, from the first on; a seed more than those is not.
	seeds := kept/10 + 2
	exit = s.run("reproduce", "ablation", "--seeds", strconv.Itoa(seeds), "--output", "json")
	if exit.Code != 0 {
		t.Fatalf("exit code %d: %s", exit.Code, exit.Stderr)
	}
	mustSay(t, exit.Stderr, fmt.Sprintf("%d of %d runs are in the store", kept, 10*seeds), fmt.Sprintf("%d of %d runs made", 10*seeds-kept, 10*seeds))
	if n := s.count(finishedRuns); n != 10*seeds {
		t.Errorf("%d runs are in the store, want %d", n, 10*seeds)
	}
}

// TestReproduceLive through all services is what virtual time says.
func TestReproduceLive(t *testing.T) {
	t.Parallel()
	live, virtual := newSite(t), newSite(t)
	exit := live.run("reproduce", "workload", "--seeds", "1", "--live", "--time-scale", fast)
	if exit.Code != 0 {
		t.Fatalf("exit code %d: %s", exit.Code, exit.Stderr)
	}
	if n := live.count("SELECT count(*) FROM runs WHERE time_scale > 0 AND status = 'finished'"); n != 6 {
		t.Errorf("%d runs are live, want 6", n)
	}
	if n := live.count("SELECT sum(late_facts) FROM runs"); n != 0 {
		t.Errorf("%d facts came late", n)
	}
	if want := virtual.ok("reproduce", "workload", "--seeds", "1"); exit.Stdout != want {
		t.Errorf("live prints\n%s\nvirtual time\n%s", exit.Stdout, want)
	}
}

// TestReproduceNeedsPlaces that it can write to.
func TestReproduceNeedsPlaces(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mustSay(t, s.refused(1, "reproduce", "--data", "/proc/none"), "/proc/none")
	s.mustHaveStartedNothing()
	s.file("taken", "")
	mustSay(t, s.refused(1, "reproduce", "ablation", "--seeds", "1", "-o", "taken"), "taken", "not a directory")
}
