package fidelity

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
)

// seeds is how many seeds a number is the median of.
const seeds = 9

// scene is an experiment.
type scene struct {
	name   string
	start  event.StartExperiment
	change func(*experiment.Spec) // what no start can ask for; may be nil
	cv     float64                // of the gaps between arrivals, if it is not the experiment's
}

// onDemand is the fixed fleet of a number of nodes.
func onDemand(nodes int) scene {
	return scene{
		name:  fmt.Sprintf("%d on-demand nodes", nodes),
		start: event.StartExperiment{Experiment: experiment.OnDemand, Nodes: nodes},
	}
}

// as is GPT-20B on the trace A_S.
func as(approach experiment.Approach) scene {
	return scene{
		name:  "A_S, " + string(approach),
		start: event.StartExperiment{Experiment: experiment.EndToEnd, Approach: string(approach), Model: "20B", Trace: "As"},
	}
}

// run is what one run measured.
type run struct {
	latency
	completed  int
	unfinished int
	cv         float64 // of the gaps between arrivals: deviation over mean
}

// play runs the scene in virtual time. The percentile p of n sorted values is
// sorted[int(p*n)], as published.
func (s scene) play(seed uint64) (run, error) {
	s.start.Options.Seed = seed
	spec, timeline, err := catalog.Resolve(s.start)
	if err != nil {
		return run{}, err
	}
	if s.change != nil {
		s.change(&spec)
	}
	if s.cv > 0 {
		if err := s.arrive(seed, spec, &timeline); err != nil {
			return run{}, err
		}
	}
	spec.Virtual, spec.TimeScale = true, 0
	var latencies []float64
	out := run{cv: variation(timeline.Arrivals)}
	err = sim.Run("fidelity", spec, timeline, func(ev event.Event) error {
		switch b := ev.Body.(type) {
		case event.RequestCompleted:
			latencies = append(latencies, b.Record.Finished.Sub(b.Record.Arrived).Seconds())
		case event.RequestUnfinished:
			out.unfinished++
		}
		return nil
	})
	if err != nil || len(latencies) == 0 {
		return out, err
	}
	slices.Sort(latencies)
	out.completed = len(latencies)
	for _, l := range latencies {
		out.avg += l / float64(len(latencies))
	}
	out.p99 = latencies[int(0.99*float64(len(latencies)))]
	return out, nil
}

// arrive lets the requests arrive with the scene's coefficient of variation.
func (s scene) arrive(seed uint64, spec experiment.Spec, timeline *experiment.Timeline) error {
	process := arrival.Process{Kind: arrival.Kind(spec.Arrivals), Rate: spec.ArrivalRate, CV: s.cv}
	times, err := process.Times(seed, timeline.End)
	if err != nil {
		return err
	}
	timeline.Arrivals = nil
	for _, at := range times {
		timeline.Arrivals = append(timeline.Arrivals, experiment.Arrival{At: at, PromptTokens: spec.PromptTokens, OutputTokens: spec.OutputTokens})
	}
	return nil
}

// variation is the coefficient of variation of the gaps between arrivals.
func variation(arrivals []experiment.Arrival) float64 {
	n := float64(len(arrivals) - 1)
	mean := arrivals[len(arrivals)-1].At.Sub(arrivals[0].At).Seconds() / n
	squares := 0.0
	for i := range len(arrivals) - 1 {
		deviation := arrivals[i+1].At.Sub(arrivals[i].At).Seconds() - mean
		squares += deviation * deviation
	}
	return math.Sqrt(squares/n) / mean
}

// playSeeds plays every scene with every seed, on all cores.
func playSeeds(t *testing.T, scenes []scene) [][seeds]run {
	t.Helper()
	runs := make([][seeds]run, len(scenes))
	errs := make([]error, len(scenes)*seeds)
	jobs := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for job := range jobs {
				i, seed := job/seeds, job%seeds
				runs[i][seed], errs[job] = scenes[i].play(uint64(seed + 1))
			}
		})
	}
	for job := range errs {
		jobs <- job
	}
	close(jobs)
	workers.Wait()
	for job, err := range errs {
		if err != nil {
			t.Fatalf("%s, seed %d: %v", scenes[job/seeds].name, job%seeds+1, err)
		}
	}
	return runs
}

// playAll plays every scene with every seed. The result of scenes[i] holds the
// median over the seeds of each number.
func playAll(t *testing.T, scenes []scene) []run {
	t.Helper()
	medians := make([]run, len(scenes))
	for i, of := range playSeeds(t, scenes) {
		medians[i] = medianRun(of[:])
	}
	return medians
}

func medianRun(runs []run) run {
	return run{
		latency: latency{
			avg: median(runs, func(r run) float64 { return r.avg }),
			p99: median(runs, func(r run) float64 { return r.p99 }),
		},
		completed:  int(median(runs, func(r run) float64 { return float64(r.completed) })),
		unfinished: int(median(runs, func(r run) float64 { return float64(r.unfinished) })),
		cv:         median(runs, func(r run) float64 { return r.cv }),
	}
}

func median(runs []run, of func(run) float64) float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = of(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
