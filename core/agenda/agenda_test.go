package agenda_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

func arrival(at vtime.Time, seq uint64) event.Event {
	return event.Event{Source: "replayer", Seq: seq, Time: at, Body: event.RequestArrived{Request: event.RequestID(seq)}}
}

// popAll empties a, one line an event.
func popAll(a *agenda.Agenda) []string {
	var out []string
	for a.NextTime() != vtime.Never {
		ev := a.Pop()
		what := string(ev.Body.Kind())
		if timer, ok := ev.Body.(event.TimerFired); ok {
			what = timer.Timer
		}
		out = append(out, fmt.Sprintf("%d %s", ev.Time, what))
	}
	return out
}

func TestEventsAndTimersComeInTheDeclaredOrder(t *testing.T) {
	a := agenda.New("planner")
	a.Set("run", effect.SetTimer{Timer: "plan", At: 5})
	a.Set("run", effect.SetTimer{Timer: "batch", At: 5, Completion: true})
	a.Push(arrival(5, 2))
	a.Push(arrival(3, 1))
	want := []string{"3 request_arrived", "5 batch", "5 request_arrived", "5 plan"}
	if got := popAll(a); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTimersAreReplacedAndTakenBack(t *testing.T) {
	set := func(name string, at vtime.Time) effect.SetTimer { return effect.SetTimer{Timer: name, At: at} }
	for _, tt := range []struct {
		name string
		sets []effect.SetTimer
		want []string
	}{
		{"later", []effect.SetTimer{set("a", 1), set("a", 3)}, []string{"3 a"}},
		{"earlier", []effect.SetTimer{set("a", 3), set("a", 1)}, []string{"1 a"}},
		{"same instant", []effect.SetTimer{set("a", 3), set("a", 3)}, []string{"3 a"}},
		{"taken back", []effect.SetTimer{set("a", 3), set("b", 4), set("a", vtime.Never)}, []string{"4 b"}},
		{"never set", []effect.SetTimer{set("a", vtime.Never)}, nil},
		{"set again", []effect.SetTimer{set("a", 3), set("a", vtime.Never), set("a", 3)}, []string{"3 a"}},
	} {
		a := agenda.New("planner")
		for _, s := range tt.sets {
			a.Set("run", s)
		}
		if got := popAll(a); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestATimerIsAnEventOfItsOwner(t *testing.T) {
	a := agenda.New("node-3")
	a.Set("run-7", effect.SetTimer{Timer: "batch/0", At: 9, Completion: true})
	want := event.Event{
		Run: "run-7", Source: "node-3/timer", Seq: 1, Time: 9, Version: event.SchemaVersion,
		Body: event.TimerFired{Timer: "batch/0", Completion: true},
	}
	if next, ok := a.Next(); !ok || next != want {
		t.Errorf("next is %+v, want %+v", next, want)
	}
	if got := a.Pop(); got != want {
		t.Errorf("popped %+v, want %+v", got, want)
	}
	if _, ok := a.Next(); ok || a.NextTime() != vtime.Never {
		t.Error("an empty agenda has something next")
	}
}

// naive is an agenda as a list that is sorted whenever something is taken.
type naive struct {
	events []event.Event
	timers map[string]event.Event
	sets   uint64
}

func (n *naive) set(s effect.SetTimer) {
	delete(n.timers, s.Timer)
	if s.At == vtime.Never {
		return
	}
	n.sets++
	n.timers[s.Timer] = event.Event{
		Source: "x/timer", Seq: n.sets, Time: s.At, Version: event.SchemaVersion,
		Body: event.TimerFired{Timer: s.Timer, Completion: s.Completion},
	}
}

func (n *naive) pop() (event.Event, bool) {
	all := slices.Clone(n.events)
	for _, t := range n.timers {
		all = append(all, t)
	}
	if len(all) == 0 {
		return event.Event{}, false
	}
	first := slices.MinFunc(all, event.Compare)
	if timer, ok := first.Body.(event.TimerFired); ok {
		delete(n.timers, timer.Timer)
	} else {
		n.events = slices.DeleteFunc(n.events, func(e event.Event) bool { return e.ID() == first.ID() })
	}
	return first, true
}

func TestAgendaAgreesWithItsNaiveTwin(t *testing.T) {
	r := draw.Stream(1, "agenda")
	a, n := agenda.New("x"), &naive{timers: make(map[string]event.Event)}
	for step := range uint64(20_000) {
		at := vtime.Time(r.IntN(10))
		switch r.IntN(4) {
		case 0:
			a.Push(arrival(at, step))
			n.events = append(n.events, arrival(at, step))
		case 1, 2:
			s := effect.SetTimer{Timer: string(rune('a' + r.IntN(5))), At: at, Completion: r.IntN(2) == 0}
			if r.IntN(3) == 0 {
				s.At = vtime.Never
			}
			a.Set("", s)
			n.set(s)
		case 3:
			want, ok := n.pop()
			if got, has := a.Next(); has != ok || got != want {
				t.Fatalf("step %d: next is %+v, want %+v", step, got, want)
			}
			if ok {
				a.Pop()
			}
		}
	}
}
