package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// maxInstances bounds a fleet.
const maxInstances = 10_000

// tracePart is the availability that a run replays.
type tracePart struct {
	label   string // what results call it
	source  string // where it comes from
	fleet   Availability
	changes []experiment.Change // of fleet, with markets
}

// traceForms are the keys that say where a trace comes from.
var traceForms = []string{"name", "file", "fixed", "generate", "changes"}

// loadTrace settles the availability of an experiment file.
func (s *settler) loadTrace() {
	const key = "trace"
	c, t := s.doc.part(key), s.file.Trace
	var given []string
	for _, form := range traceForms {
		if s.doc.has(join(key, form)) {
			given = append(given, form)
		}
	}
	if len(given) != 1 {
		c.require(false, "trace has %s, want exactly one of %s", cmp.Or(strings.Join(given, " and "), "no source"), strings.Join(traceForms, ", "))
		return
	}
	form := given[0]
	c.holds("market", form == "file" || !s.doc.has("trace.market"), "is a key of traces from files only; %s", marketHint[form])
	c.holds("end_s", form != "fixed" && form != "generate" || !s.doc.has("trace.end_s"), "belongs inside %s", form)
	var err error
	switch form {
	case "name":
		err = s.namedTrace(t)
	case "file":
		err = s.fileTrace(t)
	case "fixed":
		err = s.fixedTrace(*t.Fixed)
	case "generate":
		err = s.generatedTrace(*t.Generate)
	case "changes":
		err = s.inlineTrace(t)
	}
	if err != nil {
		s.noteFile(join(key, form), err)
		return
	}
	if t.Label != "" {
		s.trace.label = t.Label
	}
	if t.Source != "" {
		s.trace.source = t.Source
	}
	s.checkProvision()
	s.file.Limits.check(s.doc.part("limits"))
}

// marketHint says where each form of a trace says how its instances were bought.
var marketHint = map[string]string{
	"name":     "the catalogue knows how the instances of its traces were bought",
	"fixed":    "it belongs inside fixed",
	"generate": "it belongs inside generate",
	"changes":  "changes say it by add_spot and add_on_demand",
}

func (s *settler) namedTrace(t traceSource) error {
	trace, ok := s.lib.traces[t.Name]
	if !ok {
		return refuseUnknown("trace", t.Name, sorted(s.lib.traces))
	}
	fleet, err := trace.availability()
	if err != nil {
		return err
	}
	s.trace.label, s.trace.source = t.Name, trace.Source
	return s.replay(fleet, trace.Market, s.lib.traces[trace.Parent])
}

func (s *settler) fileTrace(t traceSource) error {
	c := s.doc.part("trace")
	c.holds("market", slices.Contains([]traceMarket{allSpot, allOnDemand}, t.Market), "is %q, allowed are spot, on-demand", t.Market)
	path, ok := s.path("trace.file", t.File)
	if !ok {
		return nil
	}
	fleet, err := s.files.availability(path)
	if err != nil {
		return err
	}
	s.trace.label, s.trace.source = path, path
	return s.replay(fleet, t.Market, traceFile{})
}

// fixedTrace has its instances from the start to the end.
func (s *settler) fixedTrace(f fixedFleet) error {
	const key = "trace.fixed"
	c := s.doc.part(key)
	if f.Market == "" {
		f.Market = s.usualMarket()
	}
	c.count("instances", f.Instances, maxInstances)
	c.holds("market", slices.Contains([]traceMarket{allSpot, allOnDemand}, f.Market), "is %q, allowed are spot, on-demand", f.Market)
	c.positive("end_s", f.EndS, maxTrace.Seconds())
	if len(s.doc.errs) > 0 {
		return nil
	}
	h := newHistory()
	if err := h.apply(FleetChange{Kind: experiment.Add, Nodes: nodesUpTo(f.Instances)}); err != nil {
		return err
	}
	end, err := instant(f.EndS)
	if err != nil {
		return err
	}
	s.trace.label = fmt.Sprintf("fixed-%d", f.Instances)
	s.trace.source = fmt.Sprintf("%d %s instances that stay", f.Instances, f.Market)
	fleet, err := h.finish("", end)
	if err != nil {
		return err
	}
	return s.replay(fleet, f.Market, traceFile{})
}

// usualMarket is that of a fixed fleet: in a closed loop the trace is spot
// capacity.
func (s *settler) usualMarket() traceMarket {
	if s.file.Provision.Mode == experiment.ClosedLoop {
		return allSpot
	}
	return allOnDemand
}

func nodesUpTo(n int) []string {
	nodes := make([]string, n)
	for i := range nodes {
		nodes[i] = fmt.Sprintf("node-%d", i)
	}
	return nodes
}

// replay takes a fleet whose instances were bought by one rule, up to the end
// that the file gives it.
func (s *settler) replay(fleet Availability, rule traceMarket, parent traceFile) error {
	var from Availability
	var err error
	if rule == mixed {
		if from, err = parent.availability(); err != nil {
			return err
		}
	}
	if s.doc.has("trace.end_s") {
		end, err := instant(s.file.Trace.EndS)
		if err != nil {
			return fmt.Errorf("end_s: %w", err)
		}
		fleet = fleet.until(end)
	}
	if err := fleet.checkEnd(); err != nil {
		return err
	}
	s.trace.fleet = fleet
	s.trace.changes = fleet.withMarkets(rule, from, s.instance.GPUs)
	return nil
}

// until returns the trace with another end: cut, or with its last fleet for
// longer.
func (a Availability) until(end vtime.Time) Availability {
	for i, c := range a.Changes {
		if c.At >= end {
			a.Changes = a.Changes[:i:i]
			break
		}
	}
	a.End = end
	return a
}

// checkEnd requires that something is played.
func (a Availability) checkEnd() error {
	switch {
	case a.End == 0:
		return errors.New("the trace ends at its start")
	case len(a.Changes) == 0:
		return errors.New("no node joins before the trace ends")
	}
	return nil
}

// inlineTrace takes the changes as they stand in the file.
func (s *settler) inlineTrace(t traceSource) error {
	h := newHistory()
	bought := make(map[string]cost.Market)
	for i, change := range t.Changes {
		at := fmt.Sprintf("trace.changes[%d]", i)
		c, err := change.change()
		if err == nil {
			err = h.apply(c)
		}
		if err != nil {
			s.doc.part(at).require(false, "%s: %v", at, err)
			continue
		}
		out := experiment.Change{At: c.At, Kind: c.Kind, RequiredThroughput: c.RequiredThroughput}
		for _, node := range change.AddSpot {
			bought[node] = cost.Spot
		}
		for _, node := range change.AddOnDemand {
			bought[node] = cost.OnDemand
		}
		for _, node := range c.Nodes {
			out.Instances = append(out.Instances, experiment.Instance{Node: node, Market: bought[node], GPUs: s.instance.GPUs})
		}
		s.trace.changes = append(s.trace.changes, out)
	}
	if len(s.doc.errs) > 0 {
		return nil
	}
	c := s.doc.part("trace")
	c.holds("end_s", t.EndS > 0, "is %s, allowed is above 0 up to %v: changes need an end", c.got("end_s", t.EndS), maxTrace.Seconds())
	if len(s.doc.errs) > 0 {
		return nil
	}
	end, err := instant(t.EndS)
	if err != nil {
		return fmt.Errorf("end_s: %w", err)
	}
	s.trace.label, s.trace.source = "changes", "the experiment's own"
	s.trace.fleet, err = h.finish("", end)
	return err
}

func (c configChange) change() (FleetChange, error) {
	added := slices.Concat(c.AddSpot, c.AddOnDemand)
	at, err := instant(c.AtS)
	out := FleetChange{At: at, Kind: experiment.Throughput, RequiredThroughput: c.RequiredThroughput}
	switch {
	case len(added) > 0 && len(c.Remove) > 0:
		return out, errors.New("instances are added and removed in one change, make it two")
	case len(added) > 0:
		out.Kind, out.Nodes = experiment.Add, added
	case len(c.Remove) > 0:
		out.Kind, out.Nodes = experiment.Remove, c.Remove
	}
	return out, err
}

// onDemandName is a name of a closed loop's on-demand instances.
var onDemandName = regexp.MustCompile(`^od-[0-9]+$`)

// checkProvision checks what decides on the fleet.
func (s *settler) checkProvision() {
	c, p := s.doc.part("provision"), s.file.Provision
	if p.Mode == experiment.Replay {
		for _, key := range []string{"max_instances", "candidate_pool", "on_demand", "spot_start_s", "on_demand_start_s"} {
			c.holds(key, !s.doc.has(join("provision", key)), "is a key of mode %s", experiment.ClosedLoop)
		}
		return
	}
	c.holds("mode", p.Mode == experiment.ClosedLoop, "is %q, allowed are %s, %s", p.Mode, experiment.Replay, experiment.ClosedLoop)
	c.count("max_instances", p.MaxInstances, maxInstances)
	c.holds("candidate_pool", p.CandidatePool >= 0 && p.CandidatePool <= maxInstances, "is %d, allowed is 0 to %d", p.CandidatePool, maxInstances)
	c.notNegative("spot_start_s", p.SpotStartS, maxGraceS)
	c.notNegative("on_demand_start_s", p.OnDemandStartS, maxGraceS)
	s.checkCapacity()
}

// checkCapacity requires of the trace of a closed loop that it is spot capacity
// and leaves the names of on-demand instances free.
func (s *settler) checkCapacity() {
	c := s.doc.part("trace")
	for _, change := range s.trace.changes {
		for _, i := range change.Instances {
			switch {
			case i.Market != cost.Spot:
				c.require(false, "instance %s is on-demand: in a closed loop the trace is the spot capacity, on-demand instances are asked for (provision.on_demand)", i.Node)
				return
			case s.file.Provision.OnDemand && onDemandName.MatchString(i.Node):
				c.require(false, "instance %s has the name of an on-demand instance of the closed loop", i.Node)
				return
			}
		}
	}
}

// nodes are all that can ever join, in node order but for those that a closed
// loop buys.
func (r *resolved) nodes() []string {
	return append(r.trace.fleet.Nodes(), r.provisioning().OnDemandNodes()...)
}

// largestFleet is the most GPUs that there can ever be.
func (r *resolved) largestFleet() int {
	instances := r.trace.fleet.largest()
	if r.file.Provision.Mode == experiment.ClosedLoop {
		spot := instances
		if instances = r.file.Provision.MaxInstances; !r.file.Provision.OnDemand {
			instances = min(instances, spot)
		}
	}
	return instances * r.instance.GPUs
}
