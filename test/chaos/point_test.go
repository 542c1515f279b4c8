//go:build unix

package chaos

import (
	"syscall"
	"testing"

	"github.com/spotserve/spotserve/platform/failpoint"
)

// TestKillAtAPoint: a process ends at a place that a signal would hardly hit,
// and starts again there.
func TestKillAtAPoint(t *testing.T) {
	slow(t)
	both := func(points string) map[string][]string {
		env := []string{failpoint.Env + "=" + points}
		return map[string][]string{"planner-0": env, "planner-1": env}
	}
	for name, c := range map[string]map[string][]string{
		"planners in the midst of what a step says": both(failpoint.Publish + "=kill@25"),
		"planners when they are elected":            both(failpoint.Elected + "=kill@1"),
		"collector between store and acknowledgement": {
			"collector": {failpoint.Env + "=" + failpoint.Stored + "=kill@5"},
		},
		"replayer in the midst of the input": {
			"trace-replayer-0": {failpoint.Env + "=" + failpoint.Publish + "=kill@30"},
			"trace-replayer-1": {failpoint.Env + "=" + failpoint.Publish + "=kill@30"},
		},
		"worker in the midst of its facts": {"node-0": {failpoint.Env + "=" + failpoint.Publish + "=kill@20"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, options{nodes: shortNodes, env: c})
			run := s.accepted(short(0))
			within(t, "a process dies", func() (bool, any) {
				for _, p := range s.procs {
					if c[p.name] != nil && !p.alive() {
						p.end(syscall.SIGKILL)
						p.env = nil
						p.start()
						return true, nil
					}
				}
				return false, s.watch.Counts()
			})
			if s.watch.Over(run) {
				t.Error("the run was over before its faults were: they prove nothing")
			}
			s.mustBeWhole(run)
		})
	}
}

// TestUntidyDeliveries: what JetStream delivers is doubled, and overtaken, on its
// way to each process. Followers, which number what they get, ask again;
// consumers with acknowledgements take it as it comes.
func TestUntidyDeliveries(t *testing.T) {
	slow(t)
	env := make(map[string][]string)
	for _, name := range append(nodes(shortNodes), "collector", "planner-0", "planner-1", "trace-replayer-0", "trace-replayer-1") {
		env[name] = []string{failpoint.Env + "=" + failpoint.Receive + "=duplicate:0.02,late:50ms:0.02,seed=7"}
	}
	strike(t, options{env: env}, func(*site, string) {})
}
