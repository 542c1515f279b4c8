package access

import (
	"fmt"
	"strings"

	"github.com/spotserve/spotserve/platform/bus"
)

// Durable is the name of a place in a stream that outlives processes. It belongs
// to one role: nobody else may take messages there, acknowledge or move it.
type Durable struct {
	Stream bus.Stream
	Name   string
	Owner  Role
}

// The durable consumers.
var (
	CollectorRuns    = Durable{bus.Runs, "collector-runs", Collector}
	CollectorControl = Durable{bus.Control, "collector-control", Collector}
	PlotterRuns      = Durable{bus.Runs, "plotter", Plotter}
)

// Durables are all of them.
func Durables() []Durable { return []Durable{CollectorRuns, CollectorControl, PlotterRuns} }

// The leases: keys of the bucket, which say who of several processes leads.
const (
	LeaseTraceReplayer = "trace-replayer"
	LeasePlanner       = "planner"
	LeaseCollector     = "collector"
)

// Leases are all of them.
func Leases() []string { return []string{LeaseTraceReplayer, LeasePlanner, LeaseCollector} }

// AddressKey is the key under which the worker of a node enters where its data
// plane listens; "*" is every node. A key must not hold all that a node's name
// may: what it must not is written = and two hexadecimal digits.
func AddressKey(node string) string {
	const prefix = "data."
	if node == every {
		return prefix + every
	}
	var k strings.Builder
	k.WriteString(prefix)
	for i := range len(node) {
		switch c := node[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			k.WriteByte(c)
		default:
			fmt.Fprintf(&k, "=%02x", c)
		}
	}
	return k.String()
}
