package planner_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// limited makes a run that computes tokens and takes two requests of users a
// second, three at once.
func limited(s *experiment.Spec) {
	computing(s)
	s.Limits = experiment.DefaultLimits()
	s.Limits.RequestsPerSecond, s.Limits.Burst = 2, 3
}

// ofUsers is a request under an id like those of users.
func ofUsers(n uint64) event.RequestArrived {
	id := event.RequestID(1<<62 | n*0x9E3779B97F4A7C15>>2)
	return event.RequestArrived{Request: id, OutputTokens: 5, Prompt: &experiment.Prompt{Name: fmt.Sprint("a", n), Tokens: []int32{1, 2, 3}}}
}

// TestRefusesWhatIsBeyondTheLimits with the reason, and takes it when it comes again
// later; the experiment's own requests are not bounded.
func TestRefusesWhatIsBeyondTheLimits(t *testing.T) {
	d := serving(t, limited)
	for n := range uint64(5) {
		d.from(event.SourceUser, 11, ofUsers(n))
	}
	if c := d.planner.Counts(); c.Refused != 2 {
		t.Fatalf("%d of five at once are refused", c.Refused)
	}
	refused := last[event.RequestRefused](d)
	if want := "2 a second, 3 at once"; refused.Request != ofUsers(4).Request || refused.Name != "a4" || !strings.Contains(refused.Reason, want) {
		t.Errorf("%+v, want %s", refused, want)
	}
	d.from(event.SourceReplayer, 11, event.RequestArrived{Request: 1, PromptTokens: 3, OutputTokens: 5}, event.RequestArrived{Request: 2, PromptTokens: 3, OutputTokens: 5})
	d.from(event.SourceUser, 12, ofUsers(4), ofUsers(4)) // again, and twice
	if c := d.planner.Counts(); c.Refused != 2 {
		t.Errorf("then %d are refused", c.Refused)
	}
	long := ofUsers(9)
	long.Prompt = &experiment.Prompt{Text: strings.Repeat("x", experiment.DefaultLimits().PromptBytes+1)}
	long.PromptTokens = 0
	d.from(event.SourceUser, 13, long)
	if got := last[event.RequestRefused](d); !strings.Contains(got.Reason, "131072") {
		t.Errorf("%s", got.Reason)
	}
}

// TestAFloodOfRequestsLeavesNothing: the planner's memory does not grow with the
// requests that it refuses, whatever is wrong with them.
func TestAFloodOfRequestsLeavesNothing(t *testing.T) {
	d := serving(t, limited)
	flawed := ofUsers(0)
	flawed.Prompt = &experiment.Prompt{Flaw: "no JSON"}
	seq, at := uint64(1000), vtime.Seconds(20)
	flood := func(n int) {
		var effects []effect.Effect
		for i := range n {
			seq, at = seq+1, at+100
			b := ofUsers(seq)
			if i%2 == 0 {
				b.Prompt = flawed.Prompt
			}
			effects = d.planner.Step(at, event.Event{Run: "run", Source: event.SourceUser, Seq: seq, Time: at, Body: b})
		}
		if refused, ok := effects[len(effects)-1].Event.Body.(event.RequestRefused); !ok || refused.Reason == "" {
			t.Errorf("the last one has the answer %+v", effects)
		}
	}
	flood(1_000)
	before := heap()
	const n = 1_000_000
	flood(n)
	if grown := heap() - before; grown > 256<<10 {
		t.Errorf("%d refused requests leave %d bytes", n, grown)
	}
	if c := d.planner.Counts(); c.Refused < n-10 {
		t.Errorf("%d are refused", c.Refused)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(min(m.HeapAlloc, math.MaxInt64))
}
