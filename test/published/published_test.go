// Package published runs every experiment that the paper and its artifact
// published, in virtual time.
package published

import (
	"fmt"
	"testing"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
)

// cells lists the published experiments: 36 end-to-end, 4 on-demand, 6 workload
// and 10 ablation runs.
func cells() []event.StartExperiment {
	var out []event.StartExperiment
	for _, approach := range catalog.Approaches() {
		for _, model := range catalog.Models() {
			for _, trace := range catalog.Traces() {
				out = append(out, event.StartExperiment{Experiment: experiment.EndToEnd, Approach: approach, Model: model, Trace: trace})
			}
		}
		for _, trace := range catalog.TracesOf(experiment.Workload) {
			out = append(out, event.StartExperiment{Experiment: experiment.Workload, Approach: approach, Trace: trace})
		}
	}
	for _, nodes := range catalog.Fleets() {
		out = append(out, event.StartExperiment{Experiment: experiment.OnDemand, Nodes: nodes})
	}
	for level := range catalog.Levels() {
		for _, trace := range catalog.TracesOf(experiment.Ablation) {
			out = append(out, event.StartExperiment{Experiment: experiment.Ablation, Level: level, Trace: trace})
		}
	}
	return out
}

func name(s event.StartExperiment) string {
	return fmt.Sprintf("%s %s %s %s level %d nodes %d", s.Experiment, s.Approach, s.Model, s.Trace, s.Level, s.Nodes)
}

// TestEveryPublishedExperiment runs each to its end. The simulator checks the
// promises on the way; here it is that nothing is lost or late, and that
// SpotServe itself computes no token in vain.
func TestEveryPublishedExperiment(t *testing.T) {
	all := cells()
	if len(all) != 36+4+6+10 {
		t.Fatalf("%d experiments, published are 56", len(all))
	}
	for _, start := range all {
		t.Run(name(start), func(t *testing.T) {
			t.Parallel()
			spec, timeline, err := catalog.Resolve(start)
			if err != nil {
				t.Fatal(err)
			}
			var end event.RunFinished
			err = sim.Run("published", spec, timeline, func(ev event.Event) error {
				if b, ok := ev.Body.(event.RunFinished); ok {
					end = b
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if end.Accepted != len(timeline.Arrivals) || end.Completed == 0 || end.Lost+end.Duplicated+end.LateFacts+end.Refused+end.Dropped != 0 {
				t.Errorf("%d arrivals, and at the end %+v", len(timeline.Arrivals), end)
			}
			if spec.Stateful() && end.TokensRecomputed != 0 {
				t.Errorf("%d tokens computed in vain", end.TokensRecomputed)
			}
		})
	}
}

// TestLevelZeroIsTheEndToEndRun: 54 of the 56 are distinct.
func TestLevelZeroIsTheEndToEndRun(t *testing.T) {
	for ablation, trace := range map[string]string{"A": "As", "B": "Bs"} {
		logs := make([][]event.RunFinished, 2)
		for i, start := range []event.StartExperiment{
			{Experiment: experiment.Ablation, Trace: ablation},
			{Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20B", Trace: trace},
		} {
			spec, timeline, err := catalog.Resolve(start)
			if err != nil {
				t.Fatal(err)
			}
			err = sim.Run("level-0", spec, timeline, func(ev event.Event) error {
				if b, ok := ev.Body.(event.RunFinished); ok {
					logs[i] = append(logs[i], b)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if fmt.Sprint(logs[0]) != fmt.Sprint(logs[1]) {
			t.Errorf("%s: ablation level 0 ends with %+v, the end-to-end run with %+v", ablation, logs[0], logs[1])
		}
	}
}
