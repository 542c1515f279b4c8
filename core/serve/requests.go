// Package serve is the request manager: the queue, the pools of the pipelines,
// and what became of every request.
package serve

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/idset"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// state is where a request is.
type state int

const (
	queued   state = iota
	assigned       // in a pool
	detached       // its pool is closed: nowhere until Requeue or Resume
)

// request is the manager's book page of one request.
type request struct {
	id        event.RequestID
	arrived   vtime.Time
	started   vtime.Time // of its first batch
	running   vtime.Time // of its current batch; vtime.Never outside one
	compute   time.Duration
	prompt    int
	output    int
	committed int // tokens kept, whether or not their KV cache is
	carried   int // tokens that were committed before it joined the last batch
	joined    int // tokens of that batch before it joined
	lost      int
	stopped   int
	pipeline  int
	config    topology.ParallelConfig
	state     state
	answer    *answer // nil in a run that computes no tokens
}

// Manager owns every request from arrival to its end. Of a request that has
// ended it keeps no more than that.
type Manager struct {
	policy    Policy
	requests  map[event.RequestID]*request // that have not ended
	ended     idset.Set
	spare     []*request // pages of ended requests, to be used again
	queue     queue
	pools     map[int]*pool // by pipeline
	accepting poolHeap
	accepted  int
	completed int
	twice     int
}

// NewManager returns a manager without requests.
func NewManager(policy Policy) *Manager {
	return &Manager{policy: policy, requests: make(map[event.RequestID]*request), pools: make(map[int]*pool)}
}

// Arrive accepts a request. A request whose id is known already is refused and
// changes nothing.
func (m *Manager) Arrive(e event.RequestArrived, now vtime.Time) (accepted bool) {
	if m.Known(e.Request) {
		return false
	}
	r := m.page()
	*r = request{
		id: e.Request, arrived: now, started: vtime.Never, running: vtime.Never,
		prompt: e.PromptTokens, output: e.OutputTokens, pipeline: -1,
	}
	if m.policy.Tokens {
		r.answer = &answer{prompt: e.Prompt}
		if e.Prompt != nil {
			r.answer.Name = e.Prompt.Name
		}
	}
	m.requests[e.Request] = r
	m.accepted++
	m.queue.push(r)
	return true
}

func (m *Manager) page() *request {
	n := len(m.spare)
	if n == 0 {
		return new(request)
	}
	r := m.spare[n-1]
	m.spare = m.spare[:n-1]
	return r
}

// end forgets a request; its page is used again.
func (m *Manager) end(r *request) {
	delete(m.requests, r.id)
	m.ended.Add(uint64(r.id))
	m.spare = append(m.spare, r)
}

// Open gives a pipeline an empty pool.
func (m *Manager) Open(pipeline int, c topology.ParallelConfig, room Room) {
	m.Close(pipeline)
	m.pools[pipeline] = &pool{
		pipeline: pipeline, config: c, room: room, continuous: m.policy.Batching == experiment.Continuous, place: -1,
	}
}

// Accept lets Dispatch hand requests to a pipeline from now on.
func (m *Manager) Accept(pipeline int) {
	if p := m.pools[pipeline]; p != nil {
		m.accepting.take(p)
	}
}

// Resume puts an interrupted batch into the pool of the pipeline that has
// inherited its KV cache. Only requests of closed pools can be.
func (m *Manager) Resume(pipeline int, ids []event.RequestID) []event.AssignedRequest {
	out := make([]event.AssignedRequest, 0, len(ids))
	for _, id := range ids {
		if r := m.requests[id]; r != nil && r.state == detached { // not at a second mention
			out = append(out, m.assign(m.pools[pipeline], r))
		}
	}
	return out
}

func (m *Manager) assign(p *pool, r *request) event.AssignedRequest {
	r.state, r.pipeline, r.config = assigned, p.pipeline, p.config
	p.add(r)
	m.accepting.fix(p)
	out := event.AssignedRequest{Request: r.id, PromptTokens: r.prompt, OutputTokens: r.output, Committed: r.committed}
	if r.answer != nil {
		out.Prompt, out.Output = r.answer.prompt, slices.Clip(r.answer.Tokens)
	}
	return out
}

// Close empties a pipeline's pool and takes it away. It returns what was in
// it; those requests are nowhere until Requeue or Resume.
func (m *Manager) Close(pipeline int) []event.RequestID {
	p := m.pools[pipeline]
	if p == nil {
		return nil
	}
	delete(m.pools, pipeline)
	m.accepting.drop(p)
	for _, r := range p.requests {
		r.state = detached
		m.forget(r)
	}
	return p.ids()
}

// Requeue puts requests of closed pools back to where their arrival time
// belongs.
func (m *Manager) Requeue(ids []event.RequestID) {
	for _, id := range ids {
		if r := m.requests[id]; r != nil && r.state == detached {
			r.state = queued
			m.queue.push(r)
		}
	}
}

// of returns a request in the pool of a pipeline; nil if it is not there. What is
// told of a pipeline is about its own requests.
func (m *Manager) of(pipeline int, id event.RequestID) *request {
	if r := m.requests[id]; r != nil && r.state == assigned && r.pipeline == pipeline {
		return r
	}
	return nil
}

// Has reports whether a request is in the pool of a pipeline.
func (m *Manager) Has(pipeline int, id event.RequestID) bool { return m.of(pipeline, id) != nil }

// Started notes that requests joined the batch of a pipeline, which had generated
// tokens tokens before; a static batch begins with all of its requests and none.
func (m *Manager) Started(pipeline int, ids []event.RequestID, tokens int, at vtime.Time) {
	for _, id := range ids {
		if r := m.of(pipeline, id); r != nil {
			r.started = min(r.started, at)
			r.running = at
			r.carried, r.joined = r.committed, tokens
		}
	}
}

// Commit notes that the batch of a pipeline has generated tokens tokens since it
// began. Committed tokens never decrease.
func (m *Manager) Commit(pipeline, tokens int) {
	p := m.pools[pipeline]
	if p == nil {
		return
	}
	for _, r := range p.requests {
		if r.running != vtime.Never {
			r.committed = max(r.committed, min(r.output, r.carried+tokens-r.joined))
		}
	}
}

// CommitAt notes how far an interrupted request of a pipeline has come, over all
// batches.
func (m *Manager) CommitAt(pipeline int, id event.RequestID, committed int) {
	if r := m.of(pipeline, id); r != nil {
		r.committed = max(r.committed, min(r.output, committed))
	}
}

// Interrupt notes that the batch of a pipeline was stopped at now; computed is
// how many tokens it had generated since it began. What was not committed is
// lost. It returns how many requests it stopped, and the tokens lost.
func (m *Manager) Interrupt(pipeline int, now vtime.Time, computed int) (stopped, lost int) {
	p := m.pools[pipeline]
	if p == nil {
		return 0, 0
	}
	for _, r := range p.requests {
		if r.running == vtime.Never {
			continue
		}
		r.compute += now.Sub(r.running)
		r.running = vtime.Never
		r.stopped++
		stopped++
		missing := max(0, min(r.output, r.carried+computed-r.joined)-r.committed)
		if m.policy.Uncommitted > 0 {
			missing = min(missing, m.policy.Uncommitted)
		}
		r.lost += missing
		lost += missing
	}
	return stopped, lost
}

// Complete ends a request of a pipeline's pool with its answer. It returns false,
// and counts a duplicate, if the request is not there: it has ended before, or
// will be served elsewhere.
func (m *Manager) Complete(pipeline int, id event.RequestID, batchEnd, now vtime.Time) (event.RequestRecord, bool) {
	r := m.of(pipeline, id)
	if r == nil {
		m.twice++
		return event.RequestRecord{}, false
	}
	p := m.pools[r.pipeline]
	p.remove(r)
	m.accepting.fix(p)
	return m.complete(r, batchEnd, now), true
}

func (m *Manager) complete(r *request, batchEnd, now vtime.Time) event.RequestRecord {
	if r.running != vtime.Never {
		r.compute += batchEnd.Sub(r.running)
		r.running = vtime.Never
	}
	m.completed++
	record := r.record(now)
	if r.answer != nil {
		record.OutputTokens = len(r.answer.Tokens)
		if r.answer.PromptTokens > 0 {
			record.PromptTokens = r.answer.PromptTokens
		}
	}
	m.end(r)
	return record
}

// EndUnfinished ends every request that has no answer yet, by id, and returns
// their records.
func (m *Manager) EndUnfinished(now vtime.Time) []event.RequestRecord {
	var open []*request
	for _, r := range m.requests { // sorted below
		open = append(open, r)
	}
	slices.SortFunc(open, func(a, b *request) int { return compareIDs(a.id, b.id) })
	out := make([]event.RequestRecord, len(open))
	for i, r := range open {
		if r.running != vtime.Never {
			r.compute += now.Sub(r.running)
			r.running = vtime.Never
		}
		out[i] = r.record(vtime.Never)
		m.end(r)
	}
	m.queue, m.pools, m.accepting = queue{}, make(map[int]*pool), poolHeap{}
	return out
}

func (r *request) record(finished vtime.Time) event.RequestRecord {
	return event.RequestRecord{
		Request: r.id, Arrived: r.arrived, Started: r.started, Finished: finished, Compute: r.compute,
		PromptTokens: r.prompt, OutputTokens: r.output, Committed: r.carried, Recomputed: r.lost,
		Interrupted: r.stopped, Pipeline: r.pipeline, Config: r.config,
	}
}

// Totals are the manager's counts.
type Totals struct {
	Accepted   int
	Completed  int
	Duplicated int // second completions, dropped
	Queued     int
	Open       int // accepted and not ended
}

// Totals returns the counts so far.
func (m *Manager) Totals() Totals {
	return Totals{
		Accepted: m.accepted, Completed: m.completed, Duplicated: m.twice,
		Queued: m.queue.Len(), Open: m.accepted - m.completed,
	}
}

// Reserved is the KV memory, in tokens, that the pool of a pipeline asks for.
func (m *Manager) Reserved(pipeline int) int {
	if p := m.pools[pipeline]; p != nil {
		return p.tokens
	}
	return 0
}

// Done lists the requests of a pipeline's pool that have all their tokens
// committed.
func (m *Manager) Done(pipeline int) []event.RequestID {
	var out []event.RequestID
	if p := m.pools[pipeline]; p != nil {
		for _, r := range p.requests {
			if r.committed == r.output || r.ended() {
				out = append(out, r.id)
			}
		}
	}
	return out
}

// Left is how many tokens of a request are not committed; -1 if it has ended or is
// unknown.
func (m *Manager) Left(id event.RequestID) int {
	switch r := m.requests[id]; {
	case r == nil:
		return -1
	case r.ended():
		return 0
	default:
		return r.output - r.committed
	}
}

// ended reports whether the answer is whole before it is as long as it may be, and
// kept.
func (r *request) ended() bool { return r.answer != nil && r.answer.Done }

// Need is the KV memory, in tokens, that a request reserves.
func (m *Manager) Need(id event.RequestID) int {
	if r := m.requests[id]; r != nil {
		return r.need()
	}
	return 0
}

// CachedTokens is how many tokens of KV cache a batch of these requests keeps.
func (m *Manager) CachedTokens(ids []event.RequestID) int {
	n := 0
	for _, id := range ids {
		if r := m.requests[id]; r != nil {
			n += r.prompt + r.committed
		}
	}
	return n
}

// LongestPrefill is the longest prompt, with the tokens committed so far, of
// these requests.
func (m *Manager) LongestPrefill(ids []event.RequestID) int {
	n := 0
	for _, id := range ids {
		if r := m.requests[id]; r != nil {
			n = max(n, r.prompt+r.committed)
		}
	}
	return n
}
