//go:build unix

package e2e

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// mine is an experiment of a user: a fleet that shrinks and grows.
const mine = `name: mine
model: 20B
instance: g4dn.12xlarge
profile: T4-20B
trace:
  changes:
    - {at_s: 0, add_spot: [a, b, c, d]}
    - {at_s: 200, remove: [b]}
    - {at_s: 400, add_on_demand: [e]}
  end_s: 600
arrivals: {kind: poisson, rate_rps: 0.25, prompt_tokens: 512, output_tokens: 128}
slo_p99_s: 60
`

// TestCustomLiveIsVirtual: a file, live with all services and in virtual time.
func TestCustomLiveIsVirtual(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file("mine.yaml", mine)
	live := s.experiment("run", file, "--time-scale", fast)
	virtual := s.experiment("run", file, "--virtual")
	mustBeAlike(t, live, virtual)
	mustHaveSameRows(t, s, s, live, virtual)
	mustHaveFigures(t, s, live)
	if live.text("run") != "custom-1" || live.text("name") != "mine" || live.int("late_facts") != 0 || live.int("completed") == 0 ||
		live.int("slo_p99_s") != 60 || live.int("within_slo") == 0 {
		t.Errorf("live is %v", live)
	}
	listed := s.ok("ls")
	for _, want := range []string{"custom-1 ", "custom-v1 ", " mine "} {
		if !strings.Contains(listed, want) {
			t.Errorf("there is no %q in\n%s", want, listed)
		}
	}
}

// TestCustomElsewhere: what a user's command reads, services elsewhere run; a
// sweep one after the other.
func TestCustomElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file("mine.yaml", mine+"sweep: {grace: [0, 30]}\n")
	up := s.up()
	printed := s.ok("run", file, "--nats", up.url, "--time-scale", fast)
	virtual := newSite(t)
	want := virtual.ok("run", virtual.file("mine.yaml", mine+"sweep: {grace: [0, 30]}\n"), "--virtual")
	if printed != want {
		t.Errorf("elsewhere it prints\n%s\nvirtual time\n%s", printed, want)
	}
	if n := s.count("SELECT count(*) FROM runs WHERE kind = 'custom' AND name = 'mine' AND status = 'finished' AND late_facts = 0"); n != 2 {
		t.Errorf("%d runs are on record, want 2", n)
	}
	up.stop(t)
}

// TestCustomKeepsWhatIsDone when a user stops a set of runs, and prints it.
func TestCustomKeepsWhatIsDone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file("mine.yaml", mine+"sweep: {rate: [0.1, 0.2, 0.3]}\n")
	p := s.start("run", file, "--virtual", "--seeds", "1000")
	s.awaitRows(10, finishedRuns)
	p.Signal(t, syscall.SIGINT)
	exit := p.Wait(t)
	if exit.Code != 130 || strings.Contains(exit.Stderr, "spotserve:") || !strings.Contains(exit.Stdout, "mine: rate") {
		t.Errorf("exit code %d, want 130; it says %q and prints\n%s", exit.Code, exit.Stderr, exit.Stdout)
	}
	if n := s.count(finishedRuns); n < 10 || n >= 3000 {
		t.Errorf("%d runs are kept of 3000", n)
	}
	if n := s.count("SELECT count(*) FROM runs WHERE status NOT IN ('finished', 'stopped')"); n != 0 {
		t.Errorf("%d runs are neither finished nor stopped", n)
	}
}

// TestCustomFromStandardInput: config print makes it, another command changes
// it, run takes it.
func TestCustomFromStandardInput(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := strings.Replace(s.ok("config", "print", "ondemand", "4"), "grace_s: 30", "grace_s: 5", 1)
	for _, args := range [][]string{{"validate", "-"}, {"run", "-", "--virtual"}} {
		cmd := exec.CommandContext(t.Context(), spotserve(t), args...)
		cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(file)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "ondemand-spotserve-20B") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if n := s.count(finishedRuns); n != 1 {
		t.Errorf("%d runs have finished, want 1", n)
	}
	mustSay(t, s.refused(1, "run", "-"), "stdin: the file is empty")
	s.flags = []string{"--data", "/proc/none"}
	mustSay(t, s.refused(1, "run", s.file("mine.yaml", mine), "--virtual"), "/proc/none")
}
