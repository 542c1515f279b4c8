// Package worker is the core of a worker: a node's context daemon and the
// pipelines that the node leads.
//
// A worker stands by until InstanceAcquired names its node. It then does what
// the planner's commands say and answers with facts. InstanceLost clears all
// it held; the node may come back. The leader of a pipeline is the node with its
// first position: it forms the batches and knows their progress at any instant.
package worker

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// Worker is the deterministic core of one node.
type Worker struct {
	node    string
	spec    experiment.Spec
	latency *cost.LatencyModel
	emit    effect.Emitter

	active    bool
	epoch     event.Epoch
	daemon    ContextDaemon
	stages    map[int]event.StageStarted // by pipeline: what to report when the engine is up
	pipelines map[int]*pipeline          // that this node leads
	tokenizer engineop.Tokenizer         // of the model that the node computes, if it has one
}

// New returns the worker of node. Its run begins with RunStarted.
func New(node string) *Worker {
	return &Worker{node: node, emit: effect.Emitter{Source: node}}
}

// NewIncarnation returns the worker of node in a process that joins a run in
// progress: it holds nothing of what earlier ones held.
func NewIncarnation(node string, incarnation uint64) *Worker {
	w := New(node)
	w.emit.After = event.FirstSeq(incarnation)
	return w
}

// Tokenize gives the worker the tokenizer of the model that its engine computes.
// Without one it refuses prompts that are text.
func (w *Worker) Tokenize(t engineop.Tokenizer) { w.tokenizer = t }

// Step takes one event and returns what to do about it. The worker's time is
// the event's, and never runs back.
func (w *Worker) Step(now vtime.Time, ev event.Event) []effect.Effect {
	w.emit.Now = max(w.emit.Now, now)
	w.emit.Cause = ev.ID()
	switch b := ev.Body.(type) {
	case event.RunStarted:
		w.start(ev.Run, b.Spec)
	case event.InstanceAcquired:
		w.active = w.active || slices.ContainsFunc(b.Instances, func(i experiment.Instance) bool { return i.Node == w.node })
	case event.InstanceLost:
		if slices.Contains(b.Nodes, w.node) {
			w.clear()
		}
	case event.Drain:
		w.clear()
	default:
		if w.active && w.latency != nil {
			w.command(b)
		}
	}
	return w.emit.Take()
}

func (w *Worker) start(run string, spec experiment.Spec) {
	latency, err := cost.NewLatencyModel(spec.Model, spec.Profile)
	if err != nil || spec.Measured() && spec.Transformer == nil {
		// The replayer checked the experiment; a worker that cannot price a
		// batch stays silent rather than guess.
		return
	}
	w.spec, w.latency, w.emit.Run = spec, latency, run
	w.daemon = ContextDaemon{}
	w.stages = make(map[int]event.StageStarted)
	w.pipelines = make(map[int]*pipeline)
}

func (w *Worker) command(b event.Body) {
	switch b := b.(type) {
	case event.ApplyMigration:
		w.apply(b)
	case event.PrepareMigration:
		if w.spec.Measured() {
			w.emit.Do(engineop.Prepare{Part: b})
		}
	case event.AssignRequests:
		if p := w.led(b.Pipeline, b.Epoch); p != nil {
			p.engine.assign(b.Requests)
		}
	case event.ArrangeInterruption:
		if p := w.led(b.Pipeline, b.Epoch); p != nil {
			p.arrange(b)
		}
	case event.StopPipeline:
		if p := w.led(b.Pipeline, b.Epoch); p != nil {
			w.drop(p)
		}
	case event.TimerFired:
		w.timer(b.Timer)
	default:
		w.answer(b)
	}
}

// led returns the pipeline that a command is for; nil fences commands for
// pipelines that this node does not lead, or not in that epoch.
func (w *Worker) led(index int, epoch event.Epoch) *pipeline {
	if p := w.pipelines[index]; p != nil && p.epoch == epoch {
		return p
	}
	return nil
}

// apply takes this node's part in a new configuration, whole or not at all.
func (w *Worker) apply(b event.ApplyMigration) {
	if !w.epoch.Less(b.Epoch) {
		return
	}
	w.epoch = b.Epoch
	for _, index := range sortedKeys(w.pipelines) {
		if !slices.Contains(b.Keep, index) {
			w.drop(w.pipelines[index])
		}
	}
	for _, index := range sortedKeys(w.stages) {
		delete(w.stages, index)
		w.emit.Timer(timerName(timerStage, index), vtime.Never)
	}
	w.daemon.Apply(b)
	for _, s := range b.Pipelines {
		w.stages[s.Pipeline] = w.stage(b, s)
		if !w.spec.Measured() {
			w.emit.Timer(timerName(timerStage, s.Pipeline), s.EngineReadyAt)
		}
		if s.Leader {
			w.pipelines[s.Pipeline] = newPipeline(w, b, s)
		}
	}
	switch {
	case w.spec.Measured():
		w.emit.Do(engineop.Reshape{Part: b})
	case len(b.Pipelines) > 0:
		w.emit.Timer(timerContext, max(w.emit.Now, b.Begin.Add(w.daemon.Complete())))
	default:
		w.emit.Timer(timerContext, vtime.Never)
	}
}

// stage is what this node will report of a pipeline. A node that holds shards
// of several stages of one pipeline reports them together, under the first.
func (w *Worker) stage(b event.ApplyMigration, s event.PipelineStart) event.StageStarted {
	out := event.StageStarted{Epoch: b.Epoch, Pipeline: s.Pipeline, Stage: -1, At: s.EngineReadyAt}
	for _, place := range b.Placements {
		if place.Position.Data != s.Pipeline {
			continue
		}
		if out.Stage < 0 {
			out.Stage = place.Position.Pipeline
		}
		out.Shards++
	}
	return out
}

// drop forgets a pipeline and takes its timers back.
func (w *Worker) drop(p *pipeline) {
	delete(w.pipelines, p.index)
	for _, t := range []string{p.timers.poll, p.timers.batch, p.timers.commit, p.timers.exit} {
		w.emit.Timer(t, vtime.Never)
	}
	if w.spec.Measured() {
		w.emit.Do(engineop.Halt{Epoch: p.epoch, Pipeline: p.index})
	}
}

func (w *Worker) clear() {
	for _, index := range sortedKeys(w.pipelines) {
		w.drop(w.pipelines[index])
	}
	for _, index := range sortedKeys(w.stages) {
		delete(w.stages, index)
		w.emit.Timer(timerName(timerStage, index), vtime.Never)
	}
	w.emit.Timer(timerContext, vtime.Never)
	w.daemon = ContextDaemon{}
	w.active = false
	if w.spec.Measured() {
		w.emit.Do(engineop.Clear{})
	}
}

// The timers of a worker; all but context carry a pipeline's number.
const (
	timerContext = "context"
	timerStage   = "stage"
	timerPoll    = "poll"
	timerBatch   = "batch"
	timerCommit  = "commit"
	timerExit    = "exit"
)

func timerName(kind string, pipeline int) string { return kind + "/" + strconv.Itoa(pipeline) }

func (w *Worker) timer(name string) {
	kind, number, _ := strings.Cut(name, "/")
	if kind == timerContext {
		w.report(event.ContextMigrated{
			Epoch: w.epoch, At: w.emit.Now, Bytes: w.daemon.Received(), DiskBytes: w.daemon.Loaded(),
		})
		return
	}
	index, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	if kind == timerStage {
		w.stageUp(index)
		return
	}
	p := w.pipelines[index]
	if p == nil {
		return
	}
	switch kind {
	case timerPoll:
		p.poll()
	case timerBatch, timerCommit:
		p.engine.due(kind)
	case timerExit:
		p.idleExit()
	}
}

func (w *Worker) stageUp(index int) {
	s, ok := w.stages[index]
	if !ok {
		return
	}
	delete(w.stages, index)
	w.report(s)
	if p := w.pipelines[index]; p != nil && !w.spec.Measured() {
		p.start()
	}
}

// report publishes a fact; the planner takes it one response delay later.
func (w *Worker) report(b event.Body) {
	w.emit.Fact(w.emit.Now.Add(w.spec.Delays.Response), b)
}

func sortedKeys[V any](m map[int]V) []int {
	out := make([]int, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
