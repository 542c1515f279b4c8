package worker

import (
	"fmt"
	"time"

	"github.com/spotserve/spotserve/core/arrange"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// pipeline is the engine of one data-parallel replica, as its leader runs it:
// starting, then idle or running a batch, until it exits for a migration.
type pipeline struct {
	w        *Worker
	index    int
	epoch    event.Epoch
	config   topology.ParallelConfig
	limit    int          // requests in a batch
	stagesAt []vtime.Time // each stage has its context

	up       bool
	polling  bool
	resume   []event.AssignedRequest // inherited, with their KV cache
	pool     []event.AssignedRequest
	batch    *batch
	batches  uint64
	arranged *arrange.Interruption
}

// batch is what the engine computes now.
type batch struct {
	id        uint64
	requests  []event.AssignedRequest
	timetable arrange.Batch
	stopAfter int // tokens to decode; timetable.Tokens runs the whole batch
	committed int // tokens since the batch began that were reported as kept
}

func (b *batch) whole() bool { return b.stopAfter == b.timetable.Tokens }

func newPipeline(w *Worker, b event.ApplyMigration, s event.PipelineStart) *pipeline {
	return &pipeline{
		w: w, index: s.Pipeline, epoch: b.Epoch, config: b.Config, limit: b.BatchLimit,
		stagesAt: s.StagesReadyAt, resume: s.Resume,
	}
}

// start is called when the engine is up.
func (p *pipeline) start() {
	p.up = true
	if len(p.resume) > 0 || len(p.pool) > 0 {
		p.pollAt(p.w.emit.Now)
	}
	p.waitForWork()
}

func (p *pipeline) assign(requests []event.AssignedRequest) {
	p.pool = append(p.pool, requests...)
	if p.up && p.batch == nil {
		p.pollAt(p.w.emit.Now.Add(p.w.spec.Delays.Poll))
	}
}

func (p *pipeline) pollAt(at vtime.Time) {
	if !p.polling {
		p.polling = true
		p.w.emit.Timer(timerName(timerPoll, p.index), at)
	}
}

// poll forms the next batch: an inherited one first, then the largest power of
// two of the pool.
func (p *pipeline) poll() {
	p.polling = false
	if p.batch != nil {
		return
	}
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
	p.run(&batch{id: p.batches + 1, requests: requests, timetable: timetable, stopAfter: stopAfter}, resumed)
}

// gate is when a batch may begin: its prefill must not reach a stage before the
// stage's context does. A batch without prefill needs all stages at once.
func (p *pipeline) gate(prefill time.Duration) vtime.Time {
	var gate vtime.Time
	for stage, at := range p.stagesAt {
		gate = max(gate, at.Add(-prefill*time.Duration(stage)/time.Duration(len(p.stagesAt))))
	}
	return gate
}

// run begins a batch.
func (p *pipeline) run(b *batch, resumed bool) {
	p.batches = b.id
	p.batch = b
	p.w.report(event.BatchStarted{
		Epoch: p.epoch, Pipeline: p.index, Batch: b.id, Requests: ids(b.requests), Resumed: resumed, At: p.w.emit.Now,
	})
	p.setEnd()
	p.setCommit()
}

func (p *pipeline) setEnd() {
	end := p.batch.timetable.End()
	if !p.batch.whole() {
		end = p.batch.timetable.At(p.batch.stopAfter)
	}
	p.w.emit.Completion(timerName(timerBatch, p.index), end)
}

// setCommit sets the next commit point inside the batch, if one is left before
// its end.
func (p *pipeline) setCommit() {
	next := p.batch.committed + p.w.spec.CommitInterval
	at := vtime.Never
	if p.w.spec.CommitInterval > 0 && p.w.spec.Stateful() && next < p.batch.stopAfter {
		at = p.batch.timetable.At(next)
	}
	p.w.emit.Timer(timerName(timerCommit, p.index), at)
}

func (p *pipeline) commit() {
	if p.batch == nil {
		return
	}
	p.batch.committed += p.w.spec.CommitInterval
	p.w.report(event.TokensCommitted{
		Epoch: p.epoch, Pipeline: p.index, Batch: p.batch.id, Tokens: p.batch.committed, At: p.w.emit.Now,
	})
	p.setCommit()
}

// batchEnds answers a whole batch, or exits with one that was cut.
func (p *pipeline) batchEnds() {
	b := p.batch
	if b == nil {
		return
	}
	if !b.whole() {
		p.exit()
		return
	}
	p.batch = nil
	p.w.emit.Timer(timerName(timerCommit, p.index), vtime.Never)
	p.w.report(event.BatchCompleted{
		Epoch: p.epoch, Pipeline: p.index, Batch: b.id, Requests: ids(b.requests),
		StartedAt: b.timetable.Start, EndedAt: p.w.emit.Now,
	})
	if len(p.pool) > 0 {
		p.pollAt(p.w.emit.Now.Add(p.w.spec.Delays.Poll))
	}
	p.waitForWork()
}

// arrange takes notice of a reconfiguration: a running batch gets its last
// token, an idle pipeline the time until which it waits for work.
func (p *pipeline) arrange(a event.ArrangeInterruption) {
	p.arranged = &arrange.Interruption{Acquisition: a.Acquisition, At: a.At, Migration: a.Migration}
	if !p.up {
		p.exit()
		return
	}
	if b := p.batch; b != nil {
		b.stopAfter = max(p.arranged.Tokens(b.timetable), b.timetable.Done(p.w.emit.Now))
		if !b.whole() && b.timetable.At(b.stopAfter) <= p.w.emit.Now || b.stopAfter == 0 {
			p.exit()
			return
		}
		p.setEnd()
		p.setCommit()
		return
	}
	p.waitForWork()
}

// waitForWork lets an arranged, idle pipeline exit when it is too late to begin
// anything.
func (p *pipeline) waitForWork() {
	if p.arranged != nil && p.batch == nil {
		p.w.emit.Timer(timerName(timerExit, p.index), max(p.w.emit.Now, p.arranged.IdleExit(p.prefillOne())))
	}
}

func (p *pipeline) idleExit() {
	if p.arranged != nil && p.batch == nil {
		p.exit()
	}
}

// tooLate reports whether not even the prefill of one request fits before the
// arranged stop.
func (p *pipeline) tooLate() bool {
	return p.arranged.IdleExit(p.prefillOne()) <= p.w.emit.Now
}

func (p *pipeline) prefillOne() time.Duration {
	return scale(p.w.latency.Prefill(p.config, 1), p.w.spec.Engine.ExecutionScale)
}

// exit stops the pipeline and reports how far its batch has come.
func (p *pipeline) exit() {
	now := p.w.emit.Now
	fact := event.PipelineExited{Epoch: p.epoch, Pipeline: p.index, At: now, StartedAt: vtime.Never}
	if b := p.batch; b != nil {
		fact.Batch, fact.StartedAt = b.id, b.timetable.Start
		done := min(max(b.timetable.Done(now), b.committed), b.stopAfter)
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
	p.w.drop(p)
	p.w.report(fact)
}

// timetable prices a batch: its requests run together until the one with most
// tokens left is done. Requests without KV cache prefill their prompt and the
// tokens committed before the cache was lost.
func (p *pipeline) timetable(requests []event.AssignedRequest, cached bool) arrange.Batch {
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
// for the batch's name, so it does not depend on anything that ran before.
func (p *pipeline) factor() float64 {
	e := p.w.spec.Engine
	name := fmt.Sprintf("jitter/%s/%d/%d", p.epoch, p.index, p.batches+1)
	return e.ExecutionScale * max(0.5, 1+e.JitterSigma*draw.Normal(p.w.spec.Seed, name))
}

func scale(d time.Duration, f float64) time.Duration {
	return time.Duration(float64(d)*f + 0.5)
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

func ids(requests []event.AssignedRequest) []event.RequestID {
	out := make([]event.RequestID, len(requests))
	for i, r := range requests {
		out[i] = r.Request
	}
	return out
}
