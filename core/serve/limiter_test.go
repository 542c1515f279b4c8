package serve_test

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/vtime"
)

func TestLimiterSaysWhatIsAllowed(t *testing.T) {
	limits := experiment.Limits{PromptBytes: 5, PromptTokens: 2, Waiting: 3, RequestsPerSecond: 2, Burst: 4}
	asked := func(p *experiment.Prompt) event.RequestArrived { return event.RequestArrived{Prompt: p} }
	text := asked(&experiment.Prompt{Text: "hello"})
	for _, tt := range []struct {
		name    string
		b       event.RequestArrived
		waiting int
		want    string // empty: taken
	}{
		{"a text as long as allowed", text, 2, ""},
		{"tokens as many as allowed", asked(&experiment.Prompt{Tokens: []int32{1, 2}}), 0, ""},
		{"a text too long", asked(&experiment.Prompt{Text: "hello!"}), 0, "the prompt has 6 bytes: the run allows 5"},
		{"too many tokens", asked(&experiment.Prompt{Tokens: make([]int32, 3)}), 0, "the prompt has 3 tokens: the run allows 2"},
		{"too many wait", text, 3, "3 requests wait: the run lets 3 wait"},
	} {
		if got := serve.NewLimiter(limits).Admit(tt.b, 0, tt.waiting); tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	l := serve.NewLimiter(limits)
	for i, want := range []bool{true, true, true, true, false, false} {
		if got := l.Admit(text, seconds(1), 0); (got == "") != want {
			t.Errorf("request %d at once: %q", i, got)
		} else if !want && !strings.Contains(got, "2 a second, 4 at once") {
			t.Errorf("request %d: %q", i, got)
		}
	}
	for _, tt := range []struct {
		at   float64
		want bool
	}{{1.49, false}, {1.5, true}, {1.6, false}, {2.5, true}, {2.5, true}, {2.5, false}} {
		if got := l.Admit(text, seconds(tt.at), 0); (got == "") != tt.want {
			t.Errorf("at %v s: %q", tt.at, got)
		}
	}
	none := serve.NewLimiter(experiment.Limits{})
	for range 1000 {
		if got := none.Admit(asked(&experiment.Prompt{Text: strings.Repeat("x", 1000)}), 0, 1<<30); got != "" {
			t.Fatalf("without limits: %q", got)
		}
	}
}

// TestLimiterAgreesWithABucket of tokens that are counted one by one.
func TestLimiterAgreesWithABucket(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		every, burst := vtime.Time(1+r.IntN(20)), 1+r.IntN(8) // a token each so many ticks
		const tick = 1_000_000_000 / 64
		l := serve.NewLimiter(experiment.Limits{Waiting: 1, Burst: burst, RequestsPerSecond: 64 / float64(every)})
		tokens, since, now := burst, vtime.Time(0), vtime.Time(0)
		for range 500 {
			now += vtime.Time(r.IntN(2 * int(every)))
			for ; since+every <= now && tokens < burst; since += every {
				tokens++
			}
			if tokens == burst {
				since = now // a full bucket begins to fill when one is taken
			}
			want := tokens > 0
			if want {
				tokens--
			}
			if got := l.Admit(event.RequestArrived{}, now*tick, 0) == ""; got != want {
				t.Fatalf("seed %d, a token each %d ticks, %d at most: at tick %d %t, want %t", seed, every, burst, now, got, want)
			}
		}
	}
}

// TestAMillionRefusedRequestsLeaveNothing behind that grows, and who keeps to the
// rate afterwards is served.
func TestAMillionRefusedRequestsLeaveNothing(t *testing.T) {
	l := serve.NewLimiter(experiment.DefaultLimits())
	at := vtime.Time(0)
	flood := func(n int) (refused int) {
		for range n {
			at += 100 // ns: ten million a second
			if l.Admit(event.RequestArrived{}, at, 0) != "" {
				refused++
			}
		}
		return refused
	}
	flood(10_000)
	before := heap()
	if refused := flood(1_000_000); refused < 999_000-100 {
		t.Errorf("%d of a million are refused", refused)
	}
	if grown := heap() - before; grown > 64<<10 {
		t.Errorf("a million refused requests leave %d bytes", grown)
	}
	if got := l.Admit(event.RequestArrived{}, at+seconds(0.011), 0); got != "" {
		t.Errorf("after the flood: %s", got)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
