// Package effect is what a core asks of its driver. A driver (core/sim, or
// platform/actor on the bus) carries effects out in the order given.
package effect

import (
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// Effect is Publish or SetTimer.
type Effect interface{ effect() }

// Publish puts an event on the run's stream. An event with a To is delivered to
// that node; any other is a fact that everyone may read.
type Publish struct{ Event event.Event }

// SetTimer asks for a TimerFired{Timer, Completion} at At. It replaces an
// earlier timer of the same name; At = vtime.Never takes the timer back.
type SetTimer struct {
	Timer      string
	At         vtime.Time
	Completion bool // ends a batch: goes before everything else of its instant
}

func (Publish) effect()  {}
func (SetTimer) effect() {}
