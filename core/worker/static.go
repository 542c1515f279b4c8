package worker

import (
	"strconv"
	"time"

	"github.com/spotserve/spotserve/core/arrange"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/vtime"
)

// static computes one batch after the other: padded to its longest request,
// answered together, joined by nobody.
type static struct {
	*pipeline
	pool    []event.AssignedRequest
	batch   *batch
	batches uint64
}

// batch is what the engine computes now.
type batch struct {
	id        uint64
	requests  []event.AssignedRequest
	ids       []event.RequestID
	timetable arrange.Batch
	stopAfter int // tokens to decode; timetable.Tokens runs the whole batch
	committed int // tokens since the batch began that were reported as kept
}

func (b *batch) whole() bool { return b.stopAfter == b.timetable.Tokens }

func (p *static) busy() bool { return p.batch != nil }

func (p *static) waiting() bool { return len(p.pool) > 0 }

func (p *static) assign(requests []event.AssignedRequest) {
	p.pool = append(p.pool, requests...)
	if p.up && p.batch == nil {
		p.pollAt(p.w.emit.Now.Add(p.w.spec.Delays.Poll))
	}
}

// poll forms the next batch: an inherited one first, then the largest power of
// two of the pool.
func (p *static) poll() {
	requests, resumed := p.resume, len(p.resume) > 0
	if !resumed {
		requests = p.pool[:serve.PowerOfTwo(min(p.limit, len(p.pool)))]
	}
	if len(requests) == 0 {
		return
	}
	now := p.w.emit.Now
	timetable := p.timetable(requests, resumed)
	if gate := p.gate(timetable.Prefill); now < gate {
		p.pollAt(gate)
		return
	}
	stopAfter := timetable.Tokens
	if p.arranged != nil {
		if p.tooLate() && !resumed {
			p.exit()
			return
		}
		stopAfter = p.arranged.Tokens(timetable)
		if stopAfter == 0 {
			p.exit()
			return
		}
	}
	if resumed {
		p.resume = nil
	} else {
		p.pool = p.pool[len(requests):]
	}
	p.run(&batch{id: p.batches + 1, requests: requests, ids: ids(requests), timetable: timetable, stopAfter: stopAfter}, resumed)
}

func (p *static) due(timer string) {
	switch {
	case p.batch == nil:
	case timer == timerCommit:
		p.commit()
	default:
		p.end()
	}
}

// run begins a batch.
func (p *static) run(b *batch, resumed bool) {
	p.batches = b.id
	p.batch = b
	p.w.report(event.BatchStarted{
		Epoch: p.epoch, Pipeline: p.index, Batch: b.id, Requests: b.ids, Resumed: resumed, At: p.w.emit.Now,
	})
	p.setEnd()
	p.setCommit()
}

func (p *static) setEnd() {
	end := p.batch.timetable.End()
	if !p.batch.whole() {
		end = p.batch.timetable.At(p.batch.stopAfter)
	}
	p.w.emit.Completion(p.timers.batch, end)
}

// setCommit sets the next commit point inside the batch, if one is left before
// its end.
func (p *static) setCommit() {
	next := p.batch.committed + p.w.spec.CommitInterval
	at := vtime.Never
	if p.w.spec.CommitInterval > 0 && p.w.spec.Stateful() && next < p.batch.stopAfter {
		at = p.batch.timetable.At(next)
	}
	p.w.emit.Timer(p.timers.commit, at)
}

func (p *static) commit() {
	p.batch.committed += p.w.spec.CommitInterval
	p.w.report(event.TokensCommitted{
		Epoch: p.epoch, Pipeline: p.index, Batch: p.batch.id, Tokens: p.batch.committed, At: p.w.emit.Now,
	})
	p.setCommit()
}

// end answers a whole batch, or exits with one that was cut.
func (p *static) end() {
	b := p.batch
	if !b.whole() {
		p.exit()
		return
	}
	p.batch = nil
	p.w.emit.Timer(p.timers.commit, vtime.Never)
	p.w.report(event.BatchCompleted{
		Epoch: p.epoch, Pipeline: p.index, Batch: b.id, Requests: b.ids,
		StartedAt: b.timetable.Start, EndedAt: p.w.emit.Now,
	})
	if len(p.pool) > 0 {
		p.pollAt(p.w.emit.Now.Add(p.w.spec.Delays.Poll))
	}
	p.waitForWork()
}

// rearrange gives the running batch its last token.
func (p *static) rearrange() {
	b := p.batch
	b.stopAfter = max(p.arranged.Tokens(b.timetable), b.timetable.Done(p.w.emit.Now))
	if !b.whole() && b.timetable.At(b.stopAfter) <= p.w.emit.Now || b.stopAfter == 0 {
		p.exit()
		return
	}
	p.setEnd()
	p.setCommit()
}

// tooLate reports whether not even the prefill of one request fits before the
// arranged stop.
func (p *static) tooLate() bool {
	return p.arranged.IdleExit(p.prefillOne()) <= p.w.emit.Now
}

func (p *static) prefillOne() time.Duration {
	return scale(p.w.latency.PrefillTokens(p.config, 1, p.w.spec.PromptTokens), p.w.spec.Engine.ExecutionScale)
}

// report tells how far the batch has come, and what was not begun.
func (p *static) report(fact *event.PipelineExited) {
	if b := p.batch; b != nil {
		fact.Batch, fact.StartedAt = b.id, b.timetable.Start
		done := min(max(b.timetable.Done(fact.At), b.committed), b.stopAfter)
		fact.Computed = done
		for _, r := range b.requests {
			if done == 0 && b.timetable.Prefill > 0 || !p.w.spec.Stateful() {
				// Cut in its prefill there is no whole KV cache to carry, and a
				// stateless approach carries none.
				fact.Unprocessed = append(fact.Unprocessed, r.Request)
				continue
			}
			fact.Interrupted = append(fact.Interrupted, event.Progress{
				Request: r.Request, Committed: min(r.OutputTokens, r.Committed+done),
			})
		}
	}
	// An inherited batch that never ran keeps its KV cache too.
	for _, r := range p.resume {
		fact.Interrupted = append(fact.Interrupted, event.Progress{Request: r.Request, Committed: r.Committed})
	}
	fact.Unprocessed = append(fact.Unprocessed, ids(p.pool)...)
}

// timetable prices a batch: its requests run together until the one with most
// tokens left is done. Requests without KV cache prefill their prompt and the
// tokens committed before the cache was lost.
func (p *static) timetable(requests []event.AssignedRequest, cached bool) arrange.Batch {
	n := roundUp(len(requests))
	tokens, prompt := 0, 0
	for _, r := range requests {
		tokens = max(tokens, r.OutputTokens-r.Committed)
		prompt = max(prompt, r.PromptTokens+r.Committed)
	}
	if cached {
		prompt = 0
	}
	factor := p.factor()
	return arrange.Batch{
		Start:   p.w.emit.Now,
		Prefill: scale(p.w.latency.PrefillTokens(p.config, n, prompt), factor),
		Token:   scale(p.w.latency.Decode(p.config, n), factor),
		Tail:    scale(p.w.latency.Embed(n), factor),
		Tokens:  tokens,
	}
}

// factor is real over profiled time for the next batch. The jitter is drawn
// for the batch's name, so it does not depend on anything that ran before, nor
// on the term: plans are counted over all leaders of a run.
func (p *static) factor() float64 {
	e := p.w.spec.Engine
	var buf [64]byte // longer than any name: the draws are many
	name := append(buf[:0], "jitter/1."...)
	name = strconv.AppendUint(name, p.epoch.N, 10)
	name = strconv.AppendInt(append(name, '/'), int64(p.index), 10)
	name = strconv.AppendUint(append(name, '/'), p.batches+1, 10)
	return e.ExecutionScale * max(0.5, 1+e.JitterSigma*draw.Normal(p.w.spec.Seed, string(name)))
}

// roundUp is the smallest power of two that is at least n: profiles have no
// other batch sizes.
func roundUp(n int) int {
	p := serve.PowerOfTwo(n)
	if p < n {
		return 2 * p
	}
	return p
}
