package event_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

func TestLegible(t *testing.T) {
	for _, tt := range []struct {
		text  string
		limit int
		want  string
	}{
		{"hello", 5, "hello"}, {"hello", 4, "hell"}, {"", 3, ""}, {"h\u00e9llo", 2, "h"}, {"h\u00e9llo", 3, "h\u00e9"},
		{"\u65e5\u672c", 5, "\u65e5"}, {"a\xffb", 9, "a\ufffdb"}, {"\xe6\x97", 9, "\ufffd"}, {"\u65e5", 0, ""},
	} {
		got := event.Legible(tt.text, tt.limit)
		if got != tt.want || !utf8.ValidString(got) {
			t.Errorf("%q within %d is %q, want %q", tt.text, tt.limit, got, tt.want)
		}
	}
}

// TestOneRequestFitsAnEvent: the largest request and the largest answer stay well
// below a megabyte, each by itself.
func TestOneRequestFitsAnEvent(t *testing.T) {
	const most = 700 << 10
	tokens := func(n int) []int32 { return make([]int32, n) }
	asked := event.AssignedRequest{
		Prompt: &experiment.Prompt{Tokens: tokens(event.MaxPromptTokens)}, Output: tokens(event.MaxOutputTokens),
	}
	answer := event.Generated{Tokens: tokens(event.MaxOutputTokens), Text: strings.Repeat("x", event.MaxTextBytes)}
	if asked.Size() > most || answer.Size() > most || event.MaxContentBytes > most || event.MaxPromptBytes > most {
		t.Errorf("a request takes %d bytes, an answer %d: allowed are %d", asked.Size(), answer.Size(), most)
	}
}
