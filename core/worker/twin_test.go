package worker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// engine is a continuous batch as its rules read: it steps every token.
type engine struct {
	spec    experiment.Spec
	latency *cost.LatencyModel
	plan    event.ApplyMigration
	now     vtime.Time
	said    []event.Body

	pool    []seenRequest
	members []*runner
	batch   uint64
	began   vtime.Time
	tokens  int // iterations of the batch
	stretch uint64
	factor  float64
	prompt  time.Duration // prefill that has not been computed yet
	closed  bool
	exited  bool

	commands []command // still to come
	stop     *event.ArrangeInterruption
}

type seenRequest struct {
	event.AssignedRequest
	at vtime.Time
}

type runner struct {
	event.AssignedRequest
	joined int
	fresh  bool // its prefill is not through
}

func (r *runner) done(tokens int) int { return r.Committed + tokens - r.joined }

// command is what the planner sends at an instant.
type command struct {
	at      vtime.Time
	assign  []event.AssignedRequest
	arrange *event.ArrangeInterruption
}

func (e *engine) token() time.Duration {
	return scaled(e.latency.Iteration(e.plan.Config, len(e.members)), e.factor)
}

func scaled(d time.Duration, f float64) time.Duration { return time.Duration(float64(d)*f + 0.5) }

// play runs the engine until it exits or nothing is left to do.
func (e *engine) play(resume []event.AssignedRequest) {
	changed := e.admit(resume)
	for !e.exited {
		switch {
		case len(e.members) == 0:
			if !e.idle() {
				return
			}
			changed = e.admit(nil)
			continue
		case changed && e.prompt > 0:
			e.pass(e.prompt, true)
			e.prompt = 0
			changed = e.border()
			continue
		}
		if e.exited || !e.goesOn(e.now, e.token()) {
			e.exit()
			return
		}
		e.pass(e.token(), false)
		if e.exited {
			return
		}
		e.tokens++
		changed = e.border()
	}
}

// border is what happens between two iterations. It reports whether the members
// have changed.
func (e *engine) border() bool {
	if e.exited {
		return false
	}
	for _, m := range e.members {
		m.fresh = false
	}
	var left []event.RequestID
	var stay []*runner
	for _, m := range e.members {
		if m.done(e.tokens) >= m.OutputTokens {
			left = append(left, m.Request)
		} else {
			stay = append(stay, m)
		}
	}
	e.members = stay
	if len(left) > 0 {
		e.said = append(e.said, event.RequestsLeft{Epoch: epoch1, Batch: e.batch, Requests: left, Tokens: e.tokens, At: e.now})
	}
	every := e.spec.CommitInterval
	if every > 0 && e.spec.Stateful() && e.tokens%every == 0 && e.tokens > 0 && len(stay) > 0 && e.committed() < e.tokens {
		e.said = append(e.said, event.TokensCommitted{Epoch: epoch1, Batch: e.batch, Tokens: e.tokens, At: e.now})
	}
	joined := e.admit(nil)
	if len(left) > 0 && !joined && len(e.members) > 0 {
		e.renew()
	}
	return joined
}

// committed is the last commit point of the batch.
func (e *engine) committed() int {
	for _, b := range slices.Backward(e.said) {
		if c, ok := b.(event.TokensCommitted); ok && c.Batch == e.batch {
			return c.Tokens
		}
	}
	return 0
}

// renew draws the jitter of the next stretch.
func (e *engine) renew() {
	e.stretch++
	e.factor = e.draw(e.stretch)
}

func (e *engine) draw(stretch uint64) float64 {
	sigma := e.spec.Engine.JitterSigma
	return e.spec.Engine.ExecutionScale * max(0.5, 1+sigma*draw.NormalAt(e.spec.Seed, "stretch", epoch1.Term, epoch1.N, 0, stretch))
}

// admit lets requests join, first come, first served, at a border.
func (e *engine) admit(resume []event.AssignedRequest) bool {
	var fresh []event.AssignedRequest
	reserved, count := 0, len(e.members)+len(resume)
	for _, m := range e.members {
		reserved += m.PromptTokens + m.OutputTokens
	}
	for _, r := range resume {
		reserved += r.PromptTokens + r.OutputTokens
	}
	for !e.closed && len(fresh) < len(e.pool) && e.pool[len(fresh)].at <= e.now {
		r := e.pool[len(fresh)]
		reserved += r.PromptTokens + r.OutputTokens
		if count >= e.plan.BatchLimit || reserved > e.plan.KVTokens {
			break
		}
		count++
		fresh = append(fresh, r.AssignedRequest)
	}
	factor := e.draw(e.stretch + 1)
	prefill := func() time.Duration {
		prompts := 0
		for _, r := range fresh {
			prompts += r.PromptTokens + r.Committed
		}
		return scaled(e.latency.JoinPrefill(e.plan.Config, len(fresh), prompts), factor)
	}
	for len(fresh) > 0 {
		n := len(e.members) + len(resume) + len(fresh)
		if e.goesOn(e.now.Add(prefill()), scaled(e.latency.Iteration(e.plan.Config, n), factor)) {
			break
		}
		fresh, e.closed = fresh[:len(fresh)-1], true
	}
	if len(resume)+len(fresh) == 0 {
		return false
	}
	if len(e.members) == 0 {
		e.batch, e.began, e.tokens = e.batch+1, e.now, 0
	}
	e.renew()
	e.prompt = 0
	join := func(requests []event.AssignedRequest, resumed bool) {
		if len(requests) == 0 {
			return
		}
		fact := event.RequestsJoined{Epoch: epoch1, Batch: e.batch, Resumed: resumed, Tokens: e.tokens, At: e.now}
		for _, r := range requests {
			fact.Requests = append(fact.Requests, r.Request)
			e.members = append(e.members, &runner{r, e.tokens, !resumed})
		}
		e.said = append(e.said, fact)
	}
	join(resume, true)
	if len(fresh) > 0 {
		e.prompt = prefill()
	}
	join(fresh, false)
	e.pool = e.pool[len(fresh):]
	return true
}

// goesOn reports whether another iteration may begin at an instant.
func (e *engine) goesOn(from vtime.Time, token time.Duration) bool {
	switch {
	case e.stop == nil:
		return true
	case e.stop.Acquisition:
		return from < e.stop.At
	default:
		return from.Add(token) < e.stop.At.Add(-e.stop.Migration)
	}
}

// pass lets time pass to the end of a prefill or an iteration, with the commands
// on the way. An arrangement may end the pipeline there and then.
func (e *engine) pass(d time.Duration, prefill bool) {
	begin, end := e.now, e.now.Add(d)
	for len(e.commands) > 0 && e.commands[0].at < end {
		if e.take() {
			from := begin
			if prefill {
				from = end
			}
			if !e.goesOn(from, e.token()) {
				e.exit()
				return
			}
		}
	}
	e.now = end
}

// take takes the next command, and reports whether it is an arrangement.
func (e *engine) take() bool {
	c := e.commands[0]
	e.commands, e.now = e.commands[1:], c.at
	for _, r := range c.assign {
		e.pool = append(e.pool, seenRequest{r, c.at.Add(e.spec.Delays.Poll)})
	}
	if c.arrange != nil {
		e.stop, e.closed = c.arrange, false
	}
	return c.arrange != nil
}

// idle waits for the next request in the pool. It returns false at the end.
func (e *engine) idle() bool {
	for {
		next, exit := vtime.Never, vtime.Never
		if len(e.pool) > 0 && !e.closed {
			next = max(e.now, e.pool[0].at)
		}
		if e.stop != nil {
			stop := e.stop.At
			if !e.stop.Acquisition {
				stop = stop.Add(-e.stop.Migration)
			}
			exit = max(e.now, stop.Add(-scaled(e.latency.JoinPrefill(e.plan.Config, 1, e.spec.PromptTokens), e.spec.Engine.ExecutionScale)))
			if e.closed {
				exit = e.now
			}
		}
		switch {
		case len(e.commands) > 0 && e.commands[0].at <= min(next, exit):
			e.take()
		case next == vtime.Never && exit == vtime.Never:
			return false
		case exit < next:
			e.now = exit
			e.exit()
			return false
		default:
			e.now = next
			return true
		}
	}
}

func (e *engine) exit() {
	fact := event.PipelineExited{Epoch: epoch1, At: e.now, StartedAt: vtime.Never}
	if len(e.members) > 0 {
		fact.Batch, fact.StartedAt, fact.Computed = e.batch, e.began, e.tokens
	}
	for _, m := range e.members {
		if m.fresh || !e.spec.Stateful() {
			fact.Unprocessed = append(fact.Unprocessed, m.Request)
		} else {
			fact.Interrupted = append(fact.Interrupted, event.Progress{Request: m.Request, Committed: m.done(e.tokens)})
		}
	}
	for _, r := range e.pool {
		fact.Unprocessed = append(fact.Unprocessed, r.Request)
	}
	// What comes later is for a pipeline that is gone.
	e.said, e.exited = append(e.said, fact), true
}

// TestContinuousBatchAgreesWithItsNaiveTwin plays small cases at random: the
// worker, which goes from one change of the members to the next, and the twin,
// which steps every token, must say the same at the same instants.
func TestContinuousBatchAgreesWithItsNaiveTwin(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 11))
		s := continuousSpec(r)
		s.Seed = seed
		start := plan(epoch1, 7)
		start.BatchLimit, start.KVTokens = 1+r.IntN(6), 400+r.IntN(800)
		resume := randomRequests(r, 100, r.IntN(3), true)
		kv, limit := 0, len(resume)
		for _, q := range resume {
			kv += q.PromptTokens + q.OutputTokens
		}
		start.BatchLimit, start.KVTokens = max(start.BatchLimit, limit), max(start.KVTokens, kv)
		start.Pipelines[0].Resume = resume
		commands := randomCommands(r)

		n := newNode(t, s)
		n.send(start)
		n.until(8)
		for _, c := range commands {
			n.until(c.at.Seconds())
			if c.arrange != nil {
				n.send(*c.arrange)
			} else {
				n.send(event.AssignRequests{Epoch: epoch1, Requests: c.assign})
			}
		}
		n.until(10_000)

		latency, err := cost.NewLatencyModel(s.Model, s.Profile)
		if err != nil {
			t.Fatal(err)
		}
		twin := &engine{spec: s, latency: latency, plan: start, now: vtime.Seconds(7), commands: commands}
		twin.play(resume)
		got, want := transcript(bodies(n.facts)), transcript(twin.said)
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("seed %d: from fact %d on the worker said\n%s\nwant\n%s\nplan %+v\ncommands %+v", seed, i, lines(got, i), lines(want, i), start, commands)
			}
		}
	}
}

func continuousSpec(r *rand.Rand) experiment.Spec {
	s := spec()
	s.Batching = experiment.Continuous
	rows := []cost.PhaseLatency{{Batch: 1, Prefill: 200, Decode: 50}, {Batch: 2, Prefill: 350, Decode: 53}, {Batch: 4, Prefill: 700, Decode: 61.5}}
	s.Profile.Tensors = []cost.TensorProfile{{Tensor: 1, Rows: rows}}
	if r.IntN(2) == 0 {
		s.Engine.ExecutionScale, s.Engine.JitterSigma = 1.02, 0.3
	}
	s.CommitInterval = []int{0, 1, 3, 32}[r.IntN(4)]
	if r.IntN(4) == 0 {
		s.Approach = experiment.Rerouting
	}
	return s
}

func randomRequests(r *rand.Rand, first, n int, committed bool) []event.AssignedRequest {
	var out []event.AssignedRequest
	for i := range n {
		q := event.AssignedRequest{Request: event.RequestID(first + i), PromptTokens: 1 + r.IntN(300), OutputTokens: 1 + r.IntN(40)}
		if committed || r.IntN(5) == 0 {
			q.Committed = r.IntN(q.OutputTokens)
		}
		out = append(out, q)
	}
	return out
}

// randomCommands assign requests from 8 s on and may arrange stops. Their times
// are no borders but by rare chance.
func randomCommands(r *rand.Rand) []command {
	var out []command
	at, id := vtime.Seconds(8), 0
	stop := vtime.Never
	for range r.IntN(15) {
		at = at.Add(time.Duration(r.Int64N(int64(2 * time.Second))))
		if r.IntN(8) == 0 {
			a := event.ArrangeInterruption{Epoch: epoch1, Acquisition: r.IntN(2) == 0, Migration: time.Duration(r.Int64N(int64(time.Second)))}
			a.At = at.Add(time.Duration(r.Int64N(int64(6 * time.Second)))).Add(-time.Second)
			if leave := a.At.Add(-a.Migration); leave < stop {
				stop = leave
				out = append(out, command{at: at, arrange: &a})
				continue
			}
		}
		n := 1 + r.IntN(4)
		requests := randomRequests(r, id, n, false)
		id += n
		out = append(out, command{at: at, assign: requests})
	}
	return out
}

func bodies(facts []event.Event) []event.Body {
	var out []event.Body
	for _, f := range facts {
		switch f.Body.(type) {
		case event.StageStarted, event.ContextMigrated:
		default:
			out = append(out, f.Body)
		}
	}
	return out
}

func transcript(said []event.Body) []string {
	var out []string
	for _, b := range said {
		out = append(out, fmt.Sprintf("%s %+v", b.Kind(), b))
	}
	return out
}

func lines(all []string, from int) string {
	return strings.Join(all[min(from, len(all)):], "\n")
}
