package sim_test

import (
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
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

var (
	seedFlag = flag.Uint64("seed", 0, "play this one random schedule, and print its log")
	runsFlag = flag.Uint64("runs", 2000, "how many random schedules to play")
)

// TestRandomSchedulesKeepThePromises plays runs that nobody would plan: nodes
// that flap, notices that come late or never, bursts of requests. A failure
// prints its seed; go test ./sim -run Random -seed N -v plays it again.
func TestRandomSchedulesKeepThePromises(t *testing.T) {
	if *seedFlag != 0 {
		s := randomSchedule(*seedFlag)
		t.Logf("schedule: %s", s)
		if err := s.check(func(ev event.Event) { t.Logf("%s %s -> %s %s %+v", ev.Time, ev.ID(), ev.To, ev.Body.Kind(), ev.Body) }); err != nil {
			t.Fatal(err)
		}
		return
	}
	runs := *runsFlag
	if testing.Short() {
		runs /= 10
	}
	for seed := uint64(1); seed <= runs; seed++ {
		if err := randomSchedule(seed).check(nil); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestRandomSchedulesRepeat is promise 6: the same experiment gives the same
// log, byte for byte.
func TestRandomSchedulesRepeat(t *testing.T) {
	for seed := uint64(1); seed <= *runsFlag/20; seed++ {
		if a, b := randomSchedule(seed).digest(t), randomSchedule(seed).digest(t); a != b {
			t.Errorf("seed %d: two runs gave the logs %x and %x", seed, a, b)
		}
	}
}

// schedule is a random experiment.
type schedule struct {
	spec     experiment.Spec
	timeline experiment.Timeline
	fits     bool // what stays at the end can serve, whatever happened before
}

func (s schedule) String() string {
	return fmt.Sprintf("%s, %s, level %d, quirks %s, grace %s, %s depth %d, B %d, drain %t, commit %d, changes %+v, %d arrivals, end %s",
		s.spec.Model.Name, s.spec.Approach, s.spec.Level, s.spec.Quirks, s.spec.Grace, s.spec.Batching, s.spec.PoolDepth, s.spec.BatchLimit, s.spec.Drain,
		s.spec.CommitInterval, s.timeline.Changes, len(s.timeline.Arrivals), s.timeline.End)
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func randomSchedule(seed uint64) schedule {
	r := draw.Stream(seed, "schedule")
	spec := pick(r, fixture.Small, fixture.Small, fixture.Small, fixture.OPT6B7, fixture.GPT20B)()
	spec.Seed = seed
	spec.Grace = pick(r, 0, 0, time.Second, 5*time.Second, 30*time.Second, 30*time.Second, 120*time.Second)
	spec.Batching = pick(r, experiment.Pooled, experiment.IdleOnly, experiment.Continuous)
	spec.PoolDepth = 1 + r.IntN(2)
	spec.BatchLimit = pick(r, 1, 2, 4, 4, 8)
	if spec.Batching == experiment.Continuous && r.IntN(2) == 0 {
		spec.BatchLimit = 1 + r.IntN(40)
	}
	if spec.Model.MinGPUs == 0 && r.IntN(3) == 0 {
		spec.Model.KVBytesPerToken = 3_000_000 // memory for 2300 tokens beside the weights of one GPU
	}
	spec.LongestPrompt, spec.LongestOutput = pick(r, 0, 700, 1000), pick(r, 0, 200)
	spec.CommitInterval = pick(r, 0, 1, 32, 32)
	spec.Drain = r.IntN(2) == 0
	if r.IntN(4) == 0 {
		spec.Engine.EngineStart, spec.Engine.EngineStop, spec.Engine.Planning = 0, 0, 0
	}
	if r.IntN(4) == 0 {
		spec.Engine.ExecutionScale, spec.Engine.JitterSigma = 1, pick(r, 0, 0.5)
	}
	if r.IntN(10) == 0 {
		spec.Delays = cost.Delays{}
	}
	spec.Approach = pick(r, experiment.SpotServe, experiment.SpotServe, experiment.Rerouting, experiment.Reparallelization)
	if spec.Approach == experiment.SpotServe && r.IntN(3) == 0 {
		spec.Kind, spec.Level = experiment.Ablation, r.IntN(5)
	}
	spec.Quirks = pick(r, experiment.QuirksNone, experiment.QuirksNone, experiment.QuirksArtifact)
	spec.RequiredThroughput = pick(r, 0, 0.2, 1, 5, 100)

	t := experiment.Timeline{End: vtime.Seconds(10 + 390*r.Float64())}
	present := randomChanges(r, &t)
	if pick(r, true, true, false) {
		present = settleFleet(r, &t, present)
	}
	t.Arrivals = randomArrivals(r, t.End)
	gpus := 0
	for _, n := range present {
		gpus += n
	}
	// An approach that keeps its first shape, or that of the largest fleet, may
	// need more than the model; the artifact's quirks forget requests.
	adapts := spec.Approach != experiment.Rerouting && spec.Level == 0 && spec.Quirks == experiment.QuirksNone
	return schedule{spec: fixture.At(spec, t), timeline: t, fits: adapts && gpus >= max(1, spec.Model.MinGPUs)}
}

// randomChanges adds and removes up to eight nodes at up to twelve instants,
// some of them the same, and returns the GPUs of those that are there at the
// end. Now and then a change repeats what is so already.
func randomChanges(r *rand.Rand, t *experiment.Timeline) (present map[string]int) {
	present = make(map[string]int)
	nodes := r.IntN(9)
	gpus := pick(r, 0, 1, 2, 4, 4, 4) // of every node; 0 draws each
	at := vtime.Time(0)
	for range r.IntN(13) {
		kind := pick(r, experiment.Add, experiment.Add, experiment.Remove)
		c := experiment.Change{At: at, Kind: kind}
		for n := range nodes {
			name := fmt.Sprintf("node-%d", n)
			_, here := present[name]
			if r.IntN(3) == 0 || here == (kind == experiment.Add) && r.IntN(20) != 0 {
				continue
			}
			i := experiment.Instance{Node: name, Market: "spot", GPUs: gpus}
			if gpus == 0 {
				i.GPUs = 1 + r.IntN(4)
			}
			c.Instances = append(c.Instances, i)
			switch {
			case kind == experiment.Remove:
				delete(present, name)
			case !here:
				present[name] = i.GPUs
			}
		}
		if len(c.Instances) > 0 {
			t.Changes = append(t.Changes, c)
		}
		if r.IntN(10) == 0 {
			t.Changes = append(t.Changes, experiment.Change{
				At: at, Kind: experiment.Throughput, RequiredThroughput: 0.1 + r.Float64(),
			})
		}
		at += vtime.Seconds(pick(r, 0, 0.01, 1, 5, 7.35, 10, 29, 30, 31, 60, 100))
		if at >= t.End {
			break
		}
	}
	return present
}

// settleFleet lets the fleet end with four nodes more, so that most runs serve.
func settleFleet(r *rand.Rand, t *experiment.Timeline, present map[string]int) map[string]int {
	at := vtime.Time(float64(t.End) * r.Float64())
	if n := len(t.Changes); n > 0 {
		at = max(at, t.Changes[n-1].At)
	}
	c := experiment.Change{At: at, Kind: experiment.Add}
	for n := range 4 {
		name := fmt.Sprintf("late-%d", n)
		c.Instances = append(c.Instances, experiment.Instance{Node: name, Market: "on-demand", GPUs: 4})
		present[name] = 4
	}
	t.Changes = append(t.Changes, c)
	return present
}

func randomArrivals(r *rand.Rand, end vtime.Time) []experiment.Arrival {
	var out []experiment.Arrival
	for range r.IntN(pick(r, 60, 60, 60, 300)) {
		a := experiment.Arrival{At: vtime.Time(r.Int64N(int64(end) + 1))}
		if len(out) > 0 && r.IntN(4) == 0 {
			a.At = out[len(out)-1].At
		}
		if r.IntN(3) == 0 {
			a.PromptTokens, a.OutputTokens = 1+r.IntN(1000), 1+r.IntN(200)
		}
		if r.IntN(50) == 0 {
			a.OutputTokens = -1 // to be refused
		}
		out = append(out, a)
	}
	slices.SortStableFunc(out, func(a, b experiment.Arrival) int { return int(a.At - b.At) })
	return out
}

// maxEvents is far beyond what any of these runs needs: a run that gets there
// goes round in circles.
const maxEvents = 200_000

var errEndless = errors.New("the run does not end")

// check plays the schedule and returns the first promise that does not hold.
// The simulator checks most of them; the counts here are kept apart from it.
func (s schedule) check(log func(event.Event)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	b := books{ended: make(map[event.RequestID]int), finished: -1}
	if err := sim.Run("random", s.spec, s.timeline, func(ev event.Event) error {
		if log != nil {
			log(ev)
		}
		b.take(ev)
		return nil
	}); err != nil {
		return err
	}
	return b.audit(s)
}

func (s schedule) digest(t *testing.T) uint64 {
	h := fnv.New64a()
	if err := sim.Run("random", s.spec, s.timeline, func(ev event.Event) error {
		_, err := fmt.Fprintf(h, "%+v\n", ev)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return h.Sum64()
}

// books follows a run from outside.
type books struct {
	events   int
	arrived  int
	ended    map[event.RequestID]int
	served   int
	finished int // number of the RunFinished event
	totals   event.RunFinished
	err      error
}

func (b *books) take(ev event.Event) {
	if b.events++; b.events > maxEvents {
		panic(errEndless)
	}
	switch e := ev.Body.(type) {
	case event.RequestArrived:
		b.arrived++
	case event.RequestCompleted:
		b.ended[e.Record.Request]++
		b.served += e.Record.PromptTokens + e.Record.OutputTokens
		b.record(e.Record)
	case event.RequestUnfinished:
		b.ended[e.Record.Request]++
		b.record(e.Record)
	case event.RequestRefused:
		b.ended[e.Request]++
	case event.RunFinished:
		b.finished, b.totals = b.events, e
	}
}

func (b *books) record(r event.RequestRecord) {
	switch {
	case r.Committed < 0 || r.Committed > r.OutputTokens || r.Recomputed < 0 || r.Compute < 0:
		b.err = fmt.Errorf("impossible record %+v", r)
	case r.Finished != vtime.Never && r.Compute > r.Finished.Sub(r.Started):
		b.err = fmt.Errorf("more compute than time: %+v", r)
	}
}

func (b *books) audit(s schedule) error {
	for id, n := range b.ended {
		if n != 1 {
			return fmt.Errorf("request %d ended %d times", id, n)
		}
	}
	switch {
	case b.err != nil:
		return b.err
	case b.finished != b.events:
		return fmt.Errorf("event %d of %d is the end of the run", b.finished, b.events)
	case len(b.ended) != b.arrived:
		return fmt.Errorf("%d requests arrived, %d ended", b.arrived, len(b.ended))
	case b.totals.Completed+b.totals.UnfinishedAtEnd+b.totals.Refused != b.arrived:
		return fmt.Errorf("%d requests arrived, totals %+v", b.arrived, b.totals)
	case b.totals.TokensServed != b.served:
		return fmt.Errorf("%d tokens served, totals %+v", b.served, b.totals)
	case b.totals.LateFacts != 0 || b.totals.Lost != 0 || b.totals.Duplicated != 0:
		return fmt.Errorf("defects in totals %+v", b.totals)
	case s.spec.Drain && s.fits && b.totals.UnfinishedAtEnd != 0:
		return fmt.Errorf("drained, with nodes to serve on, and left %d requests", b.totals.UnfinishedAtEnd)
	}
	return nil
}
