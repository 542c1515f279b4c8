package spans_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/trace"
	"github.com/spotserve/spotserve/platform/trace/spans"
)

// sink keeps spans.
type sink struct{ spans []sdk.ReadOnlySpan }

func (s *sink) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	s.spans = append(s.spans, spans...)
	return nil
}

func (s *sink) Shutdown(context.Context) error { return nil }

// lines are the spans as the tests write them down: name below parent, in the order
// in which they were said. Names stand for ids.
func (s *sink) lines() (out []string) {
	names := make(map[string]string)
	for _, x := range s.spans {
		names[x.SpanContext().SpanID().String()] = x.Name()
	}
	for _, x := range s.spans {
		line := x.Name()
		if x.Parent().IsValid() {
			parent, known := names[x.Parent().SpanID().String()]
			if !known {
				parent = x.Parent().SpanID().String()
			}
			line += " of " + parent
		}
		if x.Status().Description != "" {
			line += ": " + x.Status().Description
		}
		out = append(out, line)
	}
	return out
}

// stage is where a test plays.
type stage struct {
	t      *testing.T
	sink   *sink
	tracer *trace.Tracer
	clock  clock.Clock
	seq    uint64
}

// play has a test play in a bubble, where time stands still unless it sleeps. It gets
// the spans that were said.
func play(t *testing.T, sample float64, act func(*stage)) (s *sink) {
	s = new(sink)
	synctest.Test(t, func(t *testing.T) {
		pace, err := clock.New(time.Now(), 1)
		if err != nil {
			t.Fatal(err)
		}
		st := &stage{t: t, sink: s, clock: pace, tracer: trace.New(s, trace.Service{Name: "test"}, sample, slog.Default())}
		act(st)
		if err := st.tracer.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stage) mustSay(want ...string) {
	s.t.Helper()
	if err := s.tracer.Close(); err != nil {
		s.t.Error(err)
	}
	if got := s.sink.lines(); !slices.Equal(got, want) {
		s.t.Errorf("said are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// tracer is an actor.Tracer.
type tracer interface {
	Read(ev event.Event, m bus.Message)
	Begin(ev event.Event)
	Took(ev event.Event, effects []effect.Effect, replayed bool)
	Context(ev event.Event) bus.TraceContext
}

// step has a tracer see an event and what comes of it, and returns the contexts that
// go with that.
func (s *stage) step(to tracer, from string, with bus.TraceContext, b event.Body, said ...any) (out []bus.TraceContext) {
	s.seq++
	ev := event.Event{Run: "run", Source: from, Seq: s.seq, Time: max(0, s.clock.Now()), Body: b}
	to.Read(ev, bus.Message{Published: time.Now(), TraceContext: with})
	to.Begin(ev)
	var effects []effect.Effect
	for _, x := range said {
		switch x := x.(type) {
		case engineop.Op:
			effects = append(effects, effect.Effect{Engine: x})
		case event.Body:
			effects = append(effects, effect.Effect{Event: event.Event{Run: "run", Source: "self", To: "node-0", Body: x}})
		}
	}
	to.Took(ev, effects, false)
	for i := range effects {
		if effects[i].Publishes() {
			out = append(out, to.Context(effects[i].Event))
		}
	}
	return out
}

// core is a planner's core of which a test says how far it is.
type core struct {
	stage planner.Stage
	plans uint64
}

func (c *core) Progress() (planner.Stage, uint64) { return c.stage, c.plans }
func (c *core) Cause() planner.Cause              { return planner.Preemption }

// timetable is a worker's core that says when a prefill ends.
type timetable struct{ at vtime.Time }

func (t *timetable) PrefilledAt(int) vtime.Time { return t.at }

const users = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

var (
	epoch1 = event.Epoch{Term: 1, N: 1}
	chosen = event.ConfigChosen{Epoch: epoch1, Pipelines: []event.PipelinePlace{{Leader: "node-0", Nodes: []string{"node-0"}}}}
	apply  = event.ApplyMigration{Epoch: epoch1, Pipelines: []event.PipelineStart{{Leader: true}}}
)

// TestAUsersTraceGoesThrough planner and worker, to the answer: what is said of the
// request belongs to the user's span, and so does what is handed on.
func TestAUsersTraceGoesThrough(t *testing.T) {
	const id = event.RequestID(1<<62 + 5)
	play(t, 1, func(s *stage) {
		core, now := new(core), &timetable{vtime.Never}
		p, w := spans.NewPlanner(s.tracer, "run", s.clock, core), spans.NewWorker(s.tracer, "run", "node-0", s.clock, now)
		core.plans = 1
		s.step(p, "planner", bus.TraceContext{}, event.TimerFired{Timer: "plan"}, chosen, apply)
		s.step(w, "planner", bus.TraceContext{}, apply)
		s.step(p, event.SourceUser, bus.TraceContext{Trace: users}, event.RequestArrived{Request: id})
		assign := event.AssignRequests{Epoch: epoch1, Requests: []event.AssignedRequest{{Request: id}, {Request: 3}}}
		s.step(p, event.SourceReplayer, bus.TraceContext{}, event.RequestArrived{Request: 3})
		handed := s.step(p, "node-0", bus.TraceContext{}, event.BatchCompleted{}, assign)[0]
		if handed.Trace != "" || !strings.HasPrefix(handed.Baggage, fmt.Sprintf("r%d=00-4bf92f3577b34da6a3ce929d0e0e4736-", id)) || strings.Contains(handed.Baggage, ",") {
			t.Errorf("two requests are handed on with %+v; want the user's as baggage, the other derived", handed)
		}
		s.step(w, "planner", handed, assign)
		s.step(w, "node-0", bus.TraceContext{}, event.TimerFired{}, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{id, 3}})
		time.Sleep(time.Second)
		s.step(w, "node-0", bus.TraceContext{}, event.TimerFired{}, event.BatchCompleted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{id, 3}})
		answer := s.step(p, "node-0", bus.TraceContext{}, event.BatchCompleted{Epoch: epoch1, Batch: 1},
			event.RequestCompleted{Record: event.RequestRecord{Request: id}, Name: "mine"})[0]
		stored := spans.Stored{Tracer: s.tracer}
		stored.Take(event.Event{Run: "run", Body: event.RequestCompleted{}}, bus.Message{TraceContext: answer})
		stored.Done()
		stored.Done() // nothing more
		if err := s.tracer.Close(); err != nil {
			t.Error(err)
		}
		var told []string
		for _, x := range s.sink.spans {
			if x.SpanContext().TraceID().String() == "4bf92f3577b34da6a3ce929d0e0e4736" {
				told = append(told, x.Name())
				if x.Name() == "request" && x.Parent().SpanID().String() != "00f067aa0ba902b7" {
					t.Errorf("the request belongs to %s", x.Parent().SpanID())
				}
			}
		}
		if want := "queued pooled prefill compute request stored"; strings.Join(told, " ") != want {
			t.Errorf("in the user's trace are %q, want %q", told, want)
		}
	})
}

// TestAUserWhoDoesNotSample is not traced, by the worker either, at any share.
func TestAUserWhoDoesNotSample(t *testing.T) {
	play(t, 1, func(s *stage) {
		p, w := spans.NewPlanner(s.tracer, "run", s.clock, new(core)), spans.NewWorker(s.tracer, "run", "node-0", s.clock, &timetable{})
		s.step(p, event.SourceUser, bus.TraceContext{Trace: strings.TrimSuffix(users, "01") + "00"}, event.RequestArrived{Request: 7})
		assign := event.AssignRequests{Epoch: epoch1, Requests: []event.AssignedRequest{{Request: 7}}}
		handed := s.step(p, "node-0", bus.TraceContext{}, event.BatchCompleted{}, assign)[0]
		if handed.Trace != "" || !strings.HasSuffix(handed.Baggage, "-00") {
			t.Errorf("it is handed on with %+v", handed)
		}
		s.step(w, "planner", bus.TraceContext{}, apply)
		s.step(w, "planner", handed, assign)
		s.step(w, "node-0", bus.TraceContext{}, event.TimerFired{}, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}})
		s.step(w, "node-0", bus.TraceContext{}, event.TimerFired{}, event.BatchCompleted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}})
		answer := s.step(p, "node-0", bus.TraceContext{}, event.BatchCompleted{}, event.RequestCompleted{Record: event.RequestRecord{Request: 7}})[0]
		if answer.Trace != "" {
			t.Errorf("it is answered with %+v", answer)
		}
		s.mustSay("batch") // which is of the run
	})
}

// TestTheSameRequestAgain, as a user may publish it, is the first one; a flawed one
// is told as such.
func TestTheSameRequestAgain(t *testing.T) {
	play(t, 1, func(s *stage) {
		p := spans.NewPlanner(s.tracer, "run", s.clock, new(core))
		for range 3 {
			s.step(p, event.SourceUser, bus.TraceContext{}, event.RequestArrived{Request: 7})
		}
		s.step(p, "node-0", bus.TraceContext{}, event.BatchCompleted{}, event.RequestCompleted{Record: event.RequestRecord{Request: 7}})
		s.step(p, event.SourceUser, bus.TraceContext{}, event.RequestArrived{Request: 7})
		s.step(p, event.SourceUser, bus.TraceContext{Trace: "nonsense"}, event.RequestArrived{Request: 8}, event.RequestRefused{Request: 8, Reason: "flawed"})
		s.mustSay("queued of request", "request", "request: flawed")
	})
}

// TestAChangeThatIsCalledOff, and the one after it toward the same plan.
func TestAChangeThatIsCalledOff(t *testing.T) {
	arrange := event.ArrangeInterruption{Epoch: epoch1}
	off := event.ArrangeInterruption{Epoch: epoch1, Acquisition: true, At: vtime.Never}
	play(t, 1, func(s *stage) {
		core := &core{stage: planner.Planning}
		p, w := spans.NewPlanner(s.tracer, "run", s.clock, core), spans.NewWorker(s.tracer, "run", "node-0", s.clock, &timetable{})
		s.step(p, event.SourceReplayer, bus.TraceContext{}, event.InstanceAcquired{})
		core.stage, core.plans = planner.Starting, 1
		plan := s.step(p, "planner", bus.TraceContext{}, event.TimerFired{Timer: "plan"}, chosen, apply)[1]
		s.step(w, "planner", plan, apply)
		s.step(w, "node-0", bus.TraceContext{}, event.TimerFired{}, event.StageStarted{Epoch: epoch1}, event.ContextMigrated{Epoch: epoch1})
		core.stage = planner.Steady
		s.step(p, "node-0", bus.TraceContext{}, event.StageStarted{Epoch: epoch1})

		for range 2 {
			time.Sleep(time.Second)
			core.stage = planner.Arranging
			told := s.step(p, event.SourceNotice("node-0"), bus.TraceContext{}, event.PreemptionNoticed{Nodes: []string{"node-0"}}, arrange)[0]
			s.step(w, "planner", told, arrange)
			time.Sleep(time.Second)
			core.stage = planner.Steady
			told = s.step(p, event.SourceNotice("node-0"), bus.TraceContext{}, event.PreemptionCancelled{Nodes: []string{"node-0"}}, off)[0]
			s.step(w, "planner", told, off)
		}
		core.stage = planner.Arranging
		told := s.step(p, event.SourceNotice("node-0"), bus.TraceContext{}, event.PreemptionNoticed{Nodes: []string{"node-0"}}, arrange)[0]
		s.step(w, "planner", told, arrange)
		time.Sleep(time.Second)
		exited := event.PipelineExited{Epoch: epoch1}
		if with := s.step(w, "node-0", bus.TraceContext{}, event.TimerFired{}, exited)[0]; !strings.HasPrefix(with.Trace, told.Trace[:36]) {
			t.Errorf("the exit goes with %s, the command came with %s", with.Trace, told.Trace)
		}
		core.stage = planner.Planning
		s.step(p, "node-0", bus.TraceContext{}, exited)
		core.stage, core.plans = planner.Steady, 2
		s.step(p, "planner", bus.TraceContext{}, event.TimerFired{Timer: "plan"}, event.ConfigChosen{Epoch: event.Epoch{Term: 2, N: 2}})
		w.Close()
		s.mustSay(
			"decide of reconfiguration", "await plan of reconfiguration", "instance_acquired of reconfiguration", "plan of reconfiguration",
			"start stage of plan", "migrate of plan", "start pipeline of reconfiguration", "reconfiguration",
			"decide of reconfiguration", "arrange of reconfiguration", "reconfiguration", "exit of arrange",
			"decide of reconfiguration", "arrange of reconfiguration", "reconfiguration", "exit of arrange",
			"decide of reconfiguration", "exit of arrange", "arrange of reconfiguration", "await plan of reconfiguration",
			"preemption_noticed of reconfiguration", "plan of reconfiguration", "reconfiguration")
		ids := make(map[string]bool)
		var outcomes []string
		for _, x := range s.sink.spans {
			if ids[x.SpanContext().SpanID().String()] {
				t.Errorf("%s is said twice", x.Name())
			}
			ids[x.SpanContext().SpanID().String()] = true
			for _, a := range x.Attributes() {
				if x.Name() == "reconfiguration" && a.Key == "spotserve.outcome" {
					outcomes = append(outcomes, a.Value.AsString())
				}
			}
		}
		if !slices.Equal(outcomes, []string{"serving", "called off", "called off", "serving"}) {
			t.Errorf("the outcomes are %q", outcomes)
		}
	})
}

// TestAnEnginesAnswersEndAPrefill, of those whose first token is in them.
func TestAnEnginesAnswersEndAPrefill(t *testing.T) {
	step := func(n uint64, sample bool) engineop.Compute {
		return engineop.Compute{Epoch: epoch1, Step: n, Sequences: []engineop.Sequence{{Request: 7, Sample: sample}}}
	}
	got := play(t, 1, func(s *stage) {
		w := spans.NewWorker(s.tracer, "run", "node-0", s.clock, &timetable{vtime.Never})
		s.step(w, "planner", bus.TraceContext{}, apply)
		s.step(w, "planner", bus.TraceContext{}, event.AssignRequests{Epoch: epoch1, Requests: []event.AssignedRequest{{Request: 7}}})
		s.step(w, "node-0", bus.TraceContext{}, event.TimerFired{}, event.RequestsJoined{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}}, step(1, false))
		time.Sleep(2 * time.Second) // a part of the prompt
		s.step(w, "node-0/engine", bus.TraceContext{}, engineop.Computed{Epoch: epoch1, Step: 1}, step(2, true))
		time.Sleep(time.Second) // the rest, and the first token
		s.step(w, "node-0/engine", bus.TraceContext{}, engineop.Computed{Epoch: epoch1, Step: 2}, step(3, true))
		time.Sleep(5 * time.Second)
		s.step(w, "node-0/engine", bus.TraceContext{}, engineop.Computed{Epoch: epoch1, Step: 3}, event.RequestsLeft{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}})
	})
	took := make(map[string]time.Duration)
	for _, x := range got.spans {
		took[x.Name()] = x.EndTime().Sub(x.StartTime())
	}
	if took["prefill"] != 3*time.Second || took["decode"] != 5*time.Second || took["compute"] != 8*time.Second || took["batch"] != 8*time.Second {
		t.Errorf("it takes %v; want prefill 3 s, decode 5 s, the whole 8 s", took)
	}
}

// TestWhatALostNodeHad is told as lost.
func TestWhatALostNodeHad(t *testing.T) {
	got := play(t, 1, func(s *stage) {
		core := new(core)
		p, w := spans.NewPlanner(s.tracer, "run", s.clock, core), spans.NewWorker(s.tracer, "run", "node-0", s.clock, &timetable{})
		core.stage, core.plans = planner.Starting, 1
		plan := s.step(p, "planner", bus.TraceContext{}, event.TimerFired{}, chosen, apply)[1]
		s.step(w, "planner", plan, apply)
		s.step(p, event.SourceReplayer, bus.TraceContext{}, event.RequestArrived{Request: 7})
		assign := event.AssignRequests{Epoch: epoch1, Requests: []event.AssignedRequest{{Request: 7}}}
		s.step(w, "planner", s.step(p, "node-0", bus.TraceContext{}, event.BatchCompleted{}, assign)[0], assign)
		s.step(w, "node-0", bus.TraceContext{}, event.TimerFired{}, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}})
		core.stage = planner.Steady
		lost := event.InstanceLost{Nodes: []string{"node-0"}}
		s.step(p, event.SourceReplayer, bus.TraceContext{}, lost)
		s.step(w, event.SourceReplayer, bus.TraceContext{}, lost)
		s.step(p, event.SourceReplayer, bus.TraceContext{}, event.RunEnded{}, event.RequestUnfinished{Record: event.RequestRecord{Request: 7}}, event.RunFinished{})
		_ = s.step(w, "planner", bus.TraceContext{}, event.AssignRequests{Epoch: epoch1, Requests: []event.AssignedRequest{{Request: 9}}}) // of a line that is gone
	})
	for _, want := range []string{"start pipeline of reconfiguration: node lost", "migrate of plan: the node was lost", "interrupted of request"} {
		if !slices.Contains(got.lines(), want) {
			t.Errorf("nobody says %q in %q", want, got.lines())
		}
	}
}
