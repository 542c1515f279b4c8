// Package effect is what a core asks of its driver. A driver (core/sim, or
// platform/actor on the bus) carries effects out in the order given.
package effect

import (
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// Effect is an event to publish, a timer to set or an operation of the engine. It
// is one struct, not an interface of three: a core makes many, and these need no
// allocation each.
type Effect struct {
	// Event goes on the run's stream. With a To it is delivered to that node;
	// without one it is a fact that everyone may read. It has no Body if the
	// effect is a timer.
	Event event.Event
	Timer SetTimer
	// Engine is for the node's own engine; nil if the effect is something else.
	Engine engineop.Op
}

// Publishes reports whether the effect is an event to publish.
func (e *Effect) Publishes() bool { return e.Event.Body != nil }

// SetTimer asks for a TimerFired{Timer, Completion} at At. It replaces an
// earlier timer of the same name; At = vtime.Never takes the timer back.
type SetTimer struct {
	Timer      string
	At         vtime.Time
	Completion bool // ends a batch: goes before everything else of its instant
}
