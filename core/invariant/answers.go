package invariant

import "github.com/spotserve/spotserve/core/event"

// hand takes what the planner hands to a pipeline.
func (c *Checker) hand(ev event.Event, r event.AssignedRequest) {
	c.commit(ev, r.Request, r.Committed)
	c.answer(ev, r.Request, 0, r.Output)
	if l := c.open[r.Request]; l != nil {
		l.tokens = r.PromptTokens + r.OutputTokens
	}
}

// generated takes what a pipeline tells of answers.
func (c *Checker) generated(ev event.Event, list []event.Generated) {
	for _, g := range list {
		c.answer(ev, g.Request, g.From, g.Tokens)
	}
}

// answer is promise 3 of a run that computes tokens: a token that anybody has told
// never changes, whoever tells it again, heard by the planner or not.
func (c *Checker) answer(ev event.Event, id event.RequestID, from int, tokens []int32) {
	r := c.open[id]
	if r == nil || c.err != nil {
		return
	}
	if from > len(r.answer) {
		c.fail(3, ev, "request %d goes on at token %d of its answer, of which %d were told", id, from, len(r.answer))
		return
	}
	for i, t := range tokens {
		switch at := from + i; {
		case at == len(r.answer):
			r.answer = append(r.answer, t)
		case r.answer[at] != t:
			c.fail(3, ev, "token %d of the answer to request %d changes from %d to %d", at, id, r.answer[at], t)
			return
		}
	}
}

// whole is promise 3 at the end: an answer has as many tokens as its record says.
func (c *Checker) whole(ev event.Event, b event.RequestCompleted) {
	if c.err == nil && len(b.Output) > 0 && len(b.Output) != b.Record.OutputTokens {
		c.fail(3, ev, "the answer to request %d has %d tokens, and its record says %d", b.Record.Request, len(b.Output), b.Record.OutputTokens)
	}
}
