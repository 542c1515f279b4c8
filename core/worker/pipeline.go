package worker

import (
	"time"

	"github.com/spotserve/spotserve/core/arrange"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// pipeline is the engine of one data-parallel replica, as its leader runs it:
// starting, then idle or computing, until it exits for a migration.
type pipeline struct {
	w        *Worker
	index    int
	epoch    event.Epoch
	config   topology.ParallelConfig
	limit    int          // requests in a batch
	stagesAt []vtime.Time // each stage has its context
	timers   timers

	up       bool
	polling  bool
	resume   []event.AssignedRequest // inherited, with their KV cache
	arranged *arrange.Interruption
	engine   engine
}

// engine forms batches of what is in the pool and computes them. It emits, and
// leaves the pipeline, by itself.
type engine interface {
	// assign takes requests into the pool.
	assign(requests []event.AssignedRequest)
	// waiting reports whether the pool holds requests.
	waiting() bool
	// busy reports whether a batch is being computed.
	busy() bool
	// poll looks into the pool of an idle pipeline.
	poll()
	// due is called when the batch timer or the commit timer fires.
	due(timer string)
	// rearrange fits the running batch to a new arrangement.
	rearrange()
	// prefillOne is how long the prefill of one request takes.
	prefillOne() time.Duration
	// prefilledAt is what PrefilledAt says of a busy engine.
	prefilledAt() vtime.Time
	// report adds the batch and the pool to the fact of an exit.
	report(*event.PipelineExited)
}

// timers are the names of a pipeline's timers.
type timers struct{ poll, batch, commit, exit string }

func newPipeline(w *Worker, b event.ApplyMigration, s event.PipelineStart) *pipeline {
	p := &pipeline{
		w: w, index: s.Pipeline, epoch: b.Epoch, config: b.Config, limit: b.BatchLimit,
		stagesAt: s.StagesReadyAt, resume: s.Resume,
		timers: timers{
			timerName(timerPoll, s.Pipeline), timerName(timerBatch, s.Pipeline),
			timerName(timerCommit, s.Pipeline), timerName(timerExit, s.Pipeline),
		},
	}
	switch {
	case w.spec.Measured():
		p.engine = newMeasured(p, b)
	case w.spec.Batching == experiment.Continuous:
		p.engine = &continuous{pipeline: p, kvTokens: b.KVTokens, timer: vtime.Never}
	default:
		p.engine = &static{pipeline: p}
	}
	return p
}

// start is called when the engine is up; one that computes, when it has all its
// context too.
func (p *pipeline) start() {
	p.up = true
	if len(p.resume) > 0 || p.engine.waiting() {
		p.pollAt(p.w.emit.Now)
	}
	p.waitForWork()
}

func (p *pipeline) pollAt(at vtime.Time) {
	if !p.polling {
		p.polling = true
		p.w.emit.Timer(p.timers.poll, at)
	}
}

func (p *pipeline) poll() {
	p.polling = false
	if !p.engine.busy() {
		p.engine.poll()
	}
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

// arrange takes notice of a reconfiguration: a running batch gets its last
// token, an idle pipeline the time until which it waits for work.
func (p *pipeline) arrange(a event.ArrangeInterruption) {
	p.arranged = &arrange.Interruption{Acquisition: a.Acquisition, At: a.At, Migration: a.Migration}
	switch {
	case !p.up:
		p.exit()
	case p.engine.busy():
		p.engine.rearrange()
	default:
		p.waitForWork()
	}
}

// waitForWork lets an arranged, idle pipeline exit when it is too late to begin
// anything.
func (p *pipeline) waitForWork() {
	if p.arranged != nil && !p.engine.busy() {
		p.w.emit.Timer(p.timers.exit, max(p.w.emit.Now, p.arranged.IdleExit(p.engine.prefillOne())))
	}
}

func (p *pipeline) idleExit() {
	if p.arranged != nil && !p.engine.busy() {
		p.exit()
	}
}

// exit stops the pipeline and reports how far its requests have come.
func (p *pipeline) exit() {
	fact := event.PipelineExited{Epoch: p.epoch, Pipeline: p.index, At: p.w.emit.Now, StartedAt: vtime.Never}
	p.engine.report(&fact)
	p.w.drop(p)
	p.w.report(fact)
}

func scale(d time.Duration, f float64) time.Duration {
	return time.Duration(float64(d)*f + 0.5)
}

func ids(requests []event.AssignedRequest) []event.RequestID {
	out := make([]event.RequestID, len(requests))
	for i, r := range requests {
		out[i] = r.Request
	}
	return out
}
