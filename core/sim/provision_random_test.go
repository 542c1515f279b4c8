package sim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestRandomClosedLoopsKeepThePromises plays random schedules whose availability
// is spot capacity, under every objective. A failure prints its seed; go test
// ./sim -run ClosedLoops -seed N -v plays it again.
func TestRandomClosedLoopsKeepThePromises(t *testing.T) {
	if *seedFlag != 0 {
		s := randomClosedLoop(*seedFlag)
		t.Logf("schedule: %s, %s, %+v", s, s.spec.Objective, s.spec.Provisioning)
		if err := checkClosedLoop(s, func(ev event.Event) {
			t.Logf("%s %s -> %s %s %+v", ev.Time, ev.ID(), ev.To, ev.Body.Kind(), ev.Body)
		}); err != nil {
			t.Fatal(err)
		}
		return
	}
	runs := *runsFlag
	if testing.Short() {
		runs /= 10
	}
	for seed := uint64(1); seed <= runs; seed++ {
		if err := checkClosedLoop(randomClosedLoop(seed), nil); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestRandomClosedLoopsRepeat is promise 6 for runs that ask for their fleet.
func TestRandomClosedLoopsRepeat(t *testing.T) {
	for seed := uint64(1); seed <= *runsFlag/20; seed++ {
		if a, b := randomClosedLoop(seed).digest(t), randomClosedLoop(seed).digest(t); a != b {
			t.Errorf("seed %d: two runs gave the logs %x and %x", seed, a, b)
		}
	}
}

// TestObjectivesInRandomReplays: a fleet of which a part idles is replayed too.
func TestObjectivesInRandomReplays(t *testing.T) {
	for seed := uint64(1); seed <= *runsFlag/4; seed++ {
		s := randomSchedule(seed)
		randomObjective(&s.spec, seed)
		if err := s.check(nil); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

func randomObjective(spec *experiment.Spec, seed uint64) {
	r := draw.Stream(seed, "objective")
	spec.Objective = pick(r, experiment.MinLatency, experiment.MinCost, experiment.MeetSLO)
	spec.SLOP99 = pick(r, 0, 5*time.Second, 20*time.Second, 60*time.Second)
	spec.Headroom = pick(r, 0, 1, 1.2)
	if r.IntN(3) == 0 {
		spec.RateWindow = pick(r, 5*time.Second, 30*time.Second)
	}
}

func randomClosedLoop(seed uint64) schedule {
	s := randomSchedule(seed)
	randomObjective(&s.spec, seed)
	r := draw.Stream(seed, "closed loop")
	p := experiment.Provisioning{
		MaxInstances: pick(r, 0, 1, 3, 4, 6, 8, 12), CandidatePool: r.IntN(4), OnDemand: r.IntN(2) == 0,
		SpotStart: pick(r, 0, time.Millisecond, 10*time.Second, 40*time.Second), OnDemandStart: pick(r, 0, 15*time.Second, 60*time.Second),
	}
	s.spec.Provision, s.spec.Provisioning = experiment.ClosedLoop, p
	s.spec.Nodes = append(s.spec.Nodes, p.OnDemandNodes()...)
	// What the loop may hold can serve, and the cloud always has it.
	adapts := s.spec.Approach != experiment.Rerouting && s.spec.Level == 0 && s.spec.Quirks == experiment.QuirksNone
	s.fits = adapts && p.OnDemand && p.MaxInstances*s.spec.Instance.GPUs >= max(1, s.spec.Model.MinGPUs)
	return s
}

// checkClosedLoop plays a schedule and audits the fleet beside the promises.
func checkClosedLoop(s schedule, log func(event.Event)) error {
	c := cloudBooks{spec: s.spec, held: make(map[string]cost.Market)}
	err := s.check(func(ev event.Event) {
		if log != nil {
			log(ev)
		}
		c.take(ev)
	})
	if err != nil {
		return err
	}
	return c.err
}

// cloudBooks follows what the cloud hands out.
type cloudBooks struct {
	spec    experiment.Spec
	held    map[string]cost.Market // joined and not gone
	offered map[string]bool
	err     error
}

func (c *cloudBooks) take(ev event.Event) {
	switch b := ev.Body.(type) {
	case event.SpotCapacityOffered:
		if c.offered == nil {
			c.offered = make(map[string]bool)
		}
		for _, n := range b.Nodes {
			c.offered[n] = true
		}
	case event.InstanceAcquired:
		if ev.Source != event.SourceCloud {
			c.err = fmt.Errorf("%s hands out instances", ev.Source)
		}
		for _, i := range b.Instances {
			if _, held := c.held[i.Node]; held {
				c.err = fmt.Errorf("%s: %s joins a second time", ev.Time, i.Node)
			}
			if i.Market == cost.Spot && !c.offered[i.Node] {
				c.err = fmt.Errorf("%s: %s joins, and there is no capacity for it", ev.Time, i.Node)
			}
			c.held[i.Node] = i.Market
		}
		c.count(ev.Time)
	case event.InstanceLost:
		for _, n := range b.Nodes {
			delete(c.held, n)
		}
	}
}

// count bounds the fleet: as many spot instances as are allowed, and as many
// on-demand ones that they are to replace.
func (c *cloudBooks) count(at vtime.Time) {
	markets := make(map[cost.Market]int)
	for _, m := range c.held {
		markets[m]++
	}
	most := c.spec.Provisioning.MaxInstances
	if markets[cost.Spot] > most || markets[cost.OnDemand] > most || markets[cost.OnDemand] > 0 && !c.spec.Provisioning.OnDemand {
		c.err = fmt.Errorf("%s: %v instances held, %+v allowed", at, markets, c.spec.Provisioning)
	}
}

// TestClosedLoopGivesBackWhatItDoesNotNeed: whatever happened, in the end as many
// instances are held as are wanted, no on-demand one in the place of a spot
// instance that is there, and all of them serve or stand by.
func TestClosedLoopGivesBackWhatItDoesNotNeed(t *testing.T) {
	for seed := uint64(1); seed <= *runsFlag/10; seed++ {
		s := randomClosedLoop(seed)
		s.spec.RateWindow = 0
		// A quiet hour lets everything settle.
		s.timeline.End += vtime.Seconds(3600)
		s.spec.End = s.timeline.End
		held := make(map[string]cost.Market)
		var wanted event.RequestFleet
		if err := sim.Run("settled", s.spec, s.timeline, func(ev event.Event) error {
			switch b := ev.Body.(type) {
			case event.RequestFleet:
				wanted = b
			case event.InstanceAcquired:
				for _, i := range b.Instances {
					held[i.Node] = i.Market
				}
			case event.InstanceLost:
				for _, n := range b.Nodes {
					delete(held, n)
				}
			}
			return nil
		}); err != nil {
			t.Errorf("seed %d: %v", seed, err)
			continue
		}
		if len(held) > wanted.Instances || wanted.OnDemand && len(held) != wanted.Instances {
			t.Errorf("seed %d: %v are held in the end, wanted are %d (on-demand: %t)", seed, held, wanted.Instances, wanted.OnDemand)
		}
	}
}
