package planner

import (
	"fmt"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/fleet"
	"github.com/spotserve/spotserve/core/vtime"
)

// arrive takes a request; users is whether a user sent it.
func (m *MetaContextManager) arrive(b event.RequestArrived, users bool) {
	if m.requests.Known(b.Request) {
		return
	}
	if m.spec.Measured() {
		b = m.bounded(b)
	}
	reason := m.refusal(b)
	if users && reason == "" {
		reason = m.limiter.Admit(b, m.emit.Now, m.requests.Totals().Queued)
	}
	if reason != "" {
		if !users || m.spec.Limits.None() {
			m.requests.Reject(b.Request)
		} // else nobody remembers it: there may be many, and it may be sent again
		refused := event.RequestRefused{Request: b.Request, Reason: reason}
		if b.Prompt != nil {
			refused.Name = b.Prompt.Name
		}
		m.refuse(refused)
		return
	}
	if m.requests.Arrive(b, m.emit.Now) {
		m.rate.arrive(m.emit.Now)
		m.dispatch()
	}
}

func (m *MetaContextManager) refuse(b event.RequestRefused) {
	m.totals.refused++
	m.fact(b)
}

// refusal is why a request cannot be served; "" if it can. What is accepted fits
// the KV memory of every configuration that the controller may choose.
func (m *MetaContextManager) refusal(b event.RequestArrived) string {
	if flaw := m.flaw(b); flaw != "" {
		return flaw
	}
	switch longest := m.spec.LongestSequence(); {
	case b.PromptTokens <= 0 || b.OutputTokens <= 0:
		return fmt.Sprintf("prompt tokens %d and output tokens %d must be positive", b.PromptTokens, b.OutputTokens)
	case b.PromptTokens > longest || b.OutputTokens > longest-b.PromptTokens:
		return fmt.Sprintf("%d prompt and %d output tokens are more than the %d that the run keeps memory for",
			b.PromptTokens, b.OutputTokens, longest)
	}
	return ""
}

// dispatch hands queued requests to the pipelines that serve. A pipeline that
// is arranged to stop still gets some: what it does not begin comes back.
func (m *MetaContextManager) dispatch() {
	for _, a := range m.requests.Dispatch() {
		m.send(m.deployed.pipelines[a.Pipeline], a.Requests)
	}
}

func (m *MetaContextManager) batchStarted(source string, b event.BatchStarted) {
	p := m.deployed.ledBy(source, b.Pipeline, b.Epoch)
	if p == nil {
		return
	}
	p.running = runningBatch{id: b.Batch, requests: len(b.Requests), at: b.At}
	if !b.Resumed {
		p.running.prompts = m.requests.LongestPrefill(b.Requests)
	}
	m.requests.Started(p.index, b.Requests, 0, b.At)
}

// requestsJoined takes the joining of requests to a continuous batch, or its
// begin.
func (m *MetaContextManager) requestsJoined(source string, b event.RequestsJoined) {
	p := m.deployed.ledBy(source, b.Pipeline, b.Epoch)
	if p == nil {
		return
	}
	p.running = runningBatch{id: b.Batch, requests: p.running.requests + len(b.Requests), at: b.At, tokens: b.Tokens}
	if !b.Resumed {
		p.running.joining, p.running.prompts = len(b.Requests), m.requests.CachedTokens(b.Requests)
	}
	m.requests.Started(p.index, b.Requests, b.Tokens, b.At)
}

func (m *MetaContextManager) tokensCommitted(source string, b event.TokensCommitted) {
	p := m.deployed.ledBy(source, b.Pipeline, b.Epoch)
	switch {
	case p == nil:
	case m.spec.Measured():
		m.hear(p, b.Generated)
	case p.running.id == b.Batch && m.spec.Stateful():
		m.requests.Commit(p.index, b.Tokens)
	}
}

func (m *MetaContextManager) batchCompleted(source string, b event.BatchCompleted) {
	if p := m.deployed.ledBy(source, b.Pipeline, b.Epoch); p != nil {
		p.running = runningBatch{}
		m.hear(p, b.Generated)
		m.answer(p, b.Requests, b.EndedAt)
	}
}

// requestsLeft takes the answers of a continuous batch, which goes on without
// them.
func (m *MetaContextManager) requestsLeft(source string, b event.RequestsLeft) {
	if p := m.deployed.ledBy(source, b.Pipeline, b.Epoch); p != nil {
		p.running = runningBatch{id: b.Batch, requests: max(0, p.running.requests-len(b.Requests)), at: b.At, tokens: b.Tokens}
		m.hear(p, b.Generated)
		m.answer(p, b.Requests, b.At)
	}
}

// answer completes requests of a pipeline that had their last token at the instant at.
func (m *MetaContextManager) answer(p *pipeline, ids []event.RequestID, at vtime.Time) {
	for _, id := range ids {
		m.complete(p, id, at)
	}
	m.dispatch()
	if m.draining {
		m.drained()
	}
}

// answerDone completes what has its last token committed when a pipeline stops:
// the shorter requests of a static batch, which wait for the longest.
func (m *MetaContextManager) answerDone(p *pipeline, at vtime.Time) {
	for _, id := range m.requests.Done(p.index) {
		m.complete(p, id, at)
	}
}

// complete ends a request of a pipeline that had its last token at the instant at.
func (m *MetaContextManager) complete(p *pipeline, id event.RequestID, at vtime.Time) {
	answer := m.requests.Answer(id)
	if answer.Refused != "" {
		if m.requests.Refuse(p.index, id, m.emit.Now) {
			m.refuse(event.RequestRefused{Request: id, Reason: answer.Refused, Name: answer.Name})
		}
		return
	}
	if record, first := m.requests.Complete(p.index, id, at, m.emit.Now); first {
		m.totals.served += record.PromptTokens + record.OutputTokens
		m.fact(event.RequestCompleted{Record: record, Name: answer.Name, Output: answer.Tokens, Text: answer.Text})
	}
}

// computed derives how many tokens a pipeline's batch has generated by now, from
// what was last told of it and the modelled pace: between commits nobody reports
// them.
func (m *MetaContextManager) computed(p *pipeline) int {
	r := p.running
	if r.requests == 0 {
		return 0
	}
	config := m.deployed.config
	var prefill, token time.Duration
	if m.spec.Batching == experiment.Continuous {
		prefill = m.latency.JoinPrefill(config, r.joining, r.prompts)
		token = m.latency.Iteration(config, r.requests)
	} else {
		batch := 1
		for batch < r.requests {
			batch *= 2
		}
		prefill = m.latency.PrefillTokens(config, batch, r.prompts)
		token = m.latency.Decode(config, batch)
	}
	pace := func(d time.Duration) time.Duration {
		return time.Duration(float64(d) * m.spec.Engine.ExecutionScale)
	}
	decoding := m.emit.Now.Sub(r.at) - pace(prefill)
	if decoding <= 0 || pace(token) <= 0 {
		return r.tokens
	}
	return r.tokens + int(decoding/pace(token))
}

// end takes the end of the input. A run that drains goes on until every
// accepted request is answered.
func (m *MetaContextManager) end(reason event.EndReason) {
	if m.spec.Drain && reason == event.EndOfTrace {
		m.draining = true
		m.drained()
		return
	}
	m.finish(reason)
}

// drained finishes a draining run when nothing is open, or when nothing is
// deployed and nothing will be.
func (m *MetaContextManager) drained() {
	hopeless := m.phase == steady && m.deployed.config.IsZero() && !(m.closedLoop() && m.fleet.Coming())
	if m.requests.Totals().Open == m.totals.dropped || hopeless {
		m.finish(event.EndOfTrace)
	}
}

// finish gives every open request its end and closes the books.
func (m *MetaContextManager) finish(reason event.EndReason) {
	m.finished = true
	completed := m.requests.Totals().Completed
	names := m.requests.Names()
	for _, record := range m.requests.EndUnfinished(m.emit.Now) {
		m.totals.unfinished++
		m.fact(event.RequestUnfinished{Record: record, Name: names[record.Request]})
	}
	for _, stay := range m.fleet.Close(m.emit.Now) {
		m.account(stay)
	}
	for _, node := range m.fleet.Present() {
		m.command(node, event.Drain{})
	}
	t := m.requests.Totals()
	m.fact(event.RunFinished{
		Reason: reason, Accepted: t.Accepted, Completed: completed, UnfinishedAtEnd: m.totals.unfinished, Dropped: m.totals.dropped,
		Refused: m.totals.refused, Lost: t.Accepted - completed - m.totals.unfinished, Duplicated: t.Duplicated,
		LateFacts: m.totals.lateFacts, Interruptions: m.totals.interruptions,
		TokensRecomputed: m.totals.recomputed, CostUSD: m.totals.usd, TokensServed: m.totals.served, TokensChanged: m.totals.changed,
	})
	for _, timer := range []string{timerPlan, timerAdd, timerAccept, timerRate, timerShrink} {
		m.emit.Timer(timer, vtime.Never)
	}
}

// account prices one stay of a node.
func (m *MetaContextManager) account(s fleet.Stay) {
	usd := s.To.Sub(s.From).Hours() * m.spec.Instance.USDPerHour(s.Market)
	m.totals.usd += usd
	m.fact(event.NodeTimeAccounted{Node: s.Node, Market: s.Market, From: s.From, To: s.To, USD: usd})
}
