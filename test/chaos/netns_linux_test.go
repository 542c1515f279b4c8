//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
	"github.com/spotserve/spotserve/test/internal/runs"
)

// namespace is a network namespace that a pair of interfaces joins with that of
// the test: a machine of its own, on a cable.
type namespace struct {
	t       testing.TB
	name    string
	cable   string // the interface inside
	inside  string // its address
	outside string // address of the test's end
}

var namespaces atomic.Int32

// newNamespace makes one. Only root can; elsewhere the test is skipped. As root
// it fails if all dependencies are asked for.
func newNamespace(t testing.TB) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: only root makes network namespaces")
	}
	n, process := int(namespaces.Add(1)), os.Getpid()
	end := fmt.Sprintf("spot%d-%d", process%100_000, n)
	ns := &namespace{
		t: t, name: fmt.Sprintf("spot-%d-%d", process, n), cable: end + "i",
		// Kept for tests of networks (RFC 2544), four addresses for each cable.
		outside: fmt.Sprintf("198.18.%d.%d", process%256, 4*n+1), inside: fmt.Sprintf("198.18.%d.%d", process%256, 4*n+2),
	}
	t.Cleanup(func() { _ = ip("netns", "del", ns.name) }) // the cable goes with it
	for _, args := range [][]string{
		{"netns", "add", ns.name},
		{"link", "add", end, "type", "veth", "peer", "name", ns.cable, "netns", ns.name},
		{"addr", "add", ns.outside + "/30", "dev", end},
		{"link", "set", end, "up"},
		{"-n", ns.name, "addr", "add", ns.inside + "/30", "dev", ns.cable},
	} {
		if err := ip(args...); err != nil {
			ns.missing(err)
		}
	}
	if err := ns.plug(); err != nil {
		ns.missing(err)
	}
	return ns
}

func (ns *namespace) missing(err error) {
	ns.t.Helper()
	if os.Getenv(chtest.RequireEnv) == "1" {
		ns.t.Fatalf("%v, and %s=1 asks for network namespaces", err, chtest.RequireEnv)
	}
	ns.t.Skipf("SKIPPED, NOT TESTED: %v", err)
}

// ip is the command of iproute2.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// plug sets the cable's end inside up, with the way to the other machines, which
// goes with it.
func (ns *namespace) plug() error {
	return errors.Join(
		ip("-n", ns.name, "link", "set", ns.cable, "up"),
		ip("-n", ns.name, "route", "replace", "default", "via", ns.outside))
}

// unplug takes the cable's end inside down: packets are lost in both directions,
// and nobody is told.
func (ns *namespace) unplug() error { return ip("-n", ns.name, "link", "set", ns.cable, "down") }

// house has a process live in the namespace.
func (ns *namespace) house(p *proc) {
	ns.t.Helper()
	p.args[slices.Index(p.args, anyPort)] = ns.inside + ":0"
	p.args = slices.Concat([]string{"netns", "exec", ns.name, p.file}, p.args)
	var err error
	if p.file, err = exec.LookPath("ip"); err != nil {
		ns.missing(err)
	}
}

// TestNetworkIsDown: the network of a machine is down for longer than a lease and
// than the silence that is borne, or half of the time.
func TestNetworkIsDown(t *testing.T) {
	slow(t)
	down := func(ns *namespace) error {
		defer time.Sleep(still)
		return ns.unplug()
	}
	flap := func(ns *namespace) (err error) {
		for end := time.Now().Add(still); err == nil && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			err = ns.unplug()
			time.Sleep(200 * time.Millisecond)
			err = errors.Join(err, ns.plug())
		}
		return err
	}
	planners := []string{"planner-0", "planner-1"}
	leader := func(s *site) *proc { leader, _ := s.holder("planner"); return leader }
	worker := func(s *site) *proc { return s.proc("node-0") }
	for _, c := range []struct {
		name   string
		apart  []string // processes on machines of their own
		target func(*site) *proc
		fault  func(*namespace) error
		shows  func(runs.Report) bool
	}{
		{"worker", []string{"node-0"}, worker, down, func(r runs.Report) bool { return r.Joined > 0 }},
		{"worker, on and off", []string{"node-0"}, worker, flap, func(runs.Report) bool { return true }},
		{"planner", planners, leader, down, func(r runs.Report) bool { return r.Terms > 1 }},
		{"planner, on and off", planners, leader, flap, func(runs.Report) bool { return true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options{apart: make(map[string]*namespace), endS: 600}
			for _, name := range c.apart {
				o.apart[name] = newNamespace(t)
			}
			r := strike(t, o, func(s *site, _ string) {
				ns := o.apart[c.target(s).name]
				if err := errors.Join(c.fault(ns), ns.plug()); err != nil {
					t.Fatal(err)
				}
				s.watch.AwaitMore(5, event.RequestCompleted{})
			})
			if !c.shows(r) {
				t.Errorf("nobody noticed: %s", r)
			}
		})
	}
}
