package bench

import (
	"testing"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
)

// resolve looks up a published end-to-end experiment of SpotServe.
func resolve(b *testing.B, model, trace string) (experiment.Spec, experiment.Timeline) {
	b.Helper()
	spec, timeline, err := catalog.Resolve(event.StartExperiment{
		Experiment: experiment.EndToEnd, Approach: string(experiment.SpotServe), Model: model, Trace: trace,
	})
	if err != nil {
		b.Fatal(err)
	}
	spec.Virtual, spec.TimeScale = true, 0
	return spec, timeline
}

// play runs an experiment in virtual time and hands every event to log.
func play(b *testing.B, spec experiment.Spec, timeline experiment.Timeline, log func(event.Event)) {
	b.Helper()
	if err := sim.Run("e2e-1", spec, timeline, func(ev event.Event) error { log(ev); return nil }); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkVirtualRun plays a whole experiment with all promises checked, but
// without a store.
func BenchmarkVirtualRun(b *testing.B) {
	for _, model := range []string{"6.7B", "20B"} {
		b.Run("model="+model+"/trace=As", func(b *testing.B) {
			spec, timeline := resolve(b, model, "As")
			b.ReportAllocs()
			events, runs := 0, 0
			for b.Loop() {
				runs++
				play(b, spec, timeline, func(event.Event) { events++ })
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(events)/float64(runs), "events/op")
			// How much faster than the clock.
			b.ReportMetric(float64(runs)*timeline.End.Seconds()/b.Elapsed().Seconds(), "speedup")
		})
	}
}
