package tune_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/tune"
)

var specs = []func() experiment.Spec{fixture.Small, fixture.OPT6B7, fixture.GPT20B, fixture.LLaMA30B}

// objective returns a request for an objective under a rate, with a headroom of
// an eighth.
func objective(spec experiment.Spec, o experiment.Objective, instances int, rate float64, slo time.Duration) tune.Request {
	r := request(spec, instances*fixture.GPUsPerNode, rate*1.125)
	r.GPUsPerInstance, r.Objective, r.ArrivalRate, r.SLOP99 = fixture.GPUsPerNode, o, rate, slo
	return r
}

// scored is what an objective compares, +Inf where a load is too high.
type scored struct {
	sustains   bool
	instances  int
	seconds    float64
	p99        float64
	throughput float64
}

// all lists every configuration that fits, with every D.
func all(l *cost.LatencyModel, m cost.MemoryModel, c *tune.ParallelizationController, r tune.Request) (out []scored) {
	for tensor := 1; tensor <= l.MaxTensor(); tensor *= 2 {
		for batch := 1; batch <= r.BatchLimit; batch *= 2 {
			for m1 := 1; m1 <= batch; m1 *= 2 {
				for m2 := 1; m2 <= batch; m2 *= 2 {
					for p := 1; p*tensor <= r.GPUs; p++ {
						for d := 1; d*p*tensor <= r.GPUs; d++ {
							cfg := topology.ParallelConfig{
								Data: d, Pipeline: p, Tensor: tensor, Batch: batch, PrefillMicroBatches: m1, DecodeMicroBatches: m2,
							}
							if l.DividesLayers(p) && m.Fits(cfg, batch) && l.Covers(cfg, batch) {
								out = append(out, score(c, c.Evaluate(cfg, r), r))
							}
						}
					}
				}
			}
		}
	}
	return out
}

func score(c *tune.ParallelizationController, x tune.Candidate, r tune.Request) scored {
	s := scored{
		sustains:   x.Throughput >= r.RequiredThroughput,
		instances:  (x.Config.Devices() + fixture.GPUsPerNode - 1) / fixture.GPUsPerNode,
		seconds:    x.Latency.Seconds(),
		p99:        math.Inf(1),
		throughput: x.Throughput,
	}
	if p, ok := c.PredictP99(x.Config, r); ok {
		s.p99 = p.Seconds()
	}
	return s
}

// rank is the rule of each objective, best first; D and the order met aside.
func rank(r tune.Request) func(a, b scored) int {
	truth := func(a, b bool) int {
		switch {
		case a == b:
			return 0
		case a:
			return -1
		}
		return 1
	}
	serves := func(s scored) bool {
		return s.sustains && (r.Objective != experiment.MeetSLO || s.p99 <= r.SLOP99.Seconds())
	}
	return func(a, b scored) int {
		switch {
		case serves(a) != serves(b):
			return truth(serves(a), serves(b))
		case r.Objective == experiment.MeetSLO && serves(a):
			return cmp.Or(cmp.Compare(a.instances, b.instances), cmp.Compare(a.p99, b.p99))
		case r.Objective == experiment.MeetSLO:
			by := cmp.Or(truth(a.sustains, b.sustains), cmp.Compare(a.p99, b.p99))
			if math.IsInf(a.p99, 1) {
				by = cmp.Or(by, cmp.Compare(b.throughput, a.throughput))
			}
			return cmp.Or(by, cmp.Compare(a.instances, b.instances))
		case !serves(a):
			return cmp.Or(cmp.Compare(b.throughput, a.throughput), cmp.Compare(a.instances, b.instances))
		case r.Objective == experiment.MinCost:
			return cmp.Or(cmp.Compare(a.instances, b.instances), cmp.Compare(a.seconds, b.seconds))
		default:
			return cmp.Or(cmp.Compare(a.seconds, b.seconds), cmp.Compare(a.instances, b.instances))
		}
	}
}

// TestObjectivesAgreeWithTheirNaiveTwin: bisection over D finds what trying every
// D finds.
func TestObjectivesAgreeWithTheirNaiveTwin(t *testing.T) {
	for _, of := range specs {
		spec := of()
		l, m := models(t, spec)
		c := tune.NewParallelizationController(l, m)
		for _, instances := range []int{1, 4, 9} {
			for _, rate := range []float64{0.05, 0.5, 1.5, 100} {
				for _, slo := range []time.Duration{0, 8 * time.Second, 30 * time.Second, time.Hour} {
					for _, o := range []experiment.Objective{experiment.MinLatency, experiment.MinCost, experiment.MeetSLO} {
						r := objective(spec, o, instances, rate, slo)
						r.Fewest, r.Full, r.IdleOnly = true, instances > 1, instances > 4
						choice := c.Choose(r)
						every := all(l, m, c, r)
						if len(every) == 0 {
							if !choice.Best.Config.IsZero() {
								t.Fatalf("%s: %s, and nothing fits", spec.Model.Name, choice.Best.Config)
							}
							continue
						}
						want := slices.MinFunc(every, rank(r))
						if got := score(c, choice.Best, r); rank(r)(got, want) != 0 || choice.Best.Instances != got.instances {
							t.Fatalf("%s, %s on %d instances at %v/s within %s:\n%+v (%s), want\n%+v", spec.Model.Name, o, instances, rate, slo, got, choice.Why, want)
						}
					}
				}
			}
		}
	}
}

// TestObjectiveProperties: cost never takes more instances than latency does, a
// laxer target never more than a stricter one, and more load never fewer.
func TestObjectiveProperties(t *testing.T) {
	for _, of := range specs {
		spec := of()
		c := tune.NewParallelizationController(models(t, spec))
		for _, instances := range []int{0, 1, 3, 8, 20} {
			before := 0
			for _, rate := range []float64{0.02, 0.1, 0.35, 0.7, 1.5, 5, 50} {
				name := fmt.Sprintf("%s on %d instances at %v/s", spec.Model.Name, instances, rate)
				latency := c.Choose(objective(spec, experiment.MinLatency, instances, rate, 0)).Best
				cheapest := c.Choose(objective(spec, experiment.MinCost, instances, rate, 0)).Best
				if cheapest.Instances > latency.Instances || cheapest.Instances < before {
					t.Errorf("%s: %d instances for the least cost, %d for the least latency, %d at a lower rate",
						name, cheapest.Instances, latency.Instances, before)
				}
				before = cheapest.Instances
				stricter := math.MaxInt
				for target := time.Second; target < time.Hour; target = target * 3 / 2 {
					choice := c.Choose(objective(spec, experiment.MeetSLO, instances, rate, target))
					if choice.Best.Instances > stricter {
						t.Errorf("%s: %d instances for a P99 of %s, %d for a stricter one", name, choice.Best.Instances, target, stricter)
					}
					stricter = choice.Best.Instances
					if choice.Best.Config.IsZero() {
						continue
					}
					p99, ok := c.PredictP99(choice.Best.Config, objective(spec, experiment.MeetSLO, instances, rate, target))
					if met := strings.HasPrefix(choice.Why, "fewest"); met && (!ok || p99 > target) {
						t.Errorf("%s: P99 %s for a target of %s: %s", name, p99, target, choice.Why)
					}
				}
			}
		}
	}
}

// TestPredictedP99OnlyImproves with every pipeline more, which bisection rests
// on, and with every request less.
func TestPredictedP99OnlyImproves(t *testing.T) {
	spec := fixture.GPT20B()
	c := tune.NewParallelizationController(models(t, spec))
	for i, rate := range []float64{0.01, 0.1, 0.5, 2, 0.01, 0.1, 0.5, 2, 0.01, 0.1, 0.5, 2} {
		under := func(rate float64) tune.Request {
			r := objective(spec, experiment.MeetSLO, 100, rate, 0)
			r.BatchLimit, r.Full, r.IdleOnly, r.Continuous = 8, true, i/4 == 1, i/4 == 2
			return r
		}
		last := time.Duration(math.MaxInt64)
		for d := 1; d <= 64; d++ {
			cfg := topology.ParallelConfig{Data: d, Pipeline: 3, Tensor: 4, Batch: 4, PrefillMicroBatches: 4, DecodeMicroBatches: 1}
			p99, ok := c.PredictP99(cfg, under(rate))
			more, alsoOK := c.PredictP99(cfg, under(rate*1.01))
			switch {
			case !ok && (alsoOK || last != math.MaxInt64):
				t.Errorf("%d pipelines do not keep up with %v/s, fewer pipelines or more requests do", d, rate)
			case ok && p99 > last, ok && alsoOK && more < p99:
				t.Errorf("%d pipelines at %v/s: %s, after %s; with 1 %% more requests %s", d, rate, p99, last, more)
			}
			if ok {
				last = p99
			}
		}
	}
}

func TestWhyNamesTheObjective(t *testing.T) {
	spec := fixture.GPT20B()
	c := tune.NewParallelizationController(models(t, spec))
	for _, tt := range []struct {
		objective experiment.Objective
		rate      float64
		slo       time.Duration
		want      string
		runnersUp int
	}{
		{experiment.MinCost, 0.35, 0, "fewest instances (", 4},
		{experiment.MinCost, 4, 0, "none of", 4},
		{experiment.MeetSLO, 0.35, time.Minute, "fewest instances (6)", 4},
		{experiment.MeetSLO, 0.35, 5 * time.Second, "none of", 4},
		{experiment.MeetSLO, 40, time.Minute, "none of", 4},
	} {
		choice := c.Choose(objective(spec, tt.objective, 12, tt.rate, tt.slo))
		if !strings.HasPrefix(choice.Why, tt.want) || len(choice.RunnersUp) < tt.runnersUp {
			t.Errorf("%s at %v/s within %s: %q and %d runners-up, want %q ...", tt.objective, tt.rate, tt.slo, choice.Why, len(choice.RunnersUp), tt.want)
		}
	}
}
