package invariant_test

import (
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
)

// TestCheckerOfContinuousBatches is promise 9: two requests or a thousand tokens
// of KV memory are all that the pipeline has room for.
func TestCheckerOfContinuousBatches(t *testing.T) {
	next := event.Epoch{Term: 1, N: 4}
	begin := func(then ...event.Body) []event.Event {
		bodies := []event.Body{event.ApplyMigration{
			Epoch: epoch, BatchLimit: 2, KVTokens: 1000, Pipelines: []event.PipelineStart{{Leader: true}},
		}}
		for id := range event.RequestID(3) {
			bodies = append(bodies, event.RequestArrived{Request: 10 + id, PromptTokens: 300 + 100*int(id), OutputTokens: 100})
		}
		return script(append(bodies, then...)...) // requests 10, 11 and 12, of 400, 500 and 600 tokens
	}
	join := func(ids ...event.RequestID) event.Body {
		return event.RequestsJoined{Epoch: epoch, Batch: 1, Requests: ids}
	}
	leave := func(ids ...event.RequestID) event.Body {
		return event.RequestsLeft{Epoch: epoch, Batch: 1, Requests: ids}
	}
	for _, tt := range []struct {
		name   string
		events []event.Event
		want   string
	}{
		{"within both", begin(join(10, 11)), ""},
		{"one after the other", begin(join(10), join(11), leave(10), leave(11), join(12)), ""},
		{"too many", begin(join(10), join(11), join(1)), "promise 9 broken at 9.000s by test/9 (requests_joined): pipeline 0 of 1.3 runs 3 requests of 2, with 900 tokens of KV memory of 1000"},
		{"too many tokens", begin(join(11), join(12)), "runs 2 requests of 2, with 1100 tokens of KV memory of 1000"},
		{"too many tokens after one has left", begin(join(10, 11), leave(10), join(12)), "1100 tokens"},
		{"twice", begin(join(10), join(10)), "request 10 joins a second time"},
		{"after its end", begin(event.RequestRefused{Request: 10}, join(10)), "request 10 joins, and is not open"},
		{"leaves twice", begin(join(10), leave(10), leave(10)), "request 10 leaves pipeline 0 of 1.3, where it does not run"},
		{"said by a pipeline that is gone", begin(event.ConfigChosen{Epoch: next, Pipelines: []event.PipelinePlace{{Nodes: []string{"a"}}}}, join(10, 11, 12), leave(1)), ""},
		{"which the next plan keeps", begin(event.ConfigChosen{Epoch: next, Pipelines: []event.PipelinePlace{{Nodes: []string{"a", "b"}}}}, join(11, 12)), "1100 tokens"},
	} {
		switch err := check(tt.events); {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
