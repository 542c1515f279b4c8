package actor

import (
	"log/slog"
	"testing"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/bus"
)

// echo is a core that answers everything with one fact, without an allocation.
type echo struct{ effects []effect.Effect }

func (e *echo) Step(vtime.Time, event.Event) []effect.Effect { return e.effects }

// observer is a Tracer that remembers what it was called with.
type observer struct{ calls []string }

func (o *observer) Read(ev event.Event, _ bus.Message) { o.note("read", ev) }
func (o *observer) Begin(ev event.Event)               { o.note("begin", ev) }
func (o *observer) Took(ev event.Event, effects []effect.Effect, replayed bool) {
	if replayed || len(effects) != 1 {
		o.calls = append(o.calls, "something else")
	}
	o.note("took", ev)
}

func (o *observer) Context(ev event.Event) bus.TraceContext {
	o.note("context", ev)
	return bus.TraceContext{Trace: "of " + ev.ID().String()}
}

func (o *observer) note(what string, ev event.Event) {
	o.calls = append(o.calls, what+" "+ev.ID().String())
}

func stepper(t Tracer) (*actor, event.Event) {
	said := effect.Effect{Event: event.Event{Run: "r", Source: "node-0", Seq: 2, Body: event.BatchCompleted{}}}
	a := &actor{
		Options: Options{Run: "r", Name: "node-0", Log: slog.New(slog.DiscardHandler), Core: &echo{[]effect.Effect{said}}, Trace: t},
		agenda:  agenda.New("node-0"), role: &workerRole{},
	}
	return a, event.Event{Run: "r", Source: event.SourcePlanner, Seq: 1, Body: event.AssignRequests{}}
}

// TestAStepWithoutATracerAllocatesNothing beyond what its core does.
func TestAStepWithoutATracerAllocatesNothing(t *testing.T) {
	a, ev := stepper(nil)
	a.step(ev)
	if n := testing.AllocsPerRun(100, func() {
		a.outbox = a.outbox[:0]
		a.step(ev)
	}); n != 0 {
		t.Errorf("%v allocations a step, want none", n)
	}
}

func TestATracerSeesAStepFromBothSides(t *testing.T) {
	o := new(observer)
	a, ev := stepper(o)
	a.step(ev)
	want := []string{"begin planner/1", "took planner/1", "context node-0/2"}
	if len(o.calls) != len(want) || o.calls[0] != want[0] || o.calls[1] != want[1] || o.calls[2] != want[2] {
		t.Errorf("it sees %q, want %q", o.calls, want)
	}
	if got := a.outbox[0].trace.Trace; got != "of node-0/2" {
		t.Errorf("the fact goes with %q", got)
	}
}

// BenchmarkStep is one step of an actor whose core does nothing: go test -bench Step
// -benchmem ./platform/actor. Without a tracer it allocates nothing.
func BenchmarkStep(b *testing.B) {
	for name, tracer := range map[string]Tracer{"off": nil, "on": silent{}} {
		b.Run("tracing "+name, func(b *testing.B) {
			a, ev := stepper(tracer)
			b.ReportAllocs()
			for b.Loop() {
				a.outbox = a.outbox[:0]
				a.step(ev)
			}
		})
	}
}

// silent is a Tracer that does nothing: what the hook itself costs.
type silent struct{}

func (silent) Read(event.Event, bus.Message)            {}
func (silent) Begin(event.Event)                        {}
func (silent) Took(event.Event, []effect.Effect, bool)  {}
func (silent) Context(event.Event) (t bus.TraceContext) { return t }
