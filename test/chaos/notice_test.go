//go:build unix

package chaos

import (
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestNotices: what a cloud says about a node comes late, not at all, twice
// under other names, or is taken back.
func TestNotices(t *testing.T) {
	slow(t)
	seconds := func(s float64) vtime.Time { return vtime.Time(s * 1e9) }
	for name, says := range map[string]func(s *site, run, node string){
		"late": func(s *site, run, node string) {
			s.say(run, node, event.PreemptionNoticed{Nodes: []string{node}, Deadline: seconds(2)})
			s.say(run, node, event.InstanceLost{Nodes: []string{node}})
			s.proc(node).kill()
		},
		"missing": func(s *site, run, node string) {
			s.say(run, node, event.InstanceLost{Nodes: []string{node}})
			s.proc(node).kill()
		},
		"repeated under new names": func(s *site, run, node string) {
			for range 5 {
				s.say(run, node, event.PreemptionNoticed{Nodes: []string{node}, Deadline: seconds(100)})
			}
			for range 3 {
				s.say(run, node, event.InstanceLost{Nodes: []string{node}})
			}
			s.proc(node).kill()
		},
		"cancelled": func(s *site, run, node string) {
			for range 3 {
				s.say(run, node, event.PreemptionNoticed{Nodes: []string{node}, Deadline: seconds(100)})
				s.watch.AwaitMore(2, event.RequestCompleted{})
				s.say(run, node, event.PreemptionCancelled{Nodes: []string{node}})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			strike(t, options{}, func(s *site, run string) {
				leads, _ := s.roles()
				says(s, run, leads.name)
			})
		})
	}
}
