package effect

import (
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// Emitter numbers and collects the effects of one core.
type Emitter struct {
	Run    string
	Source string
	Now    vtime.Time
	Cause  event.ID
	// After is the number before the first event's.
	After uint64

	seq uint64
	out []Effect
}

// Fact publishes body, to be taken at the instant at.
func (e *Emitter) Fact(at vtime.Time, body event.Body) { e.publish("", at, body) }

// Command sends body to a node, to be taken at the instant at.
func (e *Emitter) Command(node string, at vtime.Time, body event.Body) { e.publish(node, at, body) }

// Timer sets a timer.
func (e *Emitter) Timer(name string, at vtime.Time) {
	e.out = append(e.out, Effect{Timer: SetTimer{Timer: name, At: at}})
}

// Completion sets the timer that ends a batch.
func (e *Emitter) Completion(name string, at vtime.Time) {
	e.out = append(e.out, Effect{Timer: SetTimer{Timer: name, At: at, Completion: true}})
}

// Do asks the node's engine for something.
func (e *Emitter) Do(op engineop.Op) { e.out = append(e.out, Effect{Engine: op}) }

// Take returns the effects collected since the last call. They are valid until
// the emitter collects again: a driver carries them out before the next step.
func (e *Emitter) Take() []Effect {
	out := e.out
	e.out = e.out[:0]
	return out
}

func (e *Emitter) publish(to string, at vtime.Time, body event.Body) {
	e.seq++
	e.out = append(e.out, Effect{Event: event.Event{
		Run: e.Run, Source: e.Source, Seq: e.After + e.seq, To: to, Time: at, Cause: e.Cause,
		Version: event.SchemaVersion, Body: body,
	}})
}
