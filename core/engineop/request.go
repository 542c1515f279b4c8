package engineop

import (
	"slices"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// DrawPrompt returns the prompt of a request that brings none: n tokens of the
// model's vocabulary, from the run's prompt seed and the request's id.
func DrawPrompt(t *experiment.TransformerModel, id event.RequestID, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		x := draw.Number(t.PromptSeed, "prompt", uint64(id), uint64(i))
		out[i] = int32(x % uint64(max(1, t.Shape.Vocab)))
	}
	return out
}

// SamplingOf is how the tokens of a request are drawn: as it wishes, else as the
// run says. Requests without a seed of their own have different ones.
func SamplingOf(t *experiment.TransformerModel, id event.RequestID, p *experiment.Prompt) experiment.Sampling {
	s := t.Sampling
	s.Seed = draw.Number(s.Seed, "sampling", uint64(id))
	if p != nil {
		s = s.With(p.Sampling)
	}
	return s
}

// Stops reports whether a token ends the answer to p, nil for the run's prompts.
func Stops(t *experiment.TransformerModel, p *experiment.Prompt, token int32) bool {
	return slices.Contains(t.Stop, token) || p != nil && slices.Contains(p.Stop, token)
}
