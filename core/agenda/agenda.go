// Package agenda keeps what a core has to take next: events that were delivered
// ahead of their time, and the core's own timers, in the declared order.
//
// The simulator and the live actor both drive their cores from an agenda, so
// both take the same events in the same order.
package agenda

import (
	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// Agenda is the future of one core. The zero value is not usable; use New.
type Agenda struct {
	source string  // of the timers
	heap   []entry // the earliest first
	items  []item  // what the entries stand for
	free   []int   // places in items
	timers map[string]*timer
	recent [4]named // some of timers: a pipeline sets the same few again and again
	sets   uint64
}

type named struct {
	name  string
	timer *timer
}

// entry is what the heap orders by. It is small, because a heap moves its
// entries about; the item is looked at only between equals.
type entry struct {
	time  vtime.Time
	class event.Class
	item  int
}

type item struct {
	event event.Event
	timer *timer // nil for an event that was delivered
}

// timer is one name, whether or not it is set at present.
type timer struct {
	set   uint64 // number of the setting that counts; 0 for none
	fired event.TimerFired
	body  event.Body // fired, boxed once
}

// New returns an empty agenda of the core that calls itself source.
func New(source string) *Agenda {
	return &Agenda{source: source + "/timer", timers: make(map[string]*timer)}
}

// Push adds an event for its Time.
func (a *Agenda) Push(ev event.Event) { a.push(ev, nil) }

// Set sets, moves or takes back a timer.
func (a *Agenda) Set(run string, s effect.SetTimer) {
	t := a.timer(s.Timer)
	if s.At == vtime.Never {
		if t != nil {
			t.set = 0
		}
		return
	}
	if fired := (event.TimerFired{Timer: s.Timer, Completion: s.Completion}); t == nil {
		t = &timer{fired: fired, body: fired}
		a.timers[s.Timer] = t
	} else if t.fired != fired {
		t.fired, t.body = fired, fired
	}
	a.sets++
	t.set = a.sets
	a.push(event.Event{
		Run: run, Source: a.source, Seq: a.sets, Time: s.At, Version: event.SchemaVersion, Body: t.body,
	}, t)
}

// Fired takes a timer back that fired elsewhere, unless it has been set anew
// since.
func (a *Agenda) Fired(timer string, number uint64) {
	if t := a.timers[timer]; t != nil && t.set == number {
		t.set = 0
	}
}

// timer returns the timer of a name, nil if it was never set.
func (a *Agenda) timer(name string) *timer {
	for i := range a.recent {
		if r := &a.recent[i]; r.name == name {
			return r.timer
		}
	}
	t := a.timers[name]
	if t != nil {
		a.recent[a.sets%uint64(len(a.recent))] = named{name, t}
	}
	return t
}

// Next returns what comes first without taking it.
func (a *Agenda) Next() (ev event.Event, ok bool) {
	if !a.settle() {
		return event.Event{}, false
	}
	return a.items[a.heap[0].item].event, true
}

// NextTime is the Time of Next; vtime.Never if there is nothing.
func (a *Agenda) NextTime() vtime.Time {
	if !a.settle() {
		return vtime.Never
	}
	return a.heap[0].time
}

// Pop takes what comes first. It panics on an empty agenda, like a slice.
func (a *Agenda) Pop() event.Event {
	a.settle()
	first := &a.items[a.heap[0].item]
	if first.timer != nil {
		first.timer.set = 0
	}
	a.drop()
	return first.event // the place is free, and as it was
}

// settle removes timers from the top that were moved or taken back; ok is false
// if nothing is left.
func (a *Agenda) settle() (ok bool) {
	for len(a.heap) > 0 {
		first := &a.items[a.heap[0].item]
		if first.timer == nil || first.timer.set == first.event.Seq {
			return true
		}
		a.drop()
	}
	return false
}

func (a *Agenda) push(ev event.Event, t *timer) {
	place := len(a.items)
	if n := len(a.free); n > 0 {
		place, a.free = a.free[n-1], a.free[:n-1]
		a.items[place] = item{ev, t}
	} else {
		a.items = append(a.items, item{ev, t})
	}
	a.heap = append(a.heap, entry{ev.Time, event.ClassOf(ev.Body), place})
	a.up(len(a.heap) - 1)
}

// drop removes the top. Its item stays until the place is used again: there are
// as many places as the agenda ever had items, which are few.
func (a *Agenda) drop() {
	place, last := a.heap[0].item, len(a.heap)-1
	a.heap[0], a.heap = a.heap[last], a.heap[:last]
	a.down(0)
	a.free = append(a.free, place)
}

// less is event.Compare on entries.
func (a *Agenda) less(x, y entry) bool {
	if x.time != y.time {
		return x.time < y.time
	}
	if x.class != y.class {
		return x.class < y.class
	}
	return event.Compare(a.items[x.item].event, a.items[y.item].event) < 0
}

func (a *Agenda) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !a.less(a.heap[i], a.heap[parent]) {
			return
		}
		a.heap[i], a.heap[parent] = a.heap[parent], a.heap[i]
		i = parent
	}
}

func (a *Agenda) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(a.heap) {
			return
		}
		if right := child + 1; right < len(a.heap) && a.less(a.heap[right], a.heap[child]) {
			child = right
		}
		if !a.less(a.heap[child], a.heap[i]) {
			return
		}
		a.heap[i], a.heap[child] = a.heap[child], a.heap[i]
		i = child
	}
}
