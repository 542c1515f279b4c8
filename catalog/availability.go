package catalog

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// Availability is a trace of the fleet: who joins and who goes, when. It does
// not know how a node was bought.
type Availability struct {
	Name    string
	Changes []FleetChange // ascending by At
	End     vtime.Time
}

// FleetChange is one event of a trace.
type FleetChange struct {
	At    vtime.Time
	Kind  experiment.ChangeKind
	Nodes []string // none if only the required throughput changes
	// RequiredThroughput in requests/s replaces the target from At on; 0 keeps it.
	RequiredThroughput float64
}

// Nodes returns every node of the trace once, in node order.
func (a Availability) Nodes() []string {
	var all []string
	for _, change := range a.Changes {
		all = append(all, change.Nodes...)
	}
	slices.SortFunc(all, topology.CompareNodes)
	return slices.Compact(all)
}

// largest is the most nodes that are ever up at once. What leaves and joins at
// one instant has done both.
func (a Availability) largest() int {
	most, up := 0, 0
	for i, c := range a.Changes {
		switch c.Kind {
		case experiment.Add:
			up += len(c.Nodes)
		case experiment.Remove:
			up -= len(c.Nodes)
		case experiment.Throughput:
		}
		if i+1 == len(a.Changes) || a.Changes[i+1].At > c.At {
			most = max(most, up)
		}
	}
	return most
}

// maxTrace bounds the length of a trace: far from overflow, and so that a typo
// in a time does not ask for millions of requests.
const maxTrace = vtime.Time(31 * 24 * time.Hour)

// maxThroughput bounds a required throughput, in requests/s.
const maxThroughput = 1e6

// Node names become tokens of bus subjects, so no dot, blank, * or >.
var nodeName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

// history builds an Availability and refuses changes that no fleet could make.
type history struct {
	changes []FleetChange
	up      map[string]bool
	last    vtime.Time
}

func newHistory() *history { return &history{up: make(map[string]bool)} }

// apply appends c, or says why it cannot follow the changes before it.
func (h *history) apply(c FleetChange) error {
	if err := h.advance(c.At); err != nil {
		return err
	}
	if !(c.RequiredThroughput >= 0 && c.RequiredThroughput <= maxThroughput) {
		return fmt.Errorf("required throughput is %v requests/s, allowed is above 0 up to %v", c.RequiredThroughput, maxThroughput)
	}
	switch c.Kind {
	case experiment.Throughput:
		if len(c.Nodes) > 0 {
			return errors.New("a change of the required throughput has no nodes")
		}
		if c.RequiredThroughput == 0 {
			return errors.New("the change changes nothing: neither nodes nor a required throughput")
		}
	default:
		if len(c.Nodes) == 0 {
			return fmt.Errorf("%s has no nodes", c.Kind)
		}
	}
	seen := make(map[string]bool, len(c.Nodes))
	for _, node := range c.Nodes {
		switch {
		case !nodeName.MatchString(node):
			return fmt.Errorf("node name %q: allowed are 1 to 63 letters, digits, - and _", node)
		case seen[node]:
			return fmt.Errorf("node %q is named twice", node)
		case c.Kind == experiment.Add && h.up[node]:
			return fmt.Errorf("node %q is added, but it is up already", node)
		case c.Kind == experiment.Remove && !h.up[node]:
			return fmt.Errorf("node %q is removed, but it is not up", node)
		}
		seen[node] = true
	}
	for _, node := range c.Nodes {
		h.up[node] = c.Kind == experiment.Add
	}
	h.changes = append(h.changes, c)
	return nil
}

func (h *history) advance(at vtime.Time) error {
	if at < h.last {
		return fmt.Errorf("time runs backwards: %v after %v", at, h.last)
	}
	h.last = at
	return nil
}

// finish ends the trace.
func (h *history) finish(name string, end vtime.Time) (Availability, error) {
	if err := h.advance(end); err != nil {
		return Availability{}, fmt.Errorf("end of the trace: %w", err)
	}
	if end == 0 {
		return Availability{}, errors.New("the trace ends at its start")
	}
	if len(h.up) == 0 {
		return Availability{}, errors.New("no node joins before the trace ends")
	}
	return Availability{Name: name, Changes: h.changes, End: end}, nil
}

// traceFile is data/traces/NAME.yaml.
type traceFile struct {
	Name        string       `yaml:"name"`
	Source      string       `yaml:"source"`
	Description string       `yaml:"description"`
	Market      traceMarket  `yaml:"market"`
	Parent      string       `yaml:"parent,omitempty"` // of a mixed trace
	EndS        float64      `yaml:"end_s"`
	Changes     []changeFile `yaml:"changes"`
}

type changeFile struct {
	AtS                   float64  `yaml:"at_s"`
	Add                   []string `yaml:"add"`
	Remove                []string `yaml:"remove"`
	RequiredThroughputRPS float64  `yaml:"required_throughput_rps"`
}

func (t traceFile) check(file string) error {
	c := checker{file: file}
	c.text("name", t.Name)
	c.text("source", t.Source)
	c.require(slices.Contains(traceMarkets(), t.Market), "market is %q, allowed are %q", t.Market, traceMarkets())
	c.require((t.Market == mixed) == (t.Parent != ""), "parent is %q: a mixed trace needs one, no other has one", t.Parent)
	if _, err := t.availability(); err != nil {
		c.require(false, "%v", err)
	}
	return c.err()
}

func (t traceFile) availability() (Availability, error) {
	h := newHistory()
	for i, change := range t.Changes {
		c, err := change.change()
		if err == nil {
			err = h.apply(c)
		}
		if err != nil {
			return Availability{}, fmt.Errorf("changes[%d]: %w", i, err)
		}
	}
	end, err := instant(t.EndS)
	if err != nil {
		return Availability{}, fmt.Errorf("end_s: %w", err)
	}
	return h.finish(t.Name, end)
}

func (c changeFile) change() (FleetChange, error) {
	at, err := instant(c.AtS)
	out := FleetChange{At: at, Kind: experiment.Throughput, RequiredThroughput: c.RequiredThroughputRPS}
	switch {
	case len(c.Add) > 0 && len(c.Remove) > 0:
		return out, errors.New("add and remove stand in one change, make it two")
	case len(c.Add) > 0:
		out.Kind, out.Nodes = experiment.Add, c.Add
	case len(c.Remove) > 0:
		out.Kind, out.Nodes = experiment.Remove, c.Remove
	}
	return out, err
}

// instant converts a file's seconds.
func instant(seconds float64) (vtime.Time, error) {
	if !(seconds >= 0 && seconds <= maxTrace.Seconds()) {
		return 0, fmt.Errorf("time is %v s, allowed is 0 to %v", seconds, maxTrace.Seconds())
	}
	return vtime.Seconds(seconds), nil
}
