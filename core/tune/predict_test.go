package tune_test

import (
	"fmt"
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
// measure under Poisson arrivals over several hours: within a fifth, up to nine
// tenths of the load.
func TestPredictedP99AgainstTheSimulator(t *testing.T) {
	for _, tt := range []struct {
		spec  experiment.Spec
		nodes int
	}{{fixture.GPT20B(), 3}, {fixture.GPT20B(), 6}, {fixture.GPT20B(), 8}, {fixture.OPT6B7(), 3}, {fixture.OPT6B7(), 4}} {
		c := tune.NewParallelizationController(models(t, tt.spec))
		for _, load := range []float64{0.1, 0.3, 0.5, 0.8, 0.9} {
			best := c.Choose(request(tt.spec, tt.nodes*fixture.GPUsPerNode, tt.spec.RequiredThroughput)).Best
			rate := load * best.Throughput
			predicted, ok := c.PredictP99(best.Config, objective(tt.spec, experiment.MeetSLO, tt.nodes, rate, 0))
			if !ok {
				t.Fatalf("%s: no prediction at a load of %v", best.Config, load)
			}
			measured, config := measureP99(t, tt.spec, tt.nodes, rate)
			if config != best.Config {
				t.Fatalf("the fleet serves with %+v, want %+v", config, best.Config)
			}
			off := predicted.Seconds()/measured - 1
			t.Logf("%s %s at %.0f %% load: predicted %.1f s, measured %.1f s, %+.0f %%", tt.spec.Model.Name, best.Config, 100*load, predicted.Seconds(), measured, 100*off)
			if off > 0.2 || off < -0.2 {
				t.Errorf("%s %s at %.0f %% load: predicted %.1f s, measured %.1f s", tt.spec.Model.Name, best.Config, 100*load, predicted.Seconds(), measured)
			}
		}
	}
}

// measureP99 plays a fixed fleet; the first minutes do not count.
func measureP99(t *testing.T, spec experiment.Spec, nodes int, rate float64) (p99 float64, config topology.ParallelConfig) {
	t.Helper()
	numbers := make([]int, nodes)
	for i := range numbers {
		numbers[i] = i
	}
	timeline := experiment.Timeline{End: vtime.Seconds(25_000), Changes: []experiment.Change{fixture.Add(0, numbers...)}}
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
