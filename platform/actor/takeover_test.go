package actor_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/core/worker"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/wire"
)

// instant is an engine that comes up at once and takes 20 ms for a step. The token
// after position p of request r is 100*r+p. It keeps no cache: all that is resumed
// is computed again, from the tokens that it is handed.
type instant struct {
	t      *testing.T
	events chan event.Body
}

func (e *instant) Events() <-chan event.Body { return e.events }

func (e *instant) later(d time.Duration, b event.Body) {
	time.AfterFunc(d, func() { e.events <- b })
}

func (e *instant) Do(op engineop.Op) {
	switch op := op.(type) {
	case engineop.Reshape:
		e.later(0, engineop.ContextLanded{Epoch: op.Part.Epoch})
		for _, p := range op.Part.Pipelines {
			e.later(10*time.Millisecond, engineop.StageUp{Epoch: op.Part.Epoch, Pipeline: p.Pipeline})
			if p.Leader {
				e.later(20*time.Millisecond, engineop.CacheLanded{Epoch: op.Part.Epoch, Pipeline: p.Pipeline})
			}
		}
	case engineop.Compute:
		out := engineop.Computed{Epoch: op.Epoch, Pipeline: op.Pipeline, Group: op.Group, Step: op.Step}
		for _, s := range op.Sequences {
			end := s.Start + len(s.Tokens)
			if last := s.Tokens[len(s.Tokens)-1]; end > promptTokens && last != answerAt(s.Request, end-1) {
				e.t.Errorf("request %d goes on from token %d at position %d", s.Request, last, end-1)
			}
			if s.Sample {
				out.Tokens = append(out.Tokens, answerAt(s.Request, end))
			}
		}
		e.later(20*time.Millisecond, out)
	}
}

func answerAt(id event.RequestID, position int) int32 { return int32(100*int(id) + position) }

const (
	promptTokens = 4
	outputTokens = 60
	requests     = 8
)

// twoNodes is a run of a small model on one GPU a node.
func twoNodes() experiment.Spec {
	row := func(n int) cost.PhaseLatency { return cost.PhaseLatency{Batch: n, Prefill: 5, Decode: 5} }
	s := started.Spec
	s.Approach, s.Batching, s.BatchLimit, s.PoolDepth = experiment.SpotServe, experiment.Continuous, 2, 1
	s.Model = cost.Model{Name: "small", Layers: 4, PaddedLayers: 4, Hidden: 8, WeightBytes: 4000, KVBytesPerToken: 10}
	s.Profile = cost.Profile{
		Name: "small", PromptTokens: promptTokens, FixFactor: 1, Embed: []float64{0.1, 0.1}, MaxTensor: 1,
		Tensors: []cost.TensorProfile{{Tensor: 1, Rows: []cost.PhaseLatency{row(1), row(2)}}},
	}
	s.Instance = cost.InstanceType{
		Name: "small", GPU: "cpu", GPUs: 1, GPUMemoryBytes: 1 << 24, InterNodeBytesPerSecond: 1e6, IntraNodeBytesPerSecond: 1e6,
	}
	s.Engine = cost.EngineCosts{ExecutionScale: 1, DiskBytesPerSecond: 1e6}
	s.RequiredThroughput, s.ArrivalRate, s.MigrationBuffer = 1, 1, 1<<20
	s.PromptTokens, s.OutputTokens, s.CommitInterval, s.Drain = promptTokens, outputTokens, 4, true
	s.Nodes = []string{"a", "b"}
	return s
}

// TestPlannersOfAMeasuredRunAreReplaced in mid-run, once while requests decode and
// once while a node is about to go: every request is answered once, and whole.
func TestPlannersOfAMeasuredRunAreReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		began := time.Now()
		pace, err := clock.New(began, 1)
		if err != nil {
			t.Fatal(err)
		}
		options := func(name string, core actor.Core) actor.Options {
			o := r.options(name, core)
			o.Clock = pace
			return o
		}
		r.say(event.SourceReplayer, 0, 0, event.RunStarted{Spec: twoNodes(), WallStart: began.UnixNano()})
		var all sync.WaitGroup
		for _, node := range []string{"a", "b"} {
			o := options(node, worker.New(node))
			o.Engine = &instant{t: t, events: make(chan event.Body, 1<<10)}
			all.Go(func() {
				if err := actor.RunWorker(t.Context(), o, actor.Joining{}, cost.Delays{}); err != nil {
					t.Errorf("worker %s: %v", node, err)
				}
			})
		}
		all.Go(func() { playTwoNodes(r, pace) })
		for _, until := range []time.Duration{1050 * time.Millisecond, 2990 * time.Millisecond, time.Minute} {
			leadUntil(t, r, options, began.Add(until))
		}
		all.Wait()
		check(t, r)
	})
}

// leadUntil has a new planner lead the run until it is over, or a wall time.
func leadUntil(t *testing.T, r *rig, options func(string, actor.Core) actor.Options, until time.Time) {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), until)
	defer cancel()
	l := r.lead()
	core := planner.New(l.Term())
	if err := actor.RunPlanner(ctx, options(event.SourcePlanner, core), l, cost.Delays{}, core.Finished); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("planner of term %d: %v", l.Term(), err)
	}
}

// playTwoNodes says what happens to the run, each at its time.
func playTwoNodes(r *rig, pace clock.Clock) {
	instances := []experiment.Instance{{Node: "a", Market: cost.Spot, GPUs: 1}, {Node: "b", Market: cost.Spot, GPUs: 1}}
	type entry struct {
		at   vtime.Time
		body event.Body
	}
	script := []entry{{0, event.InstanceAcquired{Instances: instances}}}
	for id := range event.RequestID(requests) {
		script = append(script, entry{500*ms + vtime.Time(id)*200*ms, event.RequestArrived{
			Request: id, PromptTokens: promptTokens, OutputTokens: outputTokens,
		}})
	}
	script = append(script,
		entry{2000 * ms, event.PreemptionNoticed{Nodes: []string{"b"}, Deadline: 3000 * ms}},
		entry{3000 * ms, event.InstanceLost{Nodes: []string{"b"}}}, entry{3100 * ms, ended})
	for i, e := range script {
		time.Sleep(pace.Until(e.at))
		next := vtime.Never
		if i+1 < len(script) {
			next = script[i+1].at
		}
		r.say(event.SourceReplayer, e.at, next, e.body)
	}
}

// check looks through the run's stream for its answers.
func check(t *testing.T, r *rig) {
	t.Helper()
	sub, err := r.bus.Follow(t.Context(), bus.Runs, bus.Position{}, wire.PlanFilter("r"))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	synctest.Wait()
	answered, interrupted := make(map[event.RequestID]int), 0
	for len(sub.C()) > 0 {
		ev, err := wire.Decode((<-sub.C()).Data)
		if err != nil {
			t.Fatal(err)
		}
		switch b := ev.Body.(type) {
		case event.RequestCompleted:
			want := make([]int32, outputTokens)
			for i := range want {
				want[i] = answerAt(b.Record.Request, promptTokens+i)
			}
			answered[b.Record.Request]++
			interrupted += b.Record.Interrupted
			if !slices.Equal(b.Output, want) {
				t.Errorf("request %d is answered %v", b.Record.Request, b.Output)
			}
		case event.RunFinished:
			if b.Completed != requests || b.Lost+b.Duplicated+b.TokensChanged+b.LateFacts+b.UnfinishedAtEnd != 0 {
				t.Errorf("the run ends with %+v", b)
			}
		}
	}
	for id, n := range answered {
		if n != 1 {
			t.Errorf("request %d is answered %d times", id, n)
		}
	}
	if len(answered) != requests || interrupted == 0 {
		t.Errorf("%d requests are answered, interrupted %d times", len(answered), interrupted)
	}
}
