package exactness

import (
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
)

// TestRequestsOfUsers: what a model cannot compute is refused with the reason, and
// disturbs nobody.
func TestRequestsOfUsers(t *testing.T) {
	t.Parallel()
	s := small()
	s.requests = 20
	l := newLocal(t)
	c := begin(t, l.bus, "exactness-1", s)
	c.add(nodes()...)
	c.refill()
	c.settled(0)
	wanted := map[string]string{
		`{"id": "beyond the context", "tokens": [` + strings.Repeat("1, ", s.shape.Context) + `1], "max_tokens": 2}`: "161 prompt and 2 output tokens",
		`{"id": "beyond the vocabulary", "tokens": [1, 211], "max_tokens": 2}`:                                       "0 to 210",
		`{"id": "text without a tokenizer", "prompt": "Hello", "max_tokens": 2}`:                                     "tokenizer",
		`{"id": "neither", "max_tokens": 2}`:                                                                         "prompt",
		`{"id": "good", "tokens": [1, 2, 3], "max_tokens": 5}`:                                                       "[",
		`{"id": "sampled", "tokens": [1, 2, 3], "max_tokens": 5, "temperature": 1.5, "seed": 3, "top_k": 10}`:        "[",
	}
	for text := range wanted {
		if _, err := l.bus.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run." + c.run + ".request.arrived", Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	c.await("all users have an answer", func() bool { return len(c.users) == len(wanted) })
	for text, want := range wanted {
		id := strings.Split(text, `"`)[3]
		if got := c.users[id]; !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	c.changed = true
	c.await("all requests are answered", func() bool { return c.draining() && len(c.answers) == len(c.asked) })
	c.say(event.RunEnded{Reason: event.EndOfTrace})
	c.await("the run is finished", func() bool { return c.finished != nil })
	if f := c.finished; f.Lost != 0 || f.Completed != len(c.asked)+2 {
		t.Errorf("%d requests of the trace and 2 of users have answers; %+v", len(c.asked), *f)
	}
}
