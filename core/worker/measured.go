package worker

import (
	"cmp"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/vtime"
)

// measured runs the batches of a pipeline whose engine computes tokens. Nothing
// here knows how long a step will take; it is told when one is done.
//
//   - The running requests are dealt to groups, micro-batches that are in the
//     pipeline at the same time, one step of each in flight.
//   - A step takes one token of every request that decodes, and of those that
//     prefill as many as the chunk allows. The border between two steps of a group
//     is a token border.
//   - With a static policy a batch is what was in the pool when it began, and it is
//     answered together. With the continuous one requests join and leave at token
//     borders, and memory is reserved for the whole of a request.
//   - At a token border the answers are committed, if there are enough new tokens,
//     and an arranged pipeline stops there if its next step would end too late.
//
// A request is computed from its tokens: those of the prompt and the committed
// ones. What of its cache has come along is not computed again.
type measured struct {
	*pipeline
	continuous bool
	kvTokens   int // KV memory, with the continuous policy
	model      *experiment.TransformerModel
	tokenizer  engineop.Tokenizer

	pool     []event.AssignedRequest
	running  []*sequence // of the batch, in the order of their joining
	reserved int         // KV memory of those that run
	groups   []*group
	release  []event.RequestID // have ended, and the engine does not know yet
	cached   map[event.RequestID]int

	batch     uint64 // counts the batches: one ends when nobody runs any more
	startedAt vtime.Time
	stopped   bool // somebody has stopped for the arrangement
	lost      bool // the node gives up

	decodes, prefills window // of steps
}

// group is the part of the running requests that are computed together.
type group struct {
	number  int
	step    uint64 // of its last Compute
	members []*sequence
	flying  *engineop.Compute // nil at a border
	since   vtime.Time        // of the flight

	// Of steps that fail: since when, the next try, and the pause before it.
	failing vtime.Time // vtime.Never when the last one did not
	again   vtime.Time
	pause   time.Duration
}

func newMeasured(p *pipeline, b event.ApplyMigration) *measured {
	m := &measured{
		pipeline: p, continuous: p.w.spec.Batching == experiment.Continuous, kvTokens: b.KVTokens,
		model: p.w.spec.Transformer, tokenizer: p.w.tokenizer, cached: make(map[event.RequestID]int),
	}
	groups := b.Config.DecodeMicroBatches
	if m.continuous || groups < 1 {
		groups = b.Config.Pipeline
	}
	for i := range max(1, groups) {
		m.groups = append(m.groups, &group{number: i, failing: vtime.Never})
	}
	return m
}

func (m *measured) busy() bool { return len(m.running) > 0 }

func (m *measured) waiting() bool { return len(m.pool) > 0 }

// land takes what of the inherited cache is there. Of others there is none: what
// an engine says of them is of an earlier time.
func (m *measured) land(cached []engineop.Cached) {
	for _, c := range cached {
		if slices.ContainsFunc(m.resume, func(r event.AssignedRequest) bool { return r.Request == c.Request }) {
			m.cached[c.Request] = max(0, c.Tokens)
		}
	}
}

func (m *measured) assign(requests []event.AssignedRequest) {
	for _, r := range requests {
		if !m.has(r.Request) { // a second one would write over the first one's cache
			m.pool = append(m.pool, r)
		}
	}
	switch {
	case !m.up:
	case !m.busy():
		m.pollAt(m.w.emit.Now.Add(m.w.spec.Delays.Poll))
	case m.continuous:
		m.join()
		m.advance()
	}
}

// has reports whether a request is in the pool, runs, or is to be resumed.
func (m *measured) has(id event.RequestID) bool {
	same := func(r event.AssignedRequest) bool { return r.Request == id }
	return slices.ContainsFunc(m.pool, same) || slices.ContainsFunc(m.resume, same) ||
		slices.ContainsFunc(m.running, func(s *sequence) bool { return s.Request == id })
}

// poll begins a batch: with what was inherited first.
func (m *measured) poll() {
	inherited := m.resume
	m.resume = nil
	if !m.continuous && len(inherited) == 0 {
		m.beginBatch()
		return
	}
	m.enter(inherited, true)
	if m.continuous {
		m.join()
	}
	m.advance()
}

// beginBatch takes the largest power of two of the pool, unless not even a prefill
// fits before the arranged stop.
func (m *measured) beginBatch() {
	requests := m.pool[:serve.PowerOfTwo(min(m.limit, len(m.pool)))]
	if len(requests) == 0 {
		return
	}
	if m.tooLate() {
		m.exit()
		return
	}
	m.pool = m.pool[len(requests):]
	m.enter(requests, false)
	m.advance()
}

// join lets those of the pool join that fit, first come, first served.
func (m *measured) join() {
	if m.tooLate() {
		m.stopped = m.stopped || len(m.pool) > 0
		return
	}
	n, reserved := 0, m.reserved
	for n < len(m.pool) {
		running := len(m.running) + n
		reserved += tokens(m.pool[n])
		if running > 0 && (running >= m.limit || reserved > m.kvTokens) {
			break
		}
		n++
	}
	requests := m.pool[:n]
	m.pool = m.pool[n:]
	m.enter(requests, false)
}

// enter deals requests to the groups, the smallest first, and tells of it.
func (m *measured) enter(requests []event.AssignedRequest, resumed bool) {
	if len(requests) == 0 {
		return
	}
	if !m.busy() {
		m.batch++
		m.startedAt = m.w.emit.Now
	}
	for _, r := range requests {
		s := m.newSequence(r)
		m.running = append(m.running, s)
		m.reserved += tokens(r)
		smallest := slices.MinFunc(m.groups, func(a, b *group) int { return cmp.Compare(a.size(), b.size()) })
		smallest.members = append(smallest.members, s)
	}
	if m.continuous {
		m.w.report(event.RequestsJoined{
			Epoch: m.epoch, Pipeline: m.index, Batch: m.batch, Requests: ids(requests), Resumed: resumed, At: m.w.emit.Now,
		})
		return
	}
	m.w.report(event.BatchStarted{
		Epoch: m.epoch, Pipeline: m.index, Batch: m.batch, Requests: ids(requests), Resumed: resumed, At: m.w.emit.Now,
	})
}

// size is how many members have not ended.
func (g *group) size() (n int) {
	for _, s := range g.members {
		if !s.left {
			n++
		}
	}
	return n
}

// tooLate reports whether not even the prefill of one request fits before the
// arranged stop.
func (m *measured) tooLate() bool {
	return m.arranged != nil && m.arranged.IdleExit(m.prefillOne()) <= m.w.emit.Now
}

// rearrange looks at the groups that are at a border.
func (m *measured) rearrange() {
	m.stopped = false
	if m.continuous {
		m.join()
	}
	m.advance()
}

// due is called when a step that failed is to be tried again.
func (m *measured) due(string) { m.advance() }

// exitsNow reports whether an arranged pipeline is done: it has stopped, and no
// step is in flight.
func (m *measured) exitsNow() bool {
	if m.arranged == nil || !m.stopped {
		return false
	}
	for _, g := range m.groups {
		if g.flying != nil {
			return false
		}
	}
	return true
}

// stops reports whether a step must not begin any more: before a preemption, if
// it would end after the stop, before an acquisition, once that is there.
func (m *measured) stops(next []engineop.Sequence) bool {
	switch {
	case m.arranged == nil:
		return false
	case m.arranged.Acquisition:
		return m.w.emit.Now >= m.arranged.At
	}
	return m.w.emit.Now.Add(m.estimate(next)) > m.arranged.Stop()
}

// estimate is how long a step may take: what the profile says, or what the last
// ones of its kind took, whichever is more.
func (m *measured) estimate(next []engineop.Sequence) time.Duration {
	prompts, prefills := 0, 0
	for _, s := range next {
		if len(s.Tokens) > 1 {
			prompts += len(s.Tokens)
			prefills++
		}
	}
	scaled := func(d time.Duration) time.Duration { return scale(d, m.w.spec.Engine.ExecutionScale) }
	if prefills == 0 {
		return max(scaled(m.w.latency.Iteration(m.config, len(next))), m.decodes.mean())
	}
	return max(scaled(m.w.latency.JoinPrefill(m.config, prefills, prompts)), m.prefills.mean())
}

func (m *measured) prefillOne() time.Duration {
	modelled := scale(m.w.latency.JoinPrefill(m.config, 1, m.w.spec.PromptTokens), m.w.spec.Engine.ExecutionScale)
	return max(modelled, m.prefills.mean())
}

// window remembers the last durations of something.
type window struct {
	last [8]time.Duration
	n    int
}

func (w *window) add(d time.Duration) {
	w.last[w.n%len(w.last)] = d
	w.n++
}

// mean is 0 before the first.
func (w *window) mean() time.Duration {
	n := min(w.n, len(w.last))
	if n == 0 {
		return 0
	}
	var sum time.Duration
	for _, d := range w.last[:n] {
		sum += d
	}
	return sum / time.Duration(n)
}
