package parity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/test/internal/otlp"
)

// all sends the spans of every service to one place.
func all(to sdk.SpanExporter) func(string) sdk.SpanExporter {
	return func(string) sdk.SpanExporter { return to }
}

// TestTracesAreWhole: every trace is one tree of spans that were said once, none of
// which begins before what it belongs to; there is one of every request and of every
// reconfiguration.
func TestTracesAreWhole(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			memory := new(otlp.Memory)
			events, _ := cast{spans: all(memory)}.play(t, s.start("spotserve"))
			trees, err := otlp.Whole(memory.Spans())
			if err != nil {
				t.Fatal(err)
			}
			said := make(map[string]bool)
			for _, x := range memory.Spans() {
				if said[x.Trace+x.ID] {
					t.Errorf("span %s %s is said twice", x.Name, x.ID)
				}
				said[x.Trace+x.ID] = true
			}
			roots := make(map[string]int)
			for _, tree := range trees {
				roots[tree.Name]++
			}
			want, batches := make(map[string]int), make(map[[2]uint64]bool)
			for _, ev := range events {
				switch b := ev.Body.(type) {
				case event.RequestArrived:
					want["request"]++
				case event.ConfigChosen:
					want["reconfiguration"]++
				case event.BatchStarted:
					batches[[2]uint64{b.Epoch.N<<32 | uint64(b.Pipeline), b.Batch}] = true
				case event.RequestsJoined:
					batches[[2]uint64{b.Epoch.N<<32 | uint64(b.Pipeline), b.Batch}] = true
				}
			}
			want["batch"] = len(batches)
			for name, n := range want {
				if roots[name] != n || n == 0 {
					t.Errorf("%d traces of a %s, want %d", roots[name], name, n)
				}
			}
		})
	}
}

// TestTakeoverKeepsTheTraces: a planner dies, with its newest spans, or sleeps until
// long after another was elected. Spans and their ids are those of a run in which
// nothing happens.
func TestTakeoverKeepsTheTraces(t *testing.T) {
	start := scenes[0].start("spotserve")
	calm := new(otlp.Memory)
	cast{spans: all(calm)}.play(t, start)
	said := plannerMessages(t, start)
	for i := range 8 {
		after := 1 + said*i/8
		t.Run(fmt.Sprintf("dies after %d", after), func(t *testing.T) {
			t.Parallel()
			memory, first := new(otlp.Memory), &mortalBus{left: after}
			exporters := []sdk.SpanExporter{&mortalExporter{Memory: memory, bus: first}}
			troubled := cast{
				planners: []func(bus.Bus) bus.Bus{func(b bus.Bus) bus.Bus { first.Bus = b; return first }, lives},
				spans: func(service string) sdk.SpanExporter {
					if service != "planner" || len(exporters) == 0 {
						return memory
					}
					defer func() { exporters = nil }()
					return exporters[0]
				},
			}
			troubled.play(t, start)
			mustHaveSameSpans(t, memory.Spans(), calm.Spans())
		})
		t.Run(fmt.Sprintf("sleeps after %d", after), func(t *testing.T) {
			t.Parallel()
			memory := new(otlp.Memory)
			cast{planners: []func(bus.Bus) bus.Bus{sleeps(after), lives}, spans: all(memory)}.play(t, start)
			mustHaveSameSpans(t, memory.Spans(), calm.Spans())
		})
	}
}

// mortalExporter dies with a process: what had not been sent by then is lost.
type mortalExporter struct {
	*otlp.Memory
	bus *mortalBus
}

func (e *mortalExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if dead := e.bus.spend(0); dead == nil {
		return e.Memory.ExportSpans(ctx, spans)
	}
	return nil
}

func mustHaveSameSpans(t *testing.T, got, want []otlp.Span) {
	t.Helper()
	names := func(spans []otlp.Span) map[string]string {
		out := make(map[string]string)
		for _, s := range spans {
			out[s.Trace+"/"+s.ID+" below "+s.Parent] = s.Name
		}
		return out
	}
	without := func(a, b map[string]string) (out []string) {
		for id, name := range a {
			if b[id] != name {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return out
	}
	g, w := names(got), names(want)
	if missing, more := without(w, g), without(g, w); len(missing)+len(more) > 0 {
		t.Errorf("missing are: %s; too many are: %s", strings.Join(missing, ", "), strings.Join(more, ", "))
	}
}
