package doctor

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spotserve/spotserve/core/event"
)

// allNodes is what a worker says that stands for every node.
const allNodes = "*"

// needed are the services that have to answer a roll call, and why.
var needed = map[string]string{
	"trace-replayer": "start a trace-replayer: without one no start is answered, and no run goes on",
	"planner":        "start a planner: without one no start is accepted, and runs stand still",
	"collector":      "start a collector: runs go on, and their rows wait in the stream",
	"worker":         "start a worker for each node: without them no start is accepted",
}

func (r *Report) roll(s Seen) {
	if s.Roll.Err != nil {
		r.unseen("services", s.Roll.Err)
		return
	}
	answers := make(map[string][]Present)
	for _, p := range s.Roll.Present {
		answers[p.Service] = append(answers[p.Service], p)
	}
	for _, service := range slices.Sorted(maps.Keys(needed)) {
		check, who := "service "+service, answers[service]
		if len(who) == 0 {
			r.fail(check, needed[service], "none answers the roll call")
			continue
		}
		if !r.versions(check, who) {
			r.ok(check, "%s, %s", plural(len(who), "answer"), strings.Join(builds(who), ", "))
		}
	}
	if s.Beats.StoreAway {
		r.fail("service collector", "start the store, or correct the collector's --store; the rows wait in the stream", "it says that the store takes no rows")
	}
}

// versions judges the schema versions of a service's processes, and reports whether
// any is wrong.
func (r *Report) versions(check string, who []Present) (wrong bool) {
	for _, p := range who {
		switch off := p.Schema - event.SchemaVersion; {
		case off < -1 || off > 1:
			r.fail(check, "bring it, or this spotserve, to a version that is at most one schema version away", "%s has schema version %d, and this build %d: they do not understand each other", name(p.ServicePresent), p.Schema, event.SchemaVersion)
			wrong = true
		case off != 0:
			r.warn(check, "go on with the upgrade, one service at a time", "%s has schema version %d, and this build %d", name(p.ServicePresent), p.Schema, event.SchemaVersion)
			wrong = true
		}
	}
	return wrong
}

// builds are the different builds of a service's processes.
func builds(who []Present) (names []string) {
	for _, p := range who {
		if build := cmpOr(p.Build, "of an unknown build"); !slices.Contains(names, build) {
			names = append(names, build)
		}
	}
	slices.Sort(names)
	return names
}

// nodes judges the workers, node by node.
func (r *Report) nodes(s Seen) {
	if s.Beats.Err != nil {
		r.unseen("signals", s.Beats.Err)
	}
	if s.Roll.Err != nil {
		return // told already
	}
	stands := make(map[string]int)
	for _, p := range s.Roll.Present {
		for _, n := range p.Nodes {
			stands[n]++
		}
	}
	for _, node := range slices.Sorted(maps.Keys(stands)) {
		r.node(s, node, stands[node])
	}
	all := stands[allNodes] > 0
	for _, node := range s.Expected {
		if stands[node] == 0 && !all {
			r.fail("node "+node, "start its worker; if it runs, look whether its host reaches NATS, and what its log says", "it should be here, and no worker answers for it")
		}
	}
	for _, run := range s.Runs.Open {
		var missing []string
		for _, node := range run.Nodes {
			if stands[node] == 0 && !all && !slices.Contains(s.Expected, node) {
				missing = append(missing, node)
			}
		}
		if len(missing) > 0 {
			r.warn("nodes of "+run.Run.Run, "start their workers, unless these nodes are gone", "no worker answers for %s of this run, which goes on without", strings.Join(missing, ", "))
		}
	}
	r.planes(s, stands)
}

func (r *Report) node(s Seen, node string, processes int) {
	check := "node " + node
	if node == allNodes {
		r.ok(check, "one worker stands for every node of a run")
		return
	}
	n := len(r.Findings)
	if processes > 1 {
		r.fail(check, "stop all but one of them: each takes the commands to the node", "%d workers stand for it", processes)
	}
	if s.Beats.Err == nil && !s.Beats.Nodes[node] && !s.Beats.Nodes[allNodes] {
		r.fail(check, "look into its log, and at the load of its host", "its worker answers and does not beat: planners go on without it")
	}
	if !r.has(n) {
		r.ok(check, "its worker is here")
	}
}

// planes judges the data planes of the nodes that are in use.
func (r *Report) planes(s Seen, stands map[string]int) {
	for _, p := range s.Planes {
		check := "data plane " + p.Node
		switch {
		case !p.Wanted && stands[p.Node] == 0:
			if !slices.Contains(s.Expected, p.Node) && stands[allNodes] == 0 {
				r.warn(check, "if the node is gone for good: nats kv del SPOT_KEYS data."+p.Node, "it was at %s, and no worker answers for its node now", p.Address)
			}
		case !p.Wanted: // it listens while a run computes
		case p.Err != nil:
			r.fail(check, "let the worker listen where others reach it (--data-listen, --data-advertise), and open the port between workers", "%s cannot be reached from here: %v", p.Address, p.Err)
		case p.Refused != "":
			r.fail(check, "start the worker of the node with its own certificate, of the same set of spotserve deploy keys", "%s: %s", p.Address, p.Refused)
		case !p.TLS:
			r.warn(check, "give all workers --tls-ca, --tls-cert and --tls-key", "%s talks plain text to anybody", p.Address)
		default:
			r.ok(check, "%s answers with the node's certificate", p.Address)
		}
	}
}

// Differences of clocks from which on they are doubtful, and broken. At time scale
// 1, an event that is later than the wait for a silent source (reorder-wait, 2 s) is
// not waited for.
const (
	doubtfulSkew = 250 * time.Millisecond
	brokenSkew   = 2 * time.Second
)

func (r *Report) clocks(s Seen) {
	for _, c := range s.clockReadings() {
		check := "clock of " + c.whose
		const mend = "keep the clocks of all hosts by NTP (timedatectl set-ntp true): runs are paced by them, and certificates hold by them"
		off := max(c.offset.Abs()-c.within, 0)
		say := c.offset.Round(time.Millisecond).String()
		switch {
		case off >= brokenSkew:
			r.fail(check, mend, "%s off the clock of NATS", say)
		case off >= doubtfulSkew:
			r.warn(check, mend, "%s off the clock of NATS", say)
		default:
			r.ok(check, "within %s of that of NATS", (c.offset.Abs() + c.within).Round(time.Millisecond))
		}
	}
}
