package catalog

import (
	"fmt"

	"github.com/spotserve/spotserve/core/availability"
	"github.com/spotserve/spotserve/core/experiment"
)

// generatorFile asks for an availability trace that is generated.
type generatorFile struct {
	Kind               availability.Kind `yaml:"kind"`
	Instances          int               `yaml:"instances"`
	UpAtStart          int               `yaml:"up_at_start,omitempty"` // left out: all
	MeanUpS            float64           `yaml:"mean_up_s,omitempty"`
	MeanDownS          float64           `yaml:"mean_down_s,omitempty"`
	Zones              int               `yaml:"zones,omitempty"`
	MeanBetweenBurstsS float64           `yaml:"mean_between_bursts_s,omitempty"` // of a zone
	Share              float64           `yaml:"share,omitempty"`                 // of a zone, lost in a burst
	Market             traceMarket       `yaml:"market,omitempty"`
	Seed               uint64            `yaml:"seed,omitempty"` // left out: the run's
	EndS               float64           `yaml:"end_s"`
}

// generatorKeys are the keys that each process uses.
var generatorKeys = map[availability.Kind][]string{
	availability.Poisson: {"instances", "up_at_start", "mean_up_s", "mean_down_s", "market", "seed", "end_s"},
	availability.Bursty:  {"instances", "up_at_start", "zones", "mean_between_bursts_s", "share", "mean_down_s", "market", "seed", "end_s"},
}

// generatedTrace draws the availability.
func (s *settler) generatedTrace(g generatorFile) error {
	const key = "trace.generate"
	c := s.doc.part(key)
	s.doc.onlyKeys(key, "kind", string(g.Kind), generatorKeys[g.Kind])
	if g.Market == "" {
		g.Market = allSpot
	}
	if !s.doc.has(key + ".up_at_start") {
		g.UpAtStart = g.Instances
	}
	if !s.doc.has(key + ".seed") {
		g.Seed = s.file.Seed
	}
	c.holds("market", g.Market == allSpot || g.Market == allOnDemand, "is %q, allowed are spot, on-demand", g.Market)
	c.positive("end_s", g.EndS, maxTrace.Seconds())
	if len(s.doc.errs) > 0 {
		return nil
	}
	end, err := instant(g.EndS)
	if err != nil {
		return err
	}
	process := availability.Process{
		Kind: g.Kind, Instances: g.Instances, UpAtStart: g.UpAtStart, MeanUp: g.MeanUpS, MeanDown: g.MeanDownS,
		Zones: g.Zones, MeanToBurst: g.MeanBetweenBurstsS, Share: g.Share,
	}
	changes, err := process.Changes(g.Seed, end)
	if err != nil {
		return err
	}
	h := newHistory()
	for _, change := range changes {
		kind := experiment.Remove
		if change.Add {
			kind = experiment.Add
		}
		if err := h.apply(FleetChange{At: change.At, Kind: kind, Nodes: change.Nodes}); err != nil {
			return err
		}
	}
	fleet, err := h.finish("", end)
	if err != nil {
		return err
	}
	s.trace.label = fmt.Sprintf("%s-%d", g.Kind, g.Instances)
	s.trace.source = fmt.Sprintf("generated (%s) with seed %d", g.Kind, g.Seed)
	return s.replay(fleet, g.Market, traceFile{})
}
