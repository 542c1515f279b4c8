package event

import (
	"strings"
	"unicode/utf8"

	"github.com/spotserve/spotserve/core/experiment"
)

// What a measured run puts into events is bounded, so that an event stays well
// below the megabyte that a bus takes.
const (
	// MaxPromptTokens and MaxOutputTokens bound one request.
	MaxPromptTokens = 32 << 10
	MaxOutputTokens = 32 << 10
	// MaxPromptBytes bounds a prompt that is text.
	MaxPromptBytes = 128 << 10
	// MaxTextBytes is where the text of an answer is cut; its tokens are whole.
	MaxTextBytes = 256 << 10
	// MaxReasonBytes is where the reason of a refusal is cut.
	MaxReasonBytes = 512
	// MaxContentBytes is how much of prompts and answers goes into one event,
	// where there is more than one request's.
	MaxContentBytes = 384 << 10
)

// tokenBytes is the most that a token takes on the wire, and requestBytes what is
// said of a request besides.
const (
	tokenBytes   = 5
	requestBytes = 128
)

// Size is an upper bound of what g takes in an event, in bytes.
func (g Generated) Size() int {
	return requestBytes + tokenBytes*len(g.Tokens) + len(g.Text) + len(g.Refused)
}

// Size is an upper bound of what r takes in an event, in bytes.
func (r AssignedRequest) Size() int {
	return requestBytes + promptSize(r.Prompt) + tokenBytes*len(r.Output)
}

func promptSize(p *experiment.Prompt) int {
	if p == nil {
		return 0
	}
	return len(p.Name) + len(p.Text) + len(p.Flaw) + tokenBytes*(len(p.Tokens)+len(p.Stop))
}

// Legible is text as an event can carry it: valid UTF-8 of at most limit bytes, cut
// after a whole character. Tokens may end within one.
func Legible(text string, limit int) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= limit {
		return text
	}
	end := limit
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
