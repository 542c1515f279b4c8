package spans

import (
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/trace"
)

// Publish has an event published, by publish, that was due at a wall time. A request
// gets the first spans of its trace.
func Publish(t *trace.Tracer, ev event.Event, due time.Time, publish func(bus.TraceContext) error) error {
	arrived, ok := ev.Body.(event.RequestArrived)
	if !ok || !t.On() {
		return publish(bus.TraceContext{})
	}
	request := t.Request(ev.Run, arrived.Request, trace.Context{})
	if !request.Sampled {
		return publish(bus.TraceContext{})
	}
	span := trace.Span{
		Context: request.Place("publish"), Parent: request.Span, Name: "publish", Kind: trace.Producer, Start: due,
		Attributes: append(ofRequest(ev.Run, arrived.Request), instant("time", ev.Time)...),
	}
	err := publish(bus.TraceContext{Trace: span.String()})
	if span.End = time.Now(); err != nil {
		span.Error = err.Error()
	}
	t.Say(span)
	return err
}

// Stored says when what messages tell of is stored. The zero value, and one without
// a tracer, says nothing.
type Stored struct {
	Tracer *trace.Tracer
	inHand []trace.Span
}

// Take sees a message that becomes rows.
func (s *Stored) Take(ev event.Event, m bus.Message) {
	if !s.Tracer.On() || m.Trace == "" {
		return
	}
	cause, ok := trace.Parse(m.Trace)
	if !ok || !cause.Sampled {
		return
	}
	s.inHand = append(s.inHand, trace.Span{
		Context: cause.Place("stored", string(ev.Body.Kind()), ev.ID().String()), Parent: cause.Span, Name: "stored",
		Kind: trace.Consumer, Start: time.Now(),
		Attributes: append(instant("time", ev.Time), ofRun(ev.Run), text("kind", string(ev.Body.Kind())), number("stream_seq", m.Seq)),
	})
}

// Done says that all that was taken so far is stored.
func (s *Stored) Done() {
	for i, span := range s.inHand {
		span.End = time.Now()
		s.Tracer.Say(span)
		s.inHand[i] = trace.Span{}
	}
	s.inHand = s.inHand[:0]
}
