package fidelity

import (
	"testing"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// latency is the average and the 99th percentile of a run, in seconds.
type latency struct{ avg, p99 float64 }

// calibrationScenes returns the experiments of one kind that constants were
// fitted to, in the order of the catalogue, with their published latencies.
func calibrationScenes(t *testing.T, kind experiment.Kind) (scenes []scene, published []latency) {
	t.Helper()
	at := make(map[event.StartExperiment]int)
	for _, cell := range catalog.Published() {
		if !cell.Calibration || cell.Start.Experiment != kind {
			continue
		}
		i, ok := at[cell.Start]
		if !ok {
			i = len(scenes)
			at[cell.Start] = i
			scenes, published = append(scenes, sceneOf(t, cell.Start)), append(published, latency{})
		}
		switch cell.Metric {
		case catalog.PublishedAverage:
			published[i].avg = cell.Value
		case catalog.PublishedP99:
			published[i].p99 = cell.Value
		}
	}
	for i, p := range published {
		if p.avg == 0 || p.p99 == 0 {
			t.Fatalf("%s: no published average or no P99", scenes[i].name)
		}
	}
	if len(scenes) == 0 {
		t.Fatalf("no calibration numbers of %s", kind)
	}
	return scenes, published
}

// sceneOf names the experiment of a published number.
func sceneOf(t *testing.T, start event.StartExperiment) scene {
	t.Helper()
	s := as(experiment.Approach(start.Approach))
	if start.Experiment == experiment.OnDemand {
		s = onDemand(start.Nodes)
	}
	if s.start != start {
		t.Fatalf("%+v has published numbers and no scene of its own", start)
	}
	return s
}
