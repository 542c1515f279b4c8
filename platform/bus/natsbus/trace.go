package natsbus

import (
	"github.com/nats-io/nats.go"

	"github.com/spotserve/spotserve/platform/bus"
)

// The headers of a message's trace context (W3C Trace Context and W3C Baggage). NATS
// tells the case of headers apart, and its clients write both.
const (
	headerTrace        = "traceparent"
	headerBaggage      = "baggage"
	headerTraceTitle   = "Traceparent"
	headerBaggageTitle = "Baggage"
)

func putTrace(to nats.Header, t bus.TraceContext) {
	t = t.Bounded()
	if t.Trace != "" {
		to[headerTrace] = []string{t.Trace}
	}
	if t.Baggage != "" {
		to[headerBaggage] = []string{t.Baggage}
	}
}

func traceOf(h nats.Header) bus.TraceContext {
	if len(h) == 0 {
		return bus.TraceContext{}
	}
	return bus.TraceContext{
		Trace: first(h, headerTrace, headerTraceTitle), Baggage: first(h, headerBaggage, headerBaggageTitle),
	}.Bounded()
}

// first is the value of the first of the keys that has one.
func first(h nats.Header, keys ...string) string {
	for _, k := range keys {
		if v := h[k]; len(v) > 0 && v[0] != "" {
			return v[0]
		}
	}
	return ""
}
