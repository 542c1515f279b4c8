package wire_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/wire"
)

func userRequest(t *testing.T, seq uint64, text string) event.RequestArrived {
	t.Helper()
	subject := "spot.run.custom-3.request.arrived"
	if seq%2 == 0 { // where the trace's are
		subject = "spot.run.custom-3.request.request_arrived"
	}
	ev, err := wire.DecodeMessage(subject, seq, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if ev.Run != "custom-3" || ev.Seq != seq || !ev.FromOutside() {
		t.Errorf("%q comes as %+v", text, ev)
	}
	return ev.Body.(event.RequestArrived)
}

func TestUserRequest(t *testing.T) {
	temperature, topK, seed := float32(0.5), 40, uint64(1<<63)
	got := userRequest(t, 9, ` {"id":"a1","tokens":[1,2,3],"max_tokens":64,"temperature":0.5,"top_k":40,"seed":9223372036854775808,"stop":[7]}`)
	want := event.RequestArrived{
		Request: got.Request, PromptTokens: 3, OutputTokens: 64,
		Prompt: &experiment.Prompt{
			Name: "a1", Tokens: []int32{1, 2, 3}, Stop: []int32{7},
			Sampling: experiment.SamplingWish{Temperature: &temperature, TopK: &topK, Seed: &seed},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	again := userRequest(t, 12, `{"id":"a1","prompt":"other"}`)
	if again.Request != got.Request || again.Prompt.Text != "other" {
		t.Errorf("the same id is request %d with %+v, and was %d", again.Request, again.Prompt, got.Request)
	}
	unnamed, next := userRequest(t, 13, `{"prompt":"x"}`), userRequest(t, 14, `{"prompt":"x"}`)
	for _, id := range []event.RequestID{got.Request, unnamed.Request, next.Request} {
		if id < 1<<62 || id >= 1<<63 {
			t.Errorf("request %d may meet one of the trace, or does not fit a store", id)
		}
	}
	if unnamed.Request == next.Request {
		t.Error("two requests without an id are one")
	}
}

func TestUserRequestFlaws(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                                     "not the JSON that is allowed",
		`{"id":"a1","promt":"x"}`:               `unknown field "promt"; its keys are id, prompt`,
		`{"id":"a1","prompt":7}`:                "cannot unmarshal number",
		`{"id":"a1"}`:                           "neither prompt nor tokens is given",
		`{"id":"a1","prompt":""}`:               "neither prompt nor tokens is given",
		`{"id":"a1","prompt":"x","tokens":[1]}`: "both given",
		`{"id":"a1","prompt":"x"} {}`:           "one message is one request",
		`{"id":"a1","tokens":[-1]}`:             "must be at least 0",
		`{"id":"a1","tokens":[99999999999]}`:    "cannot unmarshal number",
		`{"prompt":"x","max_tokens":0}`:         "allowed are 1 to 32768",
		`{"prompt":"x","temperature":-1}`:       "temperature is -1",
		`{"prompt":"x","top_p":1.5}`:            "top_p is 1.5",
		`{"prompt":"x","top_k":-2}`:             "top_k is -2",
		`{"prompt":"x","stop":[` + strings.Repeat("1,", 64) + `1]}`:        "stop has 65 items",
		`{"prompt":"` + strings.Repeat("x", event.MaxPromptBytes+1) + `"}`: "prompt has 131073 bytes",
		`{"id":"` + strings.Repeat("x", 129) + `"}`:                        "id has 129 bytes",
	} {
		got := userRequest(t, 5, text)
		if !strings.Contains(got.Prompt.Flaw, want) {
			t.Errorf("%.60s: flaw %q, want %q", text, got.Prompt.Flaw, want)
		}
		if named := strings.Contains(text, `"a1"`); named != (got.Prompt.Name == "a1") {
			t.Errorf("%.60s: its name is %q", text, got.Prompt.Name)
		}
	}
}

// Users can only write arrivals; everything else is an event.
func TestOnlyArrivalsAreReadAsJSON(t *testing.T) {
	for _, subject := range []string{"spot.run.r.fleet.run_ended", "spot.run.*.request.arrived", "spot.run.r.request.arrived.x", "spot.control.experiment.start", ""} {
		if _, err := wire.DecodeMessage(subject, 1, []byte(`{"prompt":"x"}`)); err == nil {
			t.Errorf("%s takes JSON", subject)
		}
	}
}

// Whatever a user writes is an arrival that the bus can carry on.
func FuzzUserRequest(f *testing.F) {
	for _, text := range []string{
		`{"id":"a","prompt":"x","max_tokens":3}`, `{"tokens":[1,2],"seed":1,"stop":[]}`, `{"id":"\ud800","prompt":"\u0000"}`,
		`{"` + strings.Repeat("x", 2000) + `":1}`, `{"id":null,"prompt":null}`, `{}`, `{"top_p":1e40}`, ` { "prompt" : [] }`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ev, err := wire.DecodeMessage("spot.run.r.request.request_arrived", 3, data)
		if err != nil {
			return // no JSON object, and no event
		}
		b, ok := ev.Body.(event.RequestArrived)
		if !ok || b.Prompt == nil {
			return // an event
		}
		if p := b.Prompt; p.Flaw == "" && p.Text == "" && len(p.Tokens) == 0 || len(p.Flaw) > event.MaxReasonBytes {
			t.Fatalf("%q is the request %+v", data, p)
		}
		again, err := wire.Encode(ev)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if got, err := wire.Decode(again); err != nil || !reflect.DeepEqual(got, ev) {
			t.Fatalf("%q: got %+v, %v, want %+v", data, got, err, ev)
		}
	})
}

// TestSizesAreUpperBounds: what core reckons with is at least what is written.
func TestSizesAreUpperBounds(t *testing.T) {
	tokens := make([]int32, 1000)
	for i := range tokens {
		tokens[i] = math.MaxInt32
	}
	g := event.Generated{Request: 1 << 62, From: 1 << 20, Tokens: tokens, Done: true, Text: strings.Repeat("ä", 500), PromptTokens: 1 << 20, Refused: "no"}
	temperature, topK, seed := float32(1), 1<<40, uint64(1)<<63
	r := event.AssignedRequest{Request: 1 << 62, PromptTokens: 1 << 40, OutputTokens: 1 << 40, Committed: 1 << 40, Output: tokens, Prompt: &experiment.Prompt{
		Name: strings.Repeat("x", 128), Text: "hello", Tokens: tokens, Stop: tokens[:64],
		Sampling: experiment.SamplingWish{Temperature: &temperature, TopP: &temperature, TopK: &topK, Seed: &seed},
	}}
	for _, tt := range []struct {
		none, one event.Body
		size      int
	}{
		{event.TokensCommitted{Batch: 1}, event.TokensCommitted{Batch: 1, Generated: []event.Generated{g}}, g.Size()},
		{event.AssignRequests{}, event.AssignRequests{Requests: []event.AssignedRequest{r}}, r.Size()},
	} {
		length := func(b event.Body) int {
			data, err := wire.Encode(event.Event{Run: "r", Source: "s", Seq: 1, Body: b})
			if err != nil {
				t.Fatal(err)
			}
			return len(data)
		}
		if took := length(tt.one) - length(tt.none); took > tt.size {
			t.Errorf("%T takes %d bytes more, reckoned with %d", tt.one, took, tt.size)
		}
	}
}
