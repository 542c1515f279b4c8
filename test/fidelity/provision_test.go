package fidelity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// fleetRun is what a run measured, with its fleet.
type fleetRun struct {
	avg, p99 float64 // seconds
	minutes  map[cost.Market]float64
	usd      float64
	configs  []string // second of the change and D x P x M
	joined   []string // second and instances at hand from then on
}

// closedLoop lets a run ask for its fleet: at most ten instances, two of them
// beyond the need, spot instances after 40 s and on-demand ones after two
// minutes. The trace is the spot capacity.
func closedLoop(onDemand bool, o experiment.Objective, slo time.Duration) func(*experiment.Spec) {
	return func(s *experiment.Spec) {
		s.Provision, s.Objective, s.SLOP99 = experiment.ClosedLoop, o, slo
		s.Provisioning = experiment.Provisioning{
			MaxInstances: 10, CandidatePool: 2, OnDemand: onDemand, SpotStart: 40 * time.Second, OnDemandStart: 2 * time.Minute,
		}
		s.Nodes = append(s.Nodes, s.Provisioning.OnDemandNodes()...)
	}
}

func playFleet(t *testing.T, s scene, seed uint64) fleetRun {
	t.Helper()
	s.start.Options.Seed = seed
	spec, timeline, err := catalog.Resolve(s.start)
	if err != nil {
		t.Fatal(err)
	}
	if s.change != nil {
		s.change(&spec)
	}
	spec.Virtual, spec.TimeScale = true, 0
	out := fleetRun{minutes: make(map[cost.Market]float64)}
	var latencies []float64
	held := make(map[string]bool)
	count := func(at vtime.Time) {
		out.joined = append(out.joined, fmt.Sprintf("%.0f: %d", at.Seconds(), len(held)))
	}
	err = sim.Run("fidelity", spec, timeline, func(ev event.Event) error {
		switch b := ev.Body.(type) {
		case event.RequestCompleted:
			latencies = append(latencies, b.Record.Finished.Sub(b.Record.Arrived).Seconds())
		case event.ConfigChosen:
			c := b.Config
			out.configs = append(out.configs, fmt.Sprintf("%.0f: %dx%dx%d", b.ChangeAt.Seconds(), c.Data, c.Pipeline, c.Tensor))
		case event.InstanceAcquired:
			for _, i := range b.Instances {
				held[i.Node] = true
			}
			count(ev.Time)
		case event.InstanceLost:
			for _, n := range b.Nodes {
				delete(held, n)
			}
			count(ev.Time)
		case event.NodeTimeAccounted:
			out.minutes[b.Market] += b.To.Sub(b.From).Minutes()
			out.usd += b.USD
		}
		return nil
	})
	if err != nil || len(latencies) == 0 {
		t.Fatalf("%s, seed %d: %d latencies, %v", s.name, seed, len(latencies), err)
	}
	slices.Sort(latencies)
	for _, l := range latencies {
		out.avg += l / float64(len(latencies))
	}
	out.p99 = latencies[int(0.99*float64(len(latencies)))]
	return out
}

// medianFleet plays a scene with every seed. Configurations and fleet are those
// of the first.
func medianFleet(t *testing.T, s scene) fleetRun {
	t.Helper()
	var runs []fleetRun
	for seed := range uint64(seeds) {
		runs = append(runs, playFleet(t, s, seed+1))
	}
	middle := func(of func(fleetRun) float64) float64 {
		values := make([]float64, len(runs))
		for i, r := range runs {
			values[i] = of(r)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	out := runs[0]
	out.avg, out.p99 = middle(func(r fleetRun) float64 { return r.avg }), middle(func(r fleetRun) float64 { return r.p99 })
	out.usd = middle(func(r fleetRun) float64 { return r.usd })
	out.minutes = map[cost.Market]float64{
		cost.Spot:     middle(func(r fleetRun) float64 { return r.minutes[cost.Spot] }),
		cost.OnDemand: middle(func(r fleetRun) float64 { return r.minutes[cost.OnDemand] }),
	}
	return out
}

// TestClosedLoop compares what the planner asks for over the spot capacity of A_S
// with the two published traces, the second of which (A_S+O) was recorded of a
// system that asked for on-demand instances itself.
func TestClosedLoop(t *testing.T) {
	published := func(model, trace string) event.StartExperiment {
		return event.StartExperiment{Experiment: experiment.EndToEnd, Approach: string(experiment.SpotServe), Model: model, Trace: trace}
	}
	var b strings.Builder
	b.WriteString("| model | run | average, s | P99, s | spot, node-min | on-demand, node-min | USD | instances from second | configuration from second |\n|---|---|---:|---:|---:|---:|---:|---|---|\n")
	for _, model := range []string{"20B", "6.7B"} {
		results := make(map[string]fleetRun)
		for _, s := range []scene{
			{name: "A_S, replayed", start: published(model, "As")},
			{name: "A_S+O, replayed", start: published(model, "As+o")},
			{name: "closed loop", start: published(model, "As"), change: closedLoop(true, experiment.MinLatency, 0)},
			{name: "closed loop, spot only", start: published(model, "As"), change: closedLoop(false, experiment.MinLatency, 0)},
			{name: "closed loop, least cost", start: published(model, "As"), change: closedLoop(true, experiment.MinCost, 0)},
			{name: "closed loop, P99 of 42 s", start: published(model, "As"), change: closedLoop(true, experiment.MeetSLO, 42*time.Second)},
		} {
			r := medianFleet(t, s)
			results[s.name] = r
			fmt.Fprintf(&b, "| %s | %s | %.1f | %.1f | %.0f | %.0f | %.2f | %s | %s |\n", model, s.name, r.avg, r.p99,
				r.minutes[cost.Spot], r.minutes[cost.OnDemand], r.usd, strings.Join(r.joined, ", "), strings.Join(r.configs, ", "))
		}
		loop, cheap := results["closed loop"], results["closed loop, least cost"]
		if mixed := results["A_S+O, replayed"]; loop.p99 > 1.15*mixed.p99 || loop.usd > mixed.usd {
			t.Errorf("%s: the closed loop has a P99 of %.1f s for %.2f USD, A_S+O %.1f s for %.2f USD", model, loop.p99, loop.usd, mixed.p99, mixed.usd)
		}
		if cheap.usd > loop.usd {
			t.Errorf("%s: the least cost is %.2f USD, the least latency costs %.2f", model, cheap.usd, loop.usd)
		}
	}
	t.Logf("median of %d seeds\n%s", seeds, b.String())
	keepSection(t, "closed-loop", b.String())
}
