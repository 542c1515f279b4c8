//go:build unix

package chaos

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
	"github.com/spotserve/spotserve/test/internal/runs"
)

// TestNoFault is what the others are measured by.
func TestNoFault(t *testing.T) {
	t.Parallel()
	s := newSite(t, options{nodes: shortNodes})
	r := s.mustBeWhole(s.accepted(short(0)))
	if r.Totals.UnfinishedAtEnd != 0 || r.Terms != 1 || r.Joined != 0 {
		t.Errorf("nothing happened, and yet: %s", r)
	}
	s.mustBeIdle()
}

// mustBeIdle: no planner has a run in hand.
func (s *site) mustBeIdle() {
	s.t.Helper()
	for _, name := range []string{"planner-0", "planner-1"} {
		within(s.t, name+" has no run in hand", func() (bool, any) {
			status, metrics := s.proc(name).health("/metrics")
			return status == http.StatusOK && strings.Contains(metrics, "spotserve_planner_active_runs 0\n"), status
		})
	}
}

// strike starts the short experiment, has something happen in its midst, and
// checks the run.
func strike(t *testing.T, o options, happens func(s *site, run string)) runs.Report {
	t.Helper()
	t.Parallel()
	o.nodes = shortNodes
	s := newSite(t, o)
	run := s.accepted(short(o.endS))
	s.watch.AwaitMore(20, event.RequestCompleted{})
	happens(s, run)
	if s.watch.Over(run) {
		t.Error("the run was over before its faults were: they prove nothing")
	}
	r := s.mustBeWhole(run)
	if r.Totals.UnfinishedAtEnd != 0 {
		t.Errorf("%d requests are unfinished in a run that drains", r.Totals.UnfinishedAtEnd)
	}
	return r
}

// target picks one of the processes.
type target struct {
	name string
	pick func(*site) *proc
}

var targets = []target{
	{"planner that leads", func(s *site) *proc { leader, _ := s.holder("planner"); return leader }},
	{"planner that stands by", func(s *site) *proc { _, standby := s.holder("planner"); return standby }},
	{"trace-replayer that leads", func(s *site) *proc { leader, _ := s.holder("trace-replayer"); return leader }},
	{"trace-replayer that stands by", func(s *site) *proc { _, standby := s.holder("trace-replayer"); return standby }},
	{"collector", func(s *site) *proc { return s.proc("collector") }},
	{"worker that leads", func(s *site) *proc { leads, _ := s.roles(); return leads }},
	{"worker that follows", func(s *site) *proc { _, follows := s.roles(); return follows }},
}

// TestKill: each process ends by SIGKILL in mid-run and is started again, a
// planner and a replayer when the other one has taken over.
func TestKill(t *testing.T) {
	slow(t)
	for _, target := range targets {
		t.Run(target.name, func(t *testing.T) {
			strike(t, options{}, func(s *site, _ string) {
				p := target.pick(s)
				p.kill()
				if strings.HasSuffix(target.name, "that leads") && !strings.HasPrefix(target.name, "worker") {
					s.holder(strings.TrimRight(p.name, "-01"))
				} else {
					time.Sleep(time.Second)
				}
				p.start()
			})
		})
	}
}

// TestPlannerIsKilled is the shortest proof that a run outlives its planner.
func TestPlannerIsKilled(t *testing.T) {
	r := strike(t, options{}, func(s *site, _ string) {
		leader, _ := s.holder("planner")
		leader.kill()
		leader.start()
	})
	if r.Terms < 2 {
		t.Errorf("nobody took over: %s", r)
	}
}

// TestNATSIsKilled: the server ends by SIGKILL and comes back on its store.
func TestNATSIsKilled(t *testing.T) {
	slow(t)
	strike(t, options{}, func(s *site, _ string) {
		for range 2 {
			s.servers[0].kill()
			time.Sleep(2 * time.Second)
			s.servers[0].serve()
			s.watch.AwaitMore(5, event.RequestCompleted{})
		}
	})
}

// TestNATSIsAwayForLong: for longer than a publication is tried (30 s). No
// process ends.
func TestNATSIsAwayForLong(t *testing.T) {
	slow(t)
	strike(t, options{}, func(s *site, _ string) {
		s.servers[0].kill()
		time.Sleep(40 * time.Second)
		s.servers[0].serve()
		s.watch.AwaitMore(20, event.RequestCompleted{})
		s.mustLive()
	})
}

// mustLive: no process has ended.
func (s *site) mustLive() {
	s.t.Helper()
	for _, p := range s.procs {
		if !p.alive() {
			s.t.Errorf("%s has ended:\n%s", p.name, tail(p.Stderr.String()))
		}
	}
}

// TestClickHouseIsKilled: rows wait in the stream.
func TestClickHouseIsKilled(t *testing.T) {
	slow(t)
	server := chtest.Start(t)
	strike(t, options{store: server.URL("chaos")}, func(s *site, _ string) {
		server.Kill()
		s.proc("collector").Await(t, "the store does not take rows; they wait in the stream")
		server.Restart()
	})
}

// TestHalfOfTheFleetIsKilled at once, without a word.
func TestHalfOfTheFleetIsKilled(t *testing.T) {
	slow(t)
	strike(t, options{}, func(s *site, _ string) {
		lost := []*proc{s.proc("node-0"), s.proc("node-2"), s.proc("node-4")}
		for _, p := range lost {
			p.kill()
		}
		s.watch.AwaitMore(1, event.WorkerSilent{})
		for _, p := range lost {
			p.start()
		}
	})
}

// TestEndUnderLoad: all services end by SIGTERM in mid-run, without an error, and
// go on when they are started again.
func TestEndUnderLoad(t *testing.T) {
	slow(t)
	strike(t, options{}, func(s *site, _ string) {
		for _, p := range s.procs {
			if exit := p.end(syscall.SIGTERM); exit.Code != 0 || strings.Contains(exit.Stderr, "level=ERROR") {
				t.Errorf("%s: exit code %d on SIGTERM:\n%s", p.name, exit.Code, exit.Stderr)
			}
		}
		for _, p := range s.procs {
			p.start()
		}
	})
}
