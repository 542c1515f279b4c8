package spans

import (
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/trace"
)

func TestBaggage(t *testing.T) {
	a, _ := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	b := a.Place("b")
	var out strings.Builder
	baggage(&out, 1, a)
	baggage(&out, 1<<62, b)
	got := make(map[event.RequestID]trace.Context)
	// Others may have put something of theirs in it.
	readBaggage("user=me, "+out.String()+";property=1,r=x,r-1="+a.String()+",r2=nothing,,", func(id event.RequestID, c trace.Context) { got[id] = c })
	if len(got) != 2 || got[1] != a || got[1<<62] != b {
		t.Errorf("read are %v", got)
	}
}

// FuzzBaggage: whatever comes, what is read names spans.
func FuzzBaggage(f *testing.F) {
	f.Add("r1=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01,r2=")
	f.Fuzz(func(t *testing.T, text string) {
		readBaggage(text, func(_ event.RequestID, c trace.Context) {
			if !c.Trace.IsValid() || !c.Span.IsValid() {
				t.Errorf("%q has %s in it", text, c)
			}
		})
	})
}
