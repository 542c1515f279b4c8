package bustest

import (
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/bus"
)

// traceContextIsKept: whichever way a message goes in and comes out.
func traceContextIsKept(t *testing.T, open New) {
	b := start(t, open, Options{})
	full := bus.TraceContext{
		Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Baggage: "r1=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01,r2=x",
	}
	sent := []bus.TraceContext{
		full, {}, {Trace: full.Trace}, {Baggage: full.Baggage},
		{Trace: full.Trace, Baggage: strings.Repeat("b", bus.MaxTraceContext)}, // too long
	}
	const subject = "spot.run.r.fleet.x"
	for i, trace := range sent {
		m := bus.Outgoing{Subject: subject, Data: payload(i), TraceContext: trace}
		var err error
		switch i % 3 {
		case 0:
			err = b.Publish(within(t), m)
		case 1:
			_, err = b.PublishWait(within(t), m)
		default:
			_, err = b.Append(within(t), m, uint64(i))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(sent)
	want[len(want)-1] = bus.TraceContext{}
	followed := take(t, follow(t, b, bus.Runs, bus.Position{}).C(), len(want))
	consumed := take(t, consume(t, b, "reader", subject).C(), len(want))
	for i, w := range want {
		if got := followed[i].TraceContext; got != w {
			t.Errorf("message %d is followed with %+v; want %+v", i, got, w)
		}
		if got := consumed[i].TraceContext; got != w {
			t.Errorf("message %d is consumed with %+v; want %+v", i, got, w)
		}
	}
	if err := b.Publish(within(t), bus.Outgoing{Subject: subject, TraceContext: full}); err != nil {
		t.Fatal(err)
	}
	if err := b.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	m, _, err := b.Newest(within(t), bus.Runs, subject)
	if err != nil || m.TraceContext != full {
		t.Errorf("the newest message has %+v, %v; want %+v", m.TraceContext, err, full)
	}
}
