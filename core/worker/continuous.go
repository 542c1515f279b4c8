package worker

import (
	"math"
	"time"

	"github.com/spotserve/spotserve/core/arrange"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// continuous keeps one batch running that requests join and leave at token
// borders (iteration-level scheduling: Yu et al., Orca, OSDI'22; Kwon et al.,
// vLLM, SOSP'23).
//
//   - Requests join first come, first served, as long as fewer than limit run
//     and the prompt and output of all of them fit the KV memory. Memory is
//     reserved for the whole of a request, so none is ever put out again.
//   - Those that join at the same border prefill together, at once: the decoding
//     of all others waits for it.
//   - Then one iteration after the other gives every running request a token.
//   - A request leaves with its last token and is answered.
//   - A request is seen one poll delay after it came into the pool.
//
// Between two borders at which somebody joins or leaves everything is linear: a
// stretch. It is computed at its begin, so the work is by request, not by token.
type continuous struct {
	*pipeline
	kvTokens int // KV memory
	pool     []pooled
	members  []member // that run, in the order of their joining
	reserved int      // KV memory of the members

	batch     uint64 // counts the batches: one ends when nobody runs any more
	startedAt vtime.Time
	committed int // iterations of the batch at its last commit point

	stretches uint64
	stretch   arrange.Batch // Tokens is until the first member leaves
	before    int           // iterations of the batch before the stretch
	next      int           // iterations of the stretch until the next border that matters
	timer     vtime.Time    // that is set for it
	stops     bool          // and the pipeline exits there
	closed    bool          // nobody joins before the arranged stop any more
}

// pooled is a request that waits.
type pooled struct {
	event.AssignedRequest
	seen vtime.Time // when the engine has looked into the pool
}

// member is a request that runs.
type member struct {
	event.AssignedRequest
	joined  int  // iterations of the batch before
	last    int  // iterations of the batch at its last token
	prefill bool // its prefill opens the stretch
}

// tokens is the KV memory that a request reserves.
func tokens(r event.AssignedRequest) int { return r.PromptTokens + r.OutputTokens }

func (c *continuous) busy() bool { return len(c.members) > 0 }

func (c *continuous) waiting() bool { return len(c.pool) > 0 }

func (c *continuous) assign(requests []event.AssignedRequest) {
	idle := len(c.pool) == 0
	seen := c.w.emit.Now.Add(c.w.spec.Delays.Poll)
	for _, r := range requests {
		c.pool = append(c.pool, pooled{r, seen})
	}
	switch {
	case !c.up:
	case !c.busy():
		c.pollAt(seen)
	case idle:
		c.plan(c.done())
	}
}

// poll begins a batch of what was inherited and what is in the pool.
func (c *continuous) poll() {
	c.turn(c.resume, false)
}

// due is called at the next border that matters: it counts the tokens since the
// stretch began, answers who has all, and lets others join.
func (c *continuous) due(string) {
	c.timer = vtime.Never
	if !c.busy() {
		return
	}
	done := c.before + c.next
	left := c.leave(done)
	c.commitAt(done)
	if c.stops {
		c.exit()
		return
	}
	c.turn(nil, left)
}

// leave answers the members that have their last token.
func (c *continuous) leave(done int) (left bool) {
	var answered []event.RequestID
	stay := c.members[:0]
	for _, m := range c.members {
		if m.last > done {
			stay = append(stay, m)
			continue
		}
		answered = append(answered, m.Request)
		c.reserved -= tokens(m.AssignedRequest)
	}
	c.members = stay
	if len(answered) == 0 {
		return false
	}
	c.w.report(event.RequestsLeft{
		Epoch: c.epoch, Pipeline: c.index, Batch: c.batch, Requests: answered, Tokens: done, At: c.w.emit.Now,
	})
	return true
}

// commitAt reports the tokens of those that run on if a commit point is reached.
func (c *continuous) commitAt(done int) {
	if !c.commits() || done < c.committed+c.w.spec.CommitInterval {
		return
	}
	c.committed += c.w.spec.CommitInterval
	if c.busy() {
		c.w.report(event.TokensCommitted{
			Epoch: c.epoch, Pipeline: c.index, Batch: c.batch, Tokens: c.committed, At: c.w.emit.Now,
		})
	}
}

func (c *continuous) commits() bool { return c.w.spec.CommitInterval > 0 && c.w.spec.Stateful() }

// turn lets requests join and begins the next stretch, if the members have
// changed; inherited ones join with their KV cache.
func (c *continuous) turn(inherited []event.AssignedRequest, left bool) {
	joining := c.joining(inherited)
	next := c.timetable(inherited, joining)
	if c.arranged != nil {
		// Who would not get a token before the stop waits for the next pipeline.
		for len(joining) > 0 && c.arranged.Tokens(next) == 0 {
			c.closed = true
			joining = joining[:len(joining)-1]
			next = c.timetable(inherited, joining)
		}
	}
	switch members := len(c.members) + len(inherited) + len(joining); {
	case members == 0:
		c.idle()
		return
	case len(c.members) == 0 && c.w.emit.Now < c.gate(next.Prefill):
		c.pollAt(c.gate(next.Prefill))
		return
	case len(inherited)+len(joining) == 0 && !left:
		c.plan(c.next)
		return
	case c.arranged != nil && c.arranged.Tokens(next) == 0:
		c.exit()
		return
	}
	c.begin(next, inherited, joining)
}

// idle waits for requests: for those in the pool, unless they come too late.
func (c *continuous) idle() {
	switch {
	case c.closed:
		c.exit()
	case len(c.pool) > 0:
		c.pollAt(c.pool[0].seen)
		c.waitForWork()
	default:
		c.waitForWork()
	}
}

// joining is who of the pool may join now.
func (c *continuous) joining(inherited []event.AssignedRequest) []pooled {
	if c.closed {
		return nil
	}
	running, reserved := len(c.members)+len(inherited), c.reserved
	for _, r := range inherited {
		reserved += tokens(r)
	}
	n := 0
	for n < len(c.pool) && c.pool[n].seen <= c.w.emit.Now {
		reserved += tokens(c.pool[n].AssignedRequest)
		if running+n > 0 && (running+n >= c.limit || reserved > c.kvTokens) {
			break
		}
		n++
	}
	return c.pool[:n]
}

// timetable prices the stretch that begins now if these join.
func (c *continuous) timetable(inherited []event.AssignedRequest, joining []pooled) arrange.Batch {
	n := len(c.members) + len(inherited) + len(joining)
	if n == 0 {
		return arrange.Batch{}
	}
	now, prompts := c.before+c.next, 0
	left := math.MaxInt
	for _, m := range c.members {
		left = min(left, m.last-now)
	}
	for _, r := range inherited {
		left = min(left, r.OutputTokens-r.Committed)
	}
	for _, r := range joining {
		left = min(left, r.OutputTokens-r.Committed)
		prompts += r.PromptTokens + r.Committed
	}
	factor := c.factor()
	return arrange.Batch{
		Start:   c.w.emit.Now,
		Prefill: scale(c.w.latency.JoinPrefill(c.config, len(joining), prompts), factor),
		Token:   max(1, scale(c.w.latency.Iteration(c.config, n), factor)),
		Tokens:  left,
	}
}

// factor is real over profiled time for the next stretch. The jitter is drawn
// for the stretch's number, so it does not depend on anything that ran before.
func (c *continuous) factor() float64 {
	e := c.w.spec.Engine
	if e.JitterSigma == 0 {
		return e.ExecutionScale
	}
	normal := draw.NormalAt(c.w.spec.Seed, "stretch", c.epoch.Term, c.epoch.N, uint64(c.index), c.stretches+1)
	return e.ExecutionScale * max(0.5, 1+e.JitterSigma*normal)
}

// begin begins a stretch.
func (c *continuous) begin(next arrange.Batch, inherited []event.AssignedRequest, joining []pooled) {
	done := c.before + c.next
	if !c.busy() {
		c.batch++
		c.startedAt, c.committed, done = c.w.emit.Now, 0, 0
	}
	c.stretches++
	c.stretch, c.before, c.next = next, done, 0
	for i := range c.members {
		c.members[i].prefill = false
	}
	if len(inherited) > 0 {
		for _, r := range inherited {
			c.join(r, done, false)
		}
		c.reportJoined(ids(inherited), true)
		c.resume = nil
	}
	if len(joining) > 0 {
		joined := make([]event.RequestID, len(joining))
		for i, r := range joining {
			c.join(r.AssignedRequest, done, true)
			joined[i] = r.Request
		}
		c.reportJoined(joined, false)
		c.pool = c.pool[len(joining):]
	}
	c.plan(-1)
}

func (c *continuous) join(r event.AssignedRequest, done int, prefill bool) {
	c.members = append(c.members, member{r, done, done + r.OutputTokens - r.Committed, prefill})
	c.reserved += tokens(r)
}

func (c *continuous) reportJoined(requests []event.RequestID, resumed bool) {
	c.w.report(event.RequestsJoined{
		Epoch: c.epoch, Pipeline: c.index, Batch: c.batch, Requests: requests, Resumed: resumed,
		Tokens: c.before, At: c.w.emit.Now,
	})
}

// done is how many iterations of the stretch have passed.
func (c *continuous) done() int { return c.stretch.Done(c.w.emit.Now) }

// plan sets the timer for the next border that matters: somebody leaves, somebody
// joins, tokens are committed, the pipeline stops. The borders up to passed are
// behind.
func (c *continuous) plan(passed int) {
	c.next, c.stops = c.stretch.Tokens, false
	if c.arranged != nil {
		if stop := max(c.arranged.Tokens(c.stretch), passed); stop < c.next {
			c.next, c.stops = stop, true
		}
	}
	if c.commits() {
		c.sooner(c.committed + c.w.spec.CommitInterval - c.before)
	}
	if c.headFits() {
		c.sooner(c.borderAfter(c.pool[0].seen))
	}
	if at := c.stretch.At(c.next); at != c.timer {
		c.timer = at
		c.w.emit.Completion(c.timers.batch, at)
	}
}

// sooner makes border k the next one if it comes before.
func (c *continuous) sooner(k int) {
	if k < c.next {
		c.next, c.stops = k, false
	}
}

// headFits reports whether the first of the pool may join.
func (c *continuous) headFits() bool {
	return !c.closed && len(c.pool) > 0 && len(c.members) < c.limit &&
		c.reserved+tokens(c.pool[0].AssignedRequest) <= c.kvTokens
}

// borderAfter is the first border of the stretch that lies after now, and not
// before at.
func (c *continuous) borderAfter(at vtime.Time) int {
	at = max(at, c.w.emit.Now+1)
	decoding := at.Sub(c.stretch.At(0))
	if decoding <= 0 {
		return 0
	}
	return int((decoding + c.stretch.Token - 1) / c.stretch.Token)
}

// rearrange finds the border that the pipeline stops at. A later one than before
// may let others join.
func (c *continuous) rearrange() {
	c.closed = false
	done := c.done()
	if stop := max(c.arranged.Tokens(c.stretch), done); stop == 0 || stop < c.stretch.Tokens && c.stretch.At(stop) <= c.w.emit.Now {
		c.exit()
		return
	}
	c.plan(done)
}

func (c *continuous) prefillOne() time.Duration {
	return scale(c.w.latency.JoinPrefill(c.config, 1, c.w.spec.PromptTokens), c.w.spec.Engine.ExecutionScale)
}

// report tells how far each member has come, and who has not begun. A prefill
// that was cut leaves no whole KV cache to carry, and a stateless approach
// carries none.
func (c *continuous) report(fact *event.PipelineExited) {
	if c.busy() {
		done := c.before + min(c.done(), c.stretch.Tokens)
		fact.Batch, fact.StartedAt, fact.Computed = c.batch, c.startedAt, done
		for _, m := range c.members {
			if m.prefill && fact.At < c.stretch.At(0) || !c.w.spec.Stateful() {
				fact.Unprocessed = append(fact.Unprocessed, m.Request)
				continue
			}
			fact.Interrupted = append(fact.Interrupted, event.Progress{
				Request: m.Request, Committed: min(m.OutputTokens, m.Committed+done-m.joined),
			})
		}
	}
	for _, r := range c.resume {
		fact.Interrupted = append(fact.Interrupted, event.Progress{Request: r.Request, Committed: r.Committed})
	}
	for _, r := range c.pool {
		fact.Unprocessed = append(fact.Unprocessed, r.Request)
	}
}
