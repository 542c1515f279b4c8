//go:build unix

package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/linktest"
)

// still is how long a process is stopped or cut off: longer than a lease and
// than the silence that is borne.
const still = 8 * time.Second

// TestStop: each process stands still and goes on, believing what it believed.
func TestStop(t *testing.T) {
	slow(t)
	all := append(slices.Clone(targets), target{"NATS server", func(s *site) *proc { return s.servers[0] }})
	for _, target := range all {
		t.Run(target.name, func(t *testing.T) {
			strike(t, options{}, func(s *site, _ string) {
				p := target.pick(s)
				p.freeze()
				time.Sleep(still)
				p.thaw()
			})
		})
	}
}

// TestPartition: a process hears nothing from NATS and NATS nothing from it, and
// neither is told; or both are.
func TestPartition(t *testing.T) {
	slow(t)
	for name, part := range map[string]func(*linktest.Link){"held": (*linktest.Link).Hold, "cut": (*linktest.Link).Cut} {
		for _, target := range targets {
			if strings.HasSuffix(target.name, "stands by") || strings.HasSuffix(target.name, "follows") {
				continue // TestLong draws them
			}
			t.Run(target.name+" "+name, func(t *testing.T) {
				strike(t, options{linked: true}, func(s *site, _ string) {
					l := target.pick(s).link
					part(l)
					time.Sleep(still)
					l.Heal()
				})
			})
		}
	}
}
