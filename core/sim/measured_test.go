package sim_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// transformer makes a measured run of a spec.
func transformer(spec experiment.Spec) experiment.Spec {
	spec.Compute = experiment.Transformer
	spec.Transformer = &experiment.TransformerModel{
		Shape: experiment.Shape{Layers: spec.Model.Layers, Vocab: 1000, Context: 4096, Leaves: 4, DType: "f32"}, Weights: "synthetic:1",
		PrefillChunk: 64, PromptSeed: 5,
	}
	spec.Delays, spec.Quirks = cost.Delays{}, experiment.QuirksNone
	spec.TimeScale, spec.Virtual = 1, false
	spec.PromptTokens, spec.OutputTokens = 40, 20
	spec.LongestPrompt, spec.LongestOutput = 100, 300
	return spec
}

// measuredSchedule is a random run with an engine that computes.
func measuredSchedule(seed uint64) schedule {
	s := randomSchedule(seed)
	r := draw.Stream(seed, "measured")
	for s.spec.Model.Name != fixture.Small().Model.Name { // the others are slow to plan
		seed += 1 << 32
		s = randomSchedule(seed)
	}
	s.spec = transformer(s.spec)
	s.spec.Transformer.PrefillChunk = pick(r, 0, 7, 64)
	s.spec.CommitInterval = pick(r, 1, 4, 4, 32)
	if r.IntN(3) == 0 {
		s.spec.Transformer.Stop = []int32{3, 500}
	}
	if r.IntN(3) > 0 {
		s.spec.Approach, s.spec.Level = experiment.SpotServe, r.IntN(3)
		s.fits = s.fits && s.spec.Level == 0
	}
	for _, c := range s.timeline.Changes { // somebody runs when the fleet changes
		for range r.IntN(6) {
			at := max(0, c.At.Add(-time.Duration(r.Int64N(int64(20*time.Second)))))
			s.timeline.Arrivals = append(s.timeline.Arrivals, experiment.Arrival{At: at})
		}
	}
	slices.SortStableFunc(s.timeline.Arrivals, func(a, b experiment.Arrival) int { return int(a.At - b.At) })
	for i := range s.timeline.Arrivals {
		a := &s.timeline.Arrivals[i]
		a.PromptTokens, a.OutputTokens, a.Prompt = 0, 0, randomPrompt(r)
		if r.IntN(2) == 0 {
			a.PromptTokens, a.OutputTokens = 1+r.IntN(100), 1+r.IntN(300)
		}
	}
	return s
}

func randomPrompt(r *rand.Rand) *experiment.Prompt {
	if r.IntN(2) == 0 {
		return nil
	}
	p := &experiment.Prompt{Tokens: make([]int32, 1+r.IntN(100))}
	for i := range p.Tokens {
		p.Tokens[i] = r.Int32N(1000)
	}
	if r.IntN(3) == 0 {
		p.Stop = []int32{r.Int32N(1000), r.Int32N(1000)}
	}
	if r.IntN(3) == 0 {
		seed := r.Uint64()
		p.Sampling.Seed = &seed
	}
	return p
}

// answers holds a measured run to what an uninterrupted one would have answered.
type answers struct {
	books
	engine *fakeEngine
	whole  int
	fault  error
}

func (a *answers) take(ev event.Event) {
	a.books.take(ev)
	if b, ok := ev.Body.(event.RequestCompleted); ok && a.fault == nil {
		want := a.engine.answer(b.Record.Request)
		if !slices.Equal(b.Output, want) {
			a.fault = fmt.Errorf("request %d is answered %v, uninterrupted %v", b.Record.Request, b.Output, want)
		}
		a.whole++
	}
}

func (s schedule) measure(engine *fakeEngine, log func(event.Event)) (a *answers, err error) {
	a = &answers{books: books{ended: make(map[event.RequestID]int), finished: -1}, engine: engine}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	err = sim.RunMeasured("random", s.spec, s.timeline, engine, func(ev event.Event) error {
		if log != nil {
			log(ev)
		}
		a.take(ev)
		if engine.err != nil {
			return engine.err
		}
		return a.fault
	})
	if err == nil {
		err = a.audit(s)
	}
	return a, err
}

// TestMeasuredRunsAnswerAsUninterruptedOnes plays random fleets over an engine that
// fails steps, breaks pipelines and cuts what it moves: every answer is the one of
// an uninterrupted run, and nothing is lost, changed or answered twice.
func TestMeasuredRunsAnswerAsUninterruptedOnes(t *testing.T) {
	runs := *runsFlag / 20
	if testing.Short() {
		runs /= 4
	}
	first, last := uint64(1), runs
	var log func(event.Event)
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
		log = func(ev event.Event) { t.Logf("%s %s -> %s %s %+v", ev.Time, ev.ID(), ev.To, ev.Body.Kind(), ev.Body) }
	}
	whole, recomputed, broken := 0, 0, 0
	for seed := first; seed <= last; seed++ {
		s := measuredSchedule(seed)
		engine := newFakeEngine(seed, s.spec, s.timeline)
		engine.unreliable = seed%2 == 0
		engine.step = pick(draw.Stream(seed, "step"), 5*time.Millisecond, 30*time.Millisecond, 200*time.Millisecond)
		a, err := s.measure(engine, log)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		whole += a.whole
		recomputed += engine.recomputed
		broken += engine.broken
	}
	if *seedFlag == 0 && (whole == 0 || recomputed == 0 || broken == 0) {
		t.Errorf("%d answers, %d tokens of cache cut, %d pipelines broken: the schedules try nothing", whole, recomputed, broken)
	}
	t.Logf("%d answers, %d tokens of cache cut, %d pipelines broken", whole, recomputed, broken)
}

// TestMeasuredRunsRepeat: with the same answers of the engine, the same log.
func TestMeasuredRunsRepeat(t *testing.T) {
	for seed := uint64(2); seed <= *runsFlag/200; seed += 2 {
		var logs [2]string
		for i := range logs {
			s := measuredSchedule(seed)
			engine := newFakeEngine(seed, s.spec, s.timeline)
			engine.unreliable = true
			h := fnv.New64a()
			out := json.NewEncoder(h) // looks behind pointers
			if _, err := s.measure(engine, func(ev event.Event) {
				if err := out.Encode(ev); err != nil {
					t.Error(err)
				}
			}); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			logs[i] = fmt.Sprint(h.Sum64())
		}
		if logs[0] != logs[1] {
			t.Errorf("seed %d: two runs gave the logs %s and %s", seed, logs[0], logs[1])
		}
	}
}

// TestAnAnnouncedPreemptionComputesNothingAgain: with time enough the cache moves,
// and the new pipeline goes on with the next token.
func TestAnAnnouncedPreemptionComputesNothingAgain(t *testing.T) {
	for i, batching := range []experiment.Batching{experiment.Pooled, experiment.IdleOnly, experiment.Continuous, experiment.Pooled} {
		first := 29.0
		if i == 3 {
			first = 35 // after the notice
		}
		spec := transformer(fixture.Small())
		spec.Batching, spec.Drain, spec.OutputTokens, spec.LongestOutput = batching, true, 500, 500
		timeline := experiment.Timeline{
			Changes: []experiment.Change{
				{Kind: experiment.Add, Instances: fixture.Nodes(0, 1)},
				{At: vtime.Seconds(60), Kind: experiment.Remove, Instances: fixture.Nodes(1)},
			},
			Arrivals: fixture.Even(first, 0.1, 6), End: vtime.Seconds(100),
		}
		s := schedule{spec: fixture.At(spec, timeline), timeline: timeline, fits: true}
		engine := newFakeEngine(1, s.spec, timeline)
		engine.step = 50 * time.Millisecond
		var resumed int
		a, err := s.measure(engine, func(ev event.Event) {
			if b, ok := ev.Body.(event.MigrationPlanned); ok {
				resumed += b.ResumedRequests
			}
		})
		if err != nil {
			t.Fatalf("%s: %v", batching, err)
		}
		if resumed == 0 || engine.prepared == 0 {
			t.Errorf("%s: %d requests were resumed, the cache of %d fetched ahead", batching, resumed, engine.prepared)
		}
		if a.totals.TokensRecomputed != 0 || engine.recomputed != 0 {
			t.Errorf("%s: %d tokens recomputed, %d of cache", batching, a.totals.TokensRecomputed, engine.recomputed)
		}
	}
}

func TestEnginesGoWithTheRunsThatNeedThem(t *testing.T) {
	timeline := experiment.Timeline{
		Changes: []experiment.Change{{Kind: experiment.Add, Instances: fixture.Nodes(0)}}, End: vtime.Seconds(10),
	}
	profiled := fixture.At(fixture.Small(), timeline)
	if err := sim.Run("r", transformer(profiled), timeline, nil); err == nil || !strings.Contains(err.Error(), "node node-0 needs an engine that computes") {
		t.Errorf("a run without its engine: %v", err)
	}
	err := sim.RunMeasured("r", profiled, timeline, newFakeEngine(1, transformer(profiled), timeline), nil)
	if want := `simulation r: compute is "": an engine needs "transformer"`; err == nil || err.Error() != want {
		t.Errorf("an engine without its run: %v, want %q", err, want)
	}
}
