package invariant_test

import (
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
)

func TestCheckerOfAnswers(t *testing.T) {
	commit := func(from int, tokens ...int32) event.Body {
		return event.TokensCommitted{Epoch: epoch, Batch: 1, Generated: []event.Generated{{Request: 1, From: from, Tokens: tokens}}}
	}
	answered := func(record int, tokens ...int32) event.Body {
		b := completed(1, 2, 3)
		b.Output, b.Record.OutputTokens = tokens, record
		return b
	}
	handed := func(tokens ...int32) event.Body {
		return event.AssignRequests{Requests: []event.AssignedRequest{{Request: 1, Committed: len(tokens), Output: tokens}}}
	}
	for _, tt := range []struct {
		name   string
		events []event.Event
		want   string
	}{
		{"one after the other", script(commit(0, 5, 6), commit(2, 7), answered(4, 5, 6, 7, 8)), ""},
		{"again", script(commit(0, 5, 6), commit(0, 5, 6, 7), handed(5), answered(3, 5, 6, 7)), ""},
		{"a commit changes", script(commit(0, 5, 6), commit(1, 9)), "promise 3 broken at 4.000s by test/4 (tokens_committed): token 1 of the answer to request 1 changes from 6 to 9"},
		{"the planner hands on something else", script(commit(0, 5, 6), handed(5, 9)), "token 1 of the answer to request 1 changes from 6 to 9"},
		{"the answer is another one", script(commit(0, 5, 6), answered(2, 5, 9)), "token 1 of the answer to request 1 changes from 6 to 9"},
		{"an exit tells something else", script(commit(0, 5), event.PipelineExited{Epoch: epoch, Generated: []event.Generated{{Request: 1, Tokens: []int32{6}}}}), "changes from 5 to 6"},
		{"a gap", script(commit(0, 5), commit(2, 7)), "request 1 goes on at token 2 of its answer, of which 1 were told"},
		{"the record does not say so", script(answered(2, 5)), "the answer to request 1 has 1 tokens, and its record says 2"},
		{"the planner has counted", script(answered(1, 5), event.RunFinished{Accepted: 1, Completed: 1, TokensChanged: 2}), "2 committed tokens were told again with another value"},
	} {
		switch err := check(tt.events); {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
