// Package parity holds live runs, on all services, against virtual ones.
package parity

import (
	"fmt"
	"testing"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/test/internal/history"
)

// scene is an experiment, for any approach.
type scene struct {
	model, trace string
	seed         uint64
	timeScale    float64
	arrivals     string
	drain        bool
	quirks       string
	poolDepth    int
	batching     string
	rateWindowS  float64
}

func (s scene) String() string {
	return fmt.Sprintf("%s on %s, seed %d, x%g, %s arrivals %s", s.model, s.trace, s.seed, s.timeScale, s.arrivals, s.batching)
}

func (s scene) options() event.StartOptions {
	return event.StartOptions{
		Seed: s.seed, TimeScale: s.timeScale, Arrivals: s.arrivals, Drain: s.drain, Quirks: s.quirks,
		PoolDepth: s.poolDepth, Batching: s.batching, RateWindowS: s.rateWindowS,
	}
}

func (s scene) start(approach string) event.StartExperiment {
	return event.StartExperiment{
		Experiment: experiment.EndToEnd, Approach: approach, Model: s.model, Trace: s.trace,
		Options: s.options(),
	}
}

var scenes = []scene{
	{model: "20B", trace: "As", seed: 1, timeScale: 60, arrivals: "artifact"},
	{model: "20B", trace: "As", seed: 7, timeScale: 240, arrivals: "gamma"},
	{model: "20B", trace: "Bs", seed: 2, timeScale: 1, arrivals: "artifact", drain: true},
	{model: "20B", trace: "As+o", seed: 3, timeScale: 1000, arrivals: "poisson", quirks: "artifact", poolDepth: 2},
	{model: "20B", trace: "Bs+o", seed: 4, timeScale: 60, arrivals: "even", batching: "idle-only", rateWindowS: 30},
	{model: "6.7B", trace: "As", seed: 5, timeScale: 60, arrivals: "artifact"},
	{model: "30B", trace: "As", seed: 6, timeScale: 17.5, arrivals: "artifact", drain: true},
	{model: "20B", trace: "Bs", seed: 10, timeScale: 60, arrivals: "gamma", batching: "continuous"},
}

func TestLiveRunEqualsVirtualRun(t *testing.T) {
	for _, approach := range catalog.Approaches() {
		for _, s := range scenes {
			t.Run(fmt.Sprintf("%s %s", approach, s), func(t *testing.T) {
				t.Parallel()
				mustEqualVirtual(t, cast{}, s.start(approach))
			})
		}
	}
}

func TestLiveOnDemandRunEqualsVirtualRun(t *testing.T) {
	for _, nodes := range catalog.Fleets() {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			t.Parallel()
			mustEqualVirtual(t, cast{}, event.StartExperiment{Experiment: experiment.OnDemand, Nodes: nodes})
		})
	}
}

func TestLiveWorkloadRunEqualsVirtualRun(t *testing.T) {
	for _, approach := range catalog.Approaches() {
		for i, trace := range catalog.TracesOf(experiment.Workload) {
			t.Run(fmt.Sprintf("%s on %s", approach, trace), func(t *testing.T) {
				t.Parallel()
				mustEqualVirtual(t, cast{}, event.StartExperiment{
					Experiment: experiment.Workload, Approach: approach, Trace: trace,
					Options: event.StartOptions{Seed: 8, RateWindowS: 30 * float64(i)}, // one by the script, one by the arrivals
				})
			})
		}
	}
}

func TestLiveAblationRunEqualsVirtualRun(t *testing.T) {
	for level := range catalog.Levels() {
		for _, trace := range catalog.TracesOf(experiment.Ablation) {
			t.Run(fmt.Sprintf("level %d on %s", level, trace), func(t *testing.T) {
				t.Parallel()
				mustEqualVirtual(t, cast{}, event.StartExperiment{
					Experiment: experiment.Ablation, Level: level, Trace: trace, Options: event.StartOptions{Seed: 9},
				})
			})
		}
	}
}

// TestWorkersApartEqualVirtualRun has a process for every node, as on a real
// cluster.
func TestWorkersApartEqualVirtualRun(t *testing.T) {
	for _, approach := range catalog.Approaches() {
		t.Run(approach, func(t *testing.T) {
			t.Parallel()
			start := scenes[0].start(approach)
			mustEqualVirtual(t, cast{workers: oneEach(t, start)}, start)
		})
	}
}

// TestSlowBusChangesNothing: every reader gets every message up to a quarter of
// a wall second late, 15 s of experiment time, and no reader as late as another.
func TestSlowBusChangesNothing(t *testing.T) {
	for _, approach := range catalog.Approaches() {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s schedule %d", approach, seed), func(t *testing.T) {
				t.Parallel()
				start := scenes[0].start(approach)
				mustEqualVirtual(t, cast{
					workers: oneEach(t, start), over: slowly(seed, 250*time.Millisecond), reorderWait: time.Minute,
				}, start)
			})
		}
	}
}

func mustEqualVirtual(t *testing.T, c cast, start event.StartExperiment) {
	t.Helper()
	live, _ := c.play(t, start)
	virtual := simulate(t, live[0].Run, start)
	if late := finished(t, live).LateFacts; late != 0 {
		t.Errorf("%d facts came late", late)
	}
	if difference := history.Difference(live, virtual); difference != "" {
		t.Fatal(difference)
	}
	if last := history.Last(live); last < vtime.Seconds(600) {
		t.Errorf("the run ends at %s already: it shows nothing", last)
	}
}

// oneEach gives every node of an experiment a worker of its own.
func oneEach(t *testing.T, start event.StartExperiment) (workers [][]string) {
	t.Helper()
	spec, _, err := catalog.Resolve(start)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range spec.Nodes {
		workers = append(workers, []string{node})
	}
	return workers
}
