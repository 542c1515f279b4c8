package node

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/model"
)

// askGroup is the group of the leader's question whether a node's part of the
// pipeline is ready. It is the last that a mesh takes; micro-batches have
// those below.
const askGroup = 4095

// askAgain is how long the leader waits for an answer before it asks again: a
// connection may break with the question, or the answer, on it.
const askAgain = 2 * time.Second

// warnAgain is how long a pipeline whose steps fail warns of no other one.
const warnAgain = time.Minute

// line is a pipeline that this node has shards of, from the plan that starts it
// until a plan that does not keep it, or a halt.
type line struct {
	*start
	node *Node
	mesh *meshUse
	ctx  context.Context
	stop context.CancelFunc

	here  chan struct{} // closed when weights and cache of the seats are here
	ready chan struct{} // closed when the shards can compute
	done  chan struct{} // closed when nothing of it computes any more
	// cached is the least of the seats' cache, by sequence; set before here is
	// closed.
	cached []landed

	live   map[uint64]bool           // sequences that were computed here; retention's mutex guards it
	jobs   *queue[job]               // of the leader's seat
	number uint64                    // of the leader's last step
	warned atomic.Pointer[time.Time] // when the log was last warned of a failed step; nil: never
}

// job is a step for a seat.
type job struct {
	step dataplane.Step
	work work
	head []byte    // of the work
	rows []float32 // of the stage before; nil in the first
}

func newLine(n *Node, s *start, m *meshUse) *line {
	l := &line{
		start: s, node: n, mesh: m, jobs: newQueue[job](), live: make(map[uint64]bool),
		here: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{}),
	}
	l.ctx, l.stop = context.WithCancel(n.ctx)
	return l
}

// run takes part in the pipeline until it is stopped.
func (l *line) run() {
	defer close(l.done)
	defer l.mesh.release()
	var parts sync.WaitGroup
	defer parts.Wait()
	defer l.stop()
	shards := make([]*llm.Shard, len(l.seats))
	for i, s := range l.seats {
		parts.Go(func() { l.sit(&parts, s, &shards[i]) })
	}
	select {
	case <-l.here:
	case <-l.ctx.Done():
		return
	}
	release, err := l.assemble(shards)
	defer func() {
		parts.Wait()
		release()
	}()
	defer l.stop()
	if err != nil {
		l.node.log.Error("a pipeline cannot be assembled", "epoch", l.epoch, "pipeline", l.index, "error", err)
		<-l.ctx.Done()
		return
	}
	close(l.ready)
	l.node.emit(engineop.StageUp{Epoch: l.epoch, Pipeline: l.index})
	if l.leads {
		l.open()
	}
	<-l.ctx.Done()
}

// assemble makes the shards of the seats. Their weights stay until release.
func (l *line) assemble(shards []*llm.Shard) (release func(), err error) {
	held := make(map[model.BlobID][]byte)
	var releases []func()
	release = func() {
		for _, f := range releases {
			f()
		}
	}
	for i, s := range l.seats {
		for id := range cells(s.region) {
			data, done, err := l.node.store.Get(id)
			if err != nil {
				return release, err
			}
			held[id] = data
			releases = append(releases, done)
		}
		shards[i], err = llm.NewShard(llm.Options{
			Config: l.node.config, Layers: [2]int{s.region.FirstLayer, s.region.EndLayer}, Leaves: [2]int{s.region.FirstLeaf, s.region.EndLeaf},
			Blob: func(id model.BlobID) []byte { return held[id] }, KV: l.node.cache, CPU: l.node.cpu,
		})
		if err != nil {
			return release, err
		}
	}
	return release, nil
}

// sit computes the steps of a seat in the order in which they come.
func (l *line) sit(parts *sync.WaitGroup, s seat, shard **llm.Shard) {
	for {
		j, ok := l.next(parts, s)
		if !ok {
			return
		}
		select {
		case <-l.ready:
		case <-l.ctx.Done():
			return
		}
		if err := l.compute(s, *shard, j); err != nil && l.ctx.Err() == nil {
			l.node.stats.failed.Add(1)
			l.abort(s, j.step, err)
		}
	}
}

// next is the seat's next step: the leader's own come from its core.
func (l *line) next(parts *sync.WaitGroup, s seat) (job, bool) {
	if l.peer(s.at.Pipeline, s.at.Tensor) == l.leader() {
		return l.jobs.pop(l.ctx.Done())
	}
	for {
		m, err := l.mesh.Accept(l.ctx, s.device)
		if err != nil {
			return job{}, false
		}
		if m.Step.Group == askGroup {
			parts.Go(func() { l.tell(s, m.Step) })
			continue
		}
		w, err := decodeWork(m.Head)
		if err != nil {
			l.abort(s, m.Step, err)
			continue
		}
		return job{step: m.Step, work: w, head: m.Head, rows: m.Rows}, true
	}
}

// abort gives a step up on all devices of the pipeline.
func (l *line) abort(s seat, step dataplane.Step, reason error) {
	if err := l.mesh.Abort(s.device, step, reason); err != nil {
		l.node.log.Warn("a step cannot be given up", "step", step.String(), "reason", reason, "error", err)
	}
}

// compute is a seat's part of a step.
func (l *line) compute(s seat, shard *llm.Shard, j job) error {
	for _, id := range j.work.release {
		l.forget(id)
	}
	for _, q := range j.work.batch {
		l.touch(q.ID)
	}
	stage, rank := s.at.Pipeline, s.at.Tensor
	ctx, cancel := context.WithTimeout(l.ctx, l.node.StepTimeout)
	defer cancel()
	if stage == 0 && rank == 0 {
		for r := 1; r < l.config.Tensor; r++ {
			if err := l.mesh.Send(ctx, s.device, l.peer(0, r), j.step, dataplane.Work, j.head, nil); err != nil {
				return err
			}
		}
	}
	tokens, err := l.pass(ctx, s, shard, j)
	if err != nil {
		return err
	}
	l.node.stats.steps.Add(1)
	l.node.stats.positions.Add(int64(j.work.rows()))
	if stage == l.config.Pipeline-1 && rank == 0 {
		return l.mesh.Send(ctx, s.device, l.leader(), j.step, dataplane.Answer, encodeAnswer(tokens), nil)
	}
	return nil
}

// pass is the numerical part of a step: it takes the rows through the seat's
// layers and on to the next stage, or to the next tokens.
func (l *line) pass(ctx context.Context, s seat, shard *llm.Shard, j job) (tokens []int32, err error) {
	comm, err := l.comm(s, j.step)
	if err != nil {
		return nil, err
	}
	rows := j.rows
	if s.at.Pipeline == 0 {
		if rows, err = shard.Embed(ctx, comm, j.work.batch); err != nil {
			return nil, err
		}
	}
	if err := shard.Forward(ctx, comm, j.work.batch, rows); err != nil {
		return nil, err
	}
	if next := s.at.Pipeline + 1; next < l.config.Pipeline {
		return nil, l.mesh.Send(ctx, s.device, l.peer(next, s.at.Tensor), j.step, dataplane.Work, j.head, rows)
	}
	return shard.Next(ctx, comm, j.work.batch, rows)
}

// comm joins the ranks of a seat's stage for one step.
func (l *line) comm(s seat, step dataplane.Step) (llm.Comm, error) {
	if l.config.Tensor == 1 {
		return llm.Alone{}, nil
	}
	ranks := l.devices[s.at.Pipeline*l.config.Tensor:][:l.config.Tensor]
	return l.mesh.Comm(ranks, s.at.Tensor, step)
}

// submit begins a step of the leader; its answer comes as an event.
func (l *line) submit(op engineop.Compute) {
	l.number++
	j := job{step: dataplane.Step{Pipeline: l.index, Group: op.Group, Number: l.number}}
	for _, id := range op.Release {
		j.work.release = append(j.work.release, uint64(id))
	}
	for _, q := range op.Sequences {
		j.work.batch = append(j.work.batch, llm.Sequence{
			ID: uint64(q.Request), Start: q.Start, Tokens: q.Tokens, Sample: q.Sample,
			Sampling: llm.Sampling{Temperature: q.Sampling.Temperature, TopP: q.Sampling.TopP, TopK: q.Sampling.TopK, Seed: q.Sampling.Seed},
		})
	}
	j.head = j.work.encode()
	go func() {
		tokens, err := l.await(j.step)
		switch {
		case l.ctx.Err() != nil: // halted: nobody waits for it
		case err != nil:
			l.tellFailed(j.step, err)
			l.node.emit(engineop.ComputeFailed{Epoch: op.Epoch, Pipeline: op.Pipeline, Group: op.Group, Step: op.Step, Reason: err.Error()})
		default:
			l.node.emit(engineop.Computed{Epoch: op.Epoch, Pipeline: op.Pipeline, Group: op.Group, Step: op.Step, Tokens: tokens})
		}
	}()
	l.jobs.push(j)
}

// tellFailed logs a step that has failed: it is tried again and again, so at most one
// a minute is a warning. The metrics count all of them.
func (l *line) tellFailed(step dataplane.Step, err error) {
	level, last, now := slog.LevelDebug, l.warned.Load(), time.Now()
	if (last == nil || now.Sub(*last) >= warnAgain) && l.warned.CompareAndSwap(last, &now) {
		level = slog.LevelWarn
	}
	l.node.log.Log(l.ctx, level, "a step has failed", "epoch", l.epoch, "step", step.String(), "error", err)
}

// await waits for the last stage's answer to a step.
func (l *line) await(step dataplane.Step) ([]int32, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.node.StepTimeout)
	defer cancel()
	last := l.peer(l.config.Pipeline-1, 0)
	m, err := l.mesh.Recv(ctx, l.leader().Device, last, step, dataplane.Answer)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	return decodeAnswer(m.Head)
}
