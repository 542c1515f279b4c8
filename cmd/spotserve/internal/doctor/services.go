package doctor

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Services that answer a roll call, and allNodes, which a worker says that stands
// for every node.
const (
	planners   = "planner"
	collectors = "collector"
	workers    = "worker"
	allNodes   = "*"
)

func (r *Report) roll(s Seen) {
	if s.Roll.Err != nil {
		r.unseen("services", s.Roll.Err)
		return
	}
	needed := map[string]string{
		planners:   "start a planner: without one no start is accepted, and runs stand still",
		collectors: "start a collector: runs go on, and their rows wait in the stream",
		workers:    "start a worker for each node: without them no start is accepted",
	}
	count := make(map[string]int)
	for _, p := range s.Roll.Present {
		count[p.Service]++
	}
	for _, service := range slices.Sorted(maps.Keys(needed)) {
		check := "service " + service
		if count[service] == 0 {
			r.fail(check, needed[service], "none answers the roll call")
			continue
		}
		r.ok(check, "%s", plural(count[service], "process")+alive(count[service]))
	}
	if s.Beats.StoreAway {
		r.fail("service collector", "start the store, or correct the collector's --store; the rows wait in the stream", "it says that the store takes no rows")
	}
}

func alive(n int) string {
	if n == 1 {
		return " answers"
	}
	return " answer"
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
