package tune_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/tune"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestPredictedP99AgainstTheSimulator holds the prediction to what fixed fleets
// measure under Poisson arrivals over several hours, from a tenth to nine tenths of
// the load.
func TestPredictedP99AgainstTheSimulator(t *testing.T) {
	for _, tt := range []struct {
		batching      experiment.Batching
		median, worst float64 // most error, as a share
	}{
		{experiment.Pooled, 0.1, 0.2},
		{experiment.IdleOnly, 0.15, 0.4},
		{experiment.Continuous, 0.15, 0.5},
	} {
		var offs []float64
		for _, spec := range []experiment.Spec{fixture.GPT20B(), fixture.OPT6B7()} {
			for _, nodes := range []int{3, 8} {
				spec.Batching, spec.BatchLimit = tt.batching, nodes/3*4
				for _, load := range []float64{0.1, 0.3, 0.5, 0.7, 0.9} {
					offs = append(offs, predictionError(t, spec, nodes, load))
				}
			}
		}
		slices.SortFunc(offs, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })
		median, worst := math.Abs(offs[len(offs)/2]), math.Abs(offs[len(offs)-1])
		t.Logf("%s: between %+.0f %% and %+.0f %%, %.0f %% in the median", tt.batching, 100*slices.Min(offs), 100*slices.Max(offs), 100*median)
		if median > tt.median || worst > tt.worst {
			t.Errorf("%s: off by %.0f %% in the median and %.0f %% at worst", tt.batching, 100*median, 100*worst)
		}
	}
}

// predictionError is how much longer the predicted P99 of a fleet is than the
// measured one, as a share, at a load of what its pipelines can do.
func predictionError(t *testing.T, spec experiment.Spec, nodes int, load float64) float64 {
	t.Helper()
	c := tune.NewParallelizationController(models(t, spec))
	r := request(spec, nodes*fixture.GPUsPerNode, spec.RequiredThroughput)
	r.Full, r.Continuous, r.IdleOnly = true, spec.Batching == experiment.Continuous, spec.Batching == experiment.IdleOnly
	best := c.Choose(r).Best.Config
	full := best
	full.Batch = spec.BatchLimit
	r.ArrivalRate = load * c.Evaluate(full, r).Throughput
	predicted, ok := c.PredictP99(best, r)
	if !ok {
		t.Fatalf("%s: no prediction at a load of %v", best, load)
	}
	measured, config := measureP99(t, spec, nodes, r.ArrivalRate)
	if config != best {
		t.Fatalf("the fleet serves with %+v, want %+v", config, best)
	}
	off := predicted.Seconds()/measured - 1
	t.Logf("%s %s %s, up to %d a pipeline, at %.0f %% load: predicted %.1f s, measured %.1f s, %+.0f %%",
		spec.Batching, spec.Model.Name, best, spec.BatchLimit, 100*load, predicted.Seconds(), measured, 100*off)
	return off
}

// measureP99 plays a fixed fleet; the first minutes do not count.
func measureP99(t *testing.T, spec experiment.Spec, nodes int, rate float64) (p99 float64, config topology.ParallelConfig) {
	t.Helper()
	numbers := make([]int, nodes)
	for i := range numbers {
		numbers[i] = i
	}
	timeline := experiment.Timeline{End: vtime.Seconds(20_000), Changes: []experiment.Change{fixture.Add(0, numbers...)}}
	arrivals := draw.Stream(1, fmt.Sprint("arrivals of ", nodes, rate))
	for at := 20 + arrivals.ExpFloat64()/rate; at < timeline.End.Seconds(); at += arrivals.ExpFloat64() / rate {
		timeline.Arrivals = append(timeline.Arrivals, experiment.Arrival{At: vtime.Seconds(at)})
	}
	var latencies []float64
	err := sim.Run("p99", fixture.At(spec, timeline), timeline, func(ev event.Event) error {
		switch b := ev.Body.(type) {
		case event.ConfigChosen:
			config = b.Config
		case event.RequestCompleted:
			if b.Record.Arrived > vtime.Seconds(600) {
				latencies = append(latencies, b.Record.Finished.Sub(b.Record.Arrived).Seconds())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(latencies)
	return latencies[len(latencies)*99/100], config
}
