package worker

import (
	"fmt"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// How a step that failed is repeated. A leader that cannot reach the others of its
// pipeline must not hold its requests for ever.
const (
	firstPause  = 50 * time.Millisecond
	longestWait = time.Second
	giveUpAfter = 10 * time.Second
)

// advance begins the next step of every group that is at a border, as far as the
// arrangement allows.
func (m *measured) advance() {
	if m.lost {
		return
	}
	m.leave()
	again := vtime.Never
	for _, g := range m.groups {
		if g.flying == nil {
			m.next(g)
		}
		if g.flying == nil && g.failing != vtime.Never {
			again = min(again, g.again)
		}
	}
	m.w.emit.Timer(m.timers.batch, again)
	switch {
	case m.exitsNow():
		m.exit()
	case !m.busy():
		m.rest()
	}
}

// next begins the next step of a group.
func (m *measured) next(g *group) {
	now := m.w.emit.Now
	m.settle(g)
	step := m.step(g)
	switch {
	case len(step) == 0:
		g.failing = vtime.Never
		return
	case m.stops(step):
		m.stopped = true
		return
	case g.failing != vtime.Never && now < g.again:
		return
	}
	g.step++
	g.flying = &engineop.Compute{
		Epoch: m.epoch, Pipeline: m.index, Group: g.number, Step: g.step, Sequences: step, Release: m.release,
	}
	g.since = now
	m.release = nil
	m.w.emit.Do(*g.flying)
}

// step is what a group computes next: a token of everyone who decodes, and of the
// prompts as much as the chunk allows, in the order of joining.
func (m *measured) step(g *group) []engineop.Sequence {
	var out []engineop.Sequence
	chunk := m.model.PrefillChunk
	for _, s := range g.members {
		if s.done {
			continue
		}
		n := len(s.tokens) - s.cached
		if n > 1 && m.model.PrefillChunk > 0 {
			n = min(n, chunk)
			chunk -= n
		}
		if n == 0 {
			continue
		}
		out = append(out, engineop.Sequence{
			Request: s.Request, Start: s.cached, Tokens: s.tokens[s.cached : s.cached+n : s.cached+n],
			Sample: s.cached+n == len(s.tokens), Sampling: s.sampling,
		})
	}
	return out
}

// computed takes the tokens of a step.
func (m *measured) computed(b engineop.Computed) {
	g := m.flight(b.Group, b.Step)
	if g == nil {
		return
	}
	step := g.flying.Sequences
	want, prefill := 0, false
	for _, s := range step {
		prefill = prefill || len(s.Tokens) > 1
		if s.Sample {
			want++
		}
	}
	if len(b.Tokens) != want {
		m.fail(g, fmt.Sprintf("the engine gave %d tokens for a step of %d", len(b.Tokens), want))
		return
	}
	took := m.w.emit.Now.Sub(g.since)
	if prefill {
		m.prefills.add(took)
	} else {
		m.decodes.add(took)
	}
	g.flying, g.failing, g.pause = nil, vtime.Never, 0
	sampled := b.Tokens
	for _, x := range step {
		s := g.member(x.Request)
		s.cached = x.Start + len(x.Tokens)
		if x.Sample {
			s.append(sampled[0], m.model)
			sampled = sampled[1:]
		}
	}
	m.border()
}

// failed repeats a step after a pause.
func (m *measured) failed(b engineop.ComputeFailed) {
	if g := m.flight(b.Group, b.Step); g != nil {
		m.fail(g, b.Reason)
	}
}

func (m *measured) fail(g *group, reason string) {
	now := m.w.emit.Now
	// The step's releases may not have been heard of: they go with the next one.
	m.release = append(m.release, g.flying.Release...)
	g.flying = nil
	if g.failing == vtime.Never {
		g.failing, g.pause = now, firstPause
	} else {
		g.pause = min(2*g.pause, longestWait)
	}
	g.again = now.Add(g.pause)
	if now.Sub(g.failing) >= giveUpAfter {
		m.lost = true
		m.w.emit.Do(engineop.GiveUp{Pipeline: m.index, Reason: fmt.Sprintf(
			"pipeline %d of plan %s has not computed a step for %s: %s", m.index, m.epoch, giveUpAfter, reason)})
		return
	}
	m.advance()
}

// flight is the group whose step is answered; nil fences answers to others.
func (m *measured) flight(number int, step uint64) *group {
	if number < 0 || number >= len(m.groups) {
		return nil
	}
	if g := m.groups[number]; g.flying != nil && g.flying.Step == step {
		return g
	}
	return nil
}

func (g *group) member(id event.RequestID) *sequence {
	return g.members[slices.IndexFunc(g.members, func(s *sequence) bool { return s.Request == id })]
}

// border is a token border of a group: answers, commits, joins, goes on.
func (m *measured) border() {
	m.leave()
	m.commit()
	if m.continuous && m.busy() {
		m.join()
	}
	m.advance()
}

// settle drops the members of a group that have ended. It is called at a border,
// so no step in flight has them.
func (m *measured) settle(g *group) {
	g.members = slices.DeleteFunc(g.members, func(s *sequence) bool { return s.left })
}

// leave answers who is done: at once with continuous batching, else when the whole
// batch is.
func (m *measured) leave() {
	var answered []*sequence
	for _, s := range m.running {
		if s.done {
			answered = append(answered, s)
		} else if !m.continuous {
			return
		}
	}
	if len(answered) == 0 {
		return
	}
	m.running = slices.DeleteFunc(m.running, func(s *sequence) bool { return s.done })
	requests := make([]event.RequestID, len(answered))
	for i, s := range answered {
		s.left = true
		requests[i] = s.Request
		m.reserved -= tokens(s.AssignedRequest)
		if s.cached > 0 {
			m.release = append(m.release, s.Request)
		}
	}
	last := m.tell(answered)
	if m.continuous {
		m.w.report(event.RequestsLeft{
			Epoch: m.epoch, Pipeline: m.index, Batch: m.batch, Requests: requests, Tokens: m.most(answered),
			At: m.w.emit.Now, Generated: last,
		})
		return
	}
	m.w.report(event.BatchCompleted{
		Epoch: m.epoch, Pipeline: m.index, Batch: m.batch, Requests: requests,
		StartedAt: m.startedAt, EndedAt: m.w.emit.Now, Generated: last,
	})
}

// commit reports the tokens of all that run if one has enough new ones.
func (m *measured) commit() {
	interval := m.w.spec.CommitInterval
	if interval <= 0 || !m.w.spec.Stateful() {
		return
	}
	if slices.ContainsFunc(m.running, func(s *sequence) bool { return len(s.output())-s.told >= interval }) {
		m.commitNow(m.tell(m.running))
	}
}

func (m *measured) commitNow(generated []event.Generated) {
	if len(generated) > 0 {
		m.w.report(event.TokensCommitted{
			Epoch: m.epoch, Pipeline: m.index, Batch: m.batch, Tokens: m.most(m.running), At: m.w.emit.Now, Generated: generated,
		})
	}
}

// most is the most tokens of one request since it joined.
func (m *measured) most(list []*sequence) int {
	n := 0
	for _, s := range list {
		n = max(n, len(s.output())-s.Committed)
	}
	return n
}

// rest waits for requests: for those in the pool, unless they come too late.
func (m *measured) rest() {
	if len(m.pool) > 0 {
		if m.tooLate() {
			m.exit()
			return
		}
		m.pollAt(m.w.emit.Now.Add(m.w.spec.Delays.Poll))
	}
	m.waitForWork()
}

// report tells how far everybody has come. A request whose cache holds something
// is worth moving; stateless approaches move nothing.
func (m *measured) report(fact *event.PipelineExited) {
	if m.busy() {
		fact.Batch, fact.StartedAt, fact.Computed = m.batch, m.startedAt, m.most(m.running)
	}
	for _, s := range m.running {
		if s.cached == 0 && !s.done || !m.w.spec.Stateful() {
			fact.Unprocessed = append(fact.Unprocessed, s.Request)
			continue
		}
		fact.Interrupted = append(fact.Interrupted, event.Progress{Request: s.Request, Committed: len(s.output())})
	}
	if m.w.spec.Stateful() {
		fact.Generated = m.tell(m.running)
	}
	// An inherited batch that never ran keeps its cache too.
	for _, r := range m.resume {
		fact.Interrupted = append(fact.Interrupted, event.Progress{Request: r.Request, Committed: r.Committed})
	}
	fact.Unprocessed = append(fact.Unprocessed, ids(m.pool)...)
}
