//go:build unix

package e2e

import (
	"syscall"
	"testing"
)

// TestKilledRunIsClosed: the next experiment in the folder neither waits for a run
// whose process was killed nor leaves it running.
func TestKilledRunIsClosed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(mainJob...)
	s.awaitRows(3, completedRows)
	p.Signal(t, syscall.SIGKILL)
	p.Wait(t)
	s.awaitRows(1, "SELECT count(*) FROM runs WHERE run = 'e2e-1' AND status = 'running'")
	if next := s.experiment(job(mainJob, "--time-scale", fast)...); next.text("status") != "finished" || next.text("run") == "e2e-1" {
		t.Errorf("the next run is %s, %s", next.text("run"), next.text("status"))
	}
	up := s.up() // where the short run was over before the killed one was closed
	s.awaitRows(1, "SELECT count(*) FROM runs WHERE run = 'e2e-1' AND status = 'stopped' AND completed >= 3 AND duration_ms < 1320000")
	up.stop(t)
}

// TestKilledServicesGoOn with the run that they were in, and with the one that
// waited.
func TestKilledServicesGoOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	up := s.up()
	first := s.start(job(mainJob, "--nats", up.url)...)
	s.awaitRows(3, completedRows)
	second := s.start(job(mainJob, "--nats", up.url, "--time-scale", fast)...)
	s.awaitRows(2, "SELECT count(*) FROM runs")
	up.Signal(t, syscall.SIGKILL)
	up.Wait(t)
	first.Signal(t, syscall.SIGKILL)
	second.Signal(t, syscall.SIGKILL)
	first.Wait(t)
	second.Wait(t)
	up = s.up()
	s.awaitRows(2, "SELECT count(*) FROM runs WHERE status = 'finished' AND lost = 0 AND duplicated = 0")
	up.stop(t)
}
