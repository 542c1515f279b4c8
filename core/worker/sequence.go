package worker

import (
	"fmt"
	"slices"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// sequence is a request that runs on an engine that computes.
type sequence struct {
	event.AssignedRequest
	tokens   []int32 // of the prompt and the answer
	prompt   int     // of them, those of the prompt
	cached   int     // tokens with KV cache
	told     int     // tokens of the answer that were reported
	sampling experiment.Sampling

	done     bool   // the answer is whole
	toldDone bool   // and reported
	left     bool   // and handed over
	refused  string // why there is none
}

// output is the answer so far.
func (s *sequence) output() []int32 { return s.tokens[s.prompt:] }

// append adds a token to the answer.
func (s *sequence) append(token int32, t *experiment.TransformerModel) {
	s.tokens = append(s.tokens, token)
	s.done = len(s.output()) >= s.OutputTokens || engineop.Stops(t, s.Prompt, token)
}

// newSequence begins or goes on with a request. At least its last token is
// computed again, because the next one follows from it.
func (m *measured) newSequence(r event.AssignedRequest) *sequence {
	s := &sequence{AssignedRequest: r, sampling: engineop.SamplingOf(m.model, r.Request, r.Prompt)}
	prompt, refused := m.prompt(r)
	if refused != "" {
		s.refused, s.done = event.Legible(refused, event.MaxReasonBytes), true
		return s
	}
	s.prompt, s.told = len(prompt), len(r.Output)
	s.tokens = slices.Concat(prompt, r.Output)
	s.cached = min(m.cached[r.Request], len(s.tokens)-1)
	delete(m.cached, r.Request)
	s.done = len(r.Output) >= r.OutputTokens
	return s
}

// prompt returns the tokens of a request's prompt, or why there are none.
func (m *measured) prompt(r event.AssignedRequest) (tokens []int32, refused string) {
	switch {
	case r.Prompt == nil || r.Prompt.Text == "" && len(r.Prompt.Tokens) == 0:
		return engineop.DrawPrompt(m.model, r.Request, max(1, r.PromptTokens)), ""
	case len(r.Prompt.Tokens) > 0:
		tokens = r.Prompt.Tokens
	case m.tokenizer == nil:
		return nil, "the prompt is text, and the model has no tokenizer: allowed is a list of tokens"
	default:
		var err error
		if tokens, err = m.tokenizer.Encode(r.Prompt.Text); err != nil {
			return nil, fmt.Sprintf("the prompt cannot be turned into tokens: %v", err)
		}
	}
	for i, t := range tokens {
		if t < 0 || int(t) >= m.model.Shape.Vocab {
			return nil, fmt.Sprintf("token %d of the prompt is %d: allowed are 0 to %d", i, t, m.model.Shape.Vocab-1)
		}
	}
	if len(tokens) == 0 || len(tokens) > r.PromptTokens {
		return nil, fmt.Sprintf("the prompt has %d tokens: allowed are 1 to %d", len(tokens), r.PromptTokens)
	}
	return tokens, ""
}

// generated is what has not been told of a sequence.
func (m *measured) generated(s *sequence) (g event.Generated, news bool) {
	g = event.Generated{Request: s.Request, From: s.told, Done: s.done, Refused: s.refused}
	if s.refused == "" {
		g.Tokens = slices.Clone(s.output()[s.told:])
	}
	if s.done && s.refused == "" {
		if m.tokenizer != nil {
			g.Text = event.Legible(m.tokenizer.Decode(s.output()), event.MaxTextBytes)
		}
		if s.Prompt != nil && s.Prompt.Text != "" {
			g.PromptTokens = s.prompt
		}
	}
	return g, len(g.Tokens) > 0 || s.done && !s.toldDone
}

// tell collects what has not been told of these, and notes that it is. What does
// not go into one event goes out in commits ahead of it.
func (m *measured) tell(list []*sequence) []event.Generated {
	var out []event.Generated
	size := 0
	for _, s := range list {
		g, news := m.generated(s)
		if !news {
			continue
		}
		if n := g.Size(); size > 0 && size+n > event.MaxContentBytes {
			m.commitNow(out)
			out, size = nil, 0
		}
		size += g.Size()
		out = append(out, g)
		s.told, s.toldDone = len(s.output()), s.done
	}
	return out
}
