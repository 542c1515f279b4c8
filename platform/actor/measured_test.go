package actor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
)

// started opens a run that computes tokens.
var started = event.RunStarted{Spec: experiment.Spec{
	Kind: experiment.Custom, Quirks: experiment.QuirksNone, Batching: experiment.Pooled, TimeScale: 1,
	Compute: experiment.Transformer,
	Transformer: &experiment.TransformerModel{
		Shape: experiment.Shape{DType: "f32"}, Weights: "synthetic:1",
	},
}}

// engine takes a second for every step.
type engine struct {
	ops    []engineop.Op
	events chan event.Body
}

func (e *engine) Do(op engineop.Op) {
	e.ops = append(e.ops, op)
	if c, ok := op.(engineop.Compute); ok {
		time.AfterFunc(time.Second, func() { e.events <- engineop.Computed{Epoch: c.Epoch, Step: c.Step} })
	}
}

func (e *engine) Events() <-chan event.Body { return e.events }

// TestWorkerOfAMeasuredRunGoesByTheClock: it waits for no watermark and gives none,
// takes what it reads and what its engine says when that comes, and does what its
// core asks.
func TestWorkerOfAMeasuredRunGoesByTheClock(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		step := func(n uint64) effect.Effect { return effect.Effect{Engine: engineop.Compute{Epoch: epoch, Step: n}} }
		core := &script{began: time.Now(), effects: map[event.Kind][]effect.Effect{
			"run_started": {step(1)},
			"computed": {step(2), {Event: event.Event{
				Run: "r", Source: "a", Seq: 1, Time: 1000 * ms, Version: event.SchemaVersion, Body: event.StageStarted{Epoch: epoch},
			}}},
		}}
		o := r.options("a", core)
		e := &engine{events: make(chan event.Body)}
		o.Engine = e
		r.say(event.SourceReplayer, 0, vtime.Never, started)
		time.AfterFunc(500*time.Millisecond, func() {
			r.say(event.SourceReplayer, 100*ms, vtime.Never, event.InstanceLost{Nodes: []string{"c"}}) // under way for long
			r.say(event.SourceReplayer, 900*ms, vtime.Never, event.InstanceLost{Nodes: []string{"b"}}) // ahead of this clock
			time.Sleep(2 * time.Second)
			r.say(event.SourcePlanner, 0, 0, event.RunFinished{Reason: event.EndOfTrace})
		})
		if err := actor.RunWorker(t.Context(), o, actor.Joining{}, cost.Delays{}); err != nil {
			t.Fatal(err)
		}
		mustBe(t, "took", core.kinds(), []string{
			"run_started 0.000s", "instance_lost 0.500s", "instance_lost 0.900s", "computed 1.000s", "computed 2.000s",
		})
		if len(e.ops) != 2 {
			t.Errorf("the engine was asked for %v", e.ops)
		}
		said := r.stream("spot.run.r.worker.a.fact.>")
		if len(said) != 1 || said[0].Body != (event.StageStarted{Epoch: epoch}) {
			t.Errorf("it says %+v, want one fact and no watermark", said)
		}
	})
}

func TestWorkerEndsWithItsEngine(t *testing.T) {
	closed := make(chan event.Body)
	close(closed)
	for name, c := range map[string]struct {
		ask    engineop.Op
		engine actor.Engine
		want   string
	}{
		"that cannot serve": {engineop.GiveUp{Reason: "no peer answers"}, &engine{}, "cannot serve: no peer answers"},
		"that has ended":    {engineop.Clear{}, &engine{events: closed}, "the engine has ended"},
		"that is missing":   {engineop.Clear{}, nil, "this worker has no engine"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				o := r.options("a", &script{began: time.Now(), effects: map[event.Kind][]effect.Effect{"run_started": {{Engine: c.ask}}}})
				o.Engine = c.engine
				r.say(event.SourceReplayer, 0, vtime.Never, started)
				err := actor.RunWorker(t.Context(), o, actor.Joining{}, cost.Delays{})
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				if _, gaveUp := c.ask.(engineop.GiveUp); errors.Is(err, actor.ErrGaveUp) != gaveUp {
					t.Errorf("%v gives up", err)
				}
			})
		})
	}
}

// TestPlannerOfAMeasuredRun takes workers' facts as they come, never before what it
// has taken, and waits for the replayer alone. A user's request happens when it was
// stored. Another planner that reads the stream takes all of it at the same times.
func TestPlannerOfAMeasuredRun(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pace, err := clock.New(time.Now(), 1)
		if err != nil {
			t.Fatal(err)
		}
		took := func() []string {
			core := &script{began: time.Now(), last: "run_ended"}
			o := r.options(event.SourcePlanner, core)
			o.Clock = pace
			if err := actor.RunPlanner(t.Context(), o, r.lead(), cost.Delays{}, core.finished); err != nil {
				t.Fatal(err)
			}
			return core.kinds()
		}
		r.say(event.SourceReplayer, 0, 300*ms, started)
		r.say("a", 250*ms, 0, event.StageStarted{Epoch: epoch})
		r.say("b", 100*ms, 0, event.StageStarted{Epoch: epoch}) // from a clock that is behind
		r.say("b", 400*ms, 0, event.StageStarted{Epoch: epoch}) // the replayer may still say something before
		time.AfterFunc(600*time.Millisecond, func() {
			if err := r.bus.Publish(context.Background(), bus.Outgoing{
				Subject: "spot.run.r.request.arrived", Data: []byte(`{"prompt":"x"}`),
			}); err != nil {
				t.Error(err)
			}
			r.say(event.SourceReplayer, 350*ms, 5000*ms, arrived)
			time.Sleep(time.Second)
			r.say(event.SourceReplayer, 5000*ms, vtime.Never, ended)
		})
		want := []string{
			"run_started 0.000s", "stage_started 0.250s", "stage_started 0.250s", "request_arrived 0.350s",
			"stage_started 0.400s", "request_arrived 0.600s", "run_ended 5.000s",
		}
		mustBe(t, "took", took(), want)
		mustBe(t, "a planner that begins anew took", took(), want)
		if r.log.Len() != 0 {
			t.Errorf("it logs %s", r.log.String())
		}
		if marks := r.stream("spot.run.r.plan.>"); len(marks) != 0 {
			t.Errorf("it gives %d watermarks", len(marks))
		}
	})
}
