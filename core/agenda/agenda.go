// Package agenda keeps what a core has to take next: events that were delivered
// ahead of their time, and the core's own timers, in the declared order.
//
// The simulator and the live actor both drive their cores from an agenda, so
// both take the same events in the same order.
package agenda

import (
	"container/heap"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// Agenda is the future of one core. The zero value is not usable; use New.
type Agenda struct {
	source string
	items  items
	timers map[string]uint64 // the live setting of each timer, by its number
	sets   uint64
}

type item struct {
	event event.Event
	timer string // name, if it is a timer
}

// New returns an empty agenda of the core that calls itself source.
func New(source string) *Agenda {
	return &Agenda{source: source, timers: make(map[string]uint64)}
}

// Push adds an event for its Time.
func (a *Agenda) Push(ev event.Event) { heap.Push(&a.items, item{event: ev}) }

// Set sets, moves or takes back a timer.
func (a *Agenda) Set(run string, t effect.SetTimer) {
	if t.At == vtime.Never {
		delete(a.timers, t.Timer)
		return
	}
	a.sets++
	a.timers[t.Timer] = a.sets
	heap.Push(&a.items, item{timer: t.Timer, event: event.Event{
		Run: run, Source: a.source + "/timer", Seq: a.sets, Time: t.At, Version: event.SchemaVersion,
		Body: event.TimerFired{Timer: t.Timer, Completion: t.Completion},
	}})
}

// Fired takes a timer back that fired elsewhere, unless it has been set anew
// since.
func (a *Agenda) Fired(timer string, number uint64) {
	if a.timers[timer] == number {
		delete(a.timers, timer)
	}
}

// Next returns what comes first without taking it.
func (a *Agenda) Next() (ev event.Event, ok bool) {
	a.dropStale()
	if len(a.items) == 0 {
		return event.Event{}, false
	}
	return a.items[0].event, true
}

// NextTime is the Time of Next; vtime.Never if there is nothing.
func (a *Agenda) NextTime() vtime.Time {
	ev, ok := a.Next()
	if !ok {
		return vtime.Never
	}
	return ev.Time
}

// Pop takes what comes first. It panics on an empty agenda, like a slice.
func (a *Agenda) Pop() event.Event {
	a.dropStale()
	it := heap.Pop(&a.items).(item)
	if it.timer != "" {
		delete(a.timers, it.timer)
	}
	return it.event
}

// dropStale removes timers from the top that were moved or taken back.
func (a *Agenda) dropStale() {
	for len(a.items) > 0 && a.items[0].timer != "" && a.timers[a.items[0].timer] != a.items[0].event.Seq {
		heap.Pop(&a.items)
	}
}

type items []item

func (h items) Len() int           { return len(h) }
func (h items) Less(i, j int) bool { return event.Compare(h[i].event, h[j].event) < 0 }
func (h items) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *items) Push(x any)        { *h = append(*h, x.(item)) }

func (h *items) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = item{}
	*h = old[:len(old)-1]
	return it
}
