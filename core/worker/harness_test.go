package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/core/worker"
)

// The tests below run a model of round numbers on one GPU: a prompt of 100
// tokens prefills in 2 s, a token takes 100 ms, the answer another 500 ms,
// whatever the batch. Facts take 20 ms, a look into the pool 10 ms.
func spec() experiment.Spec {
	s := fixture.Small()
	s.Model = cost.Model{Name: "round", Layers: 1, PaddedLayers: 1}
	row := func(n int) cost.PhaseLatency { return cost.PhaseLatency{Batch: n, Prefill: 2000, Decode: 100} }
	s.Profile = cost.Profile{
		Name: "round", PromptTokens: 100, FixFactor: 1, Embed: []float64{250, 250, 250}, MaxTensor: 1,
		Tensors: []cost.TensorProfile{{Tensor: 1, Rows: []cost.PhaseLatency{row(1), row(2), row(4)}}},
	}
	s.PromptTokens, s.OutputTokens = 100, 10
	s.Engine.ExecutionScale, s.Engine.JitterSigma = 1, 0
	s.CommitInterval = 0
	return s
}

var (
	config = topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: 1, Batch: 1, PrefillMicroBatches: 1, DecodeMicroBatches: 1}
	epoch1 = event.Epoch{Term: 1, N: 1}
	epoch2 = event.Epoch{Term: 1, N: 2}
	device = topology.Device{Node: "a"}
)

// node drives the worker of node a by its agenda, as the simulator and the live
// actor do, and keeps what it says.
type node struct {
	t      *testing.T
	worker *worker.Worker
	agenda *agenda.Agenda
	now    vtime.Time
	seq    uint64
	facts  []event.Event
}

// newNode returns a node that has joined a run of s.
func newNode(t *testing.T, s experiment.Spec) *node {
	n := &node{t: t, worker: worker.New("a"), agenda: agenda.New("a")}
	n.send(event.RunStarted{Spec: s}, event.InstanceAcquired{Instances: []experiment.Instance{{Node: "a", GPUs: 1}}})
	return n
}

// serving returns a node that leads pipeline 0, up since 7 s; it is 10 s now.
func serving(t *testing.T, s experiment.Spec) *node {
	n := newNode(t, s)
	n.send(plan(epoch1, 0))
	n.until(10)
	n.said("7.020 stage 0 up", "0.020 context of 1.1: 0 bytes, 0 from disk")
	return n
}

// plan gives node a the only position of pipeline 0. Its engine is up 7 s and
// its context complete contextAt seconds into the run, by a step that moves
// nothing.
func plan(epoch event.Epoch, contextAt float64, resume ...event.AssignedRequest) event.ApplyMigration {
	return event.ApplyMigration{
		Epoch: epoch, Config: config, BatchLimit: 4, Placements: []topology.Placement{{Device: device}},
		Steps: []migrate.Step{{To: device, After: vtime.Duration(contextAt)}},
		Pipelines: []event.PipelineStart{{
			Leader: true, EngineReadyAt: vtime.Seconds(7), StagesReadyAt: []vtime.Time{vtime.Seconds(contextAt)}, Resume: resume,
		}},
	}
}

// request has a prompt of 100 tokens and wants 10.
func request(id int, committed int) event.AssignedRequest {
	return event.AssignedRequest{Request: event.RequestID(id), PromptTokens: 100, OutputTokens: 10, Committed: committed}
}

func assign(epoch event.Epoch, requests ...event.AssignedRequest) event.AssignRequests {
	return event.AssignRequests{Epoch: epoch, Requests: requests}
}

// leave asks for a stop at the given second, before nodes go.
func leave(epoch event.Epoch, at float64) event.ArrangeInterruption {
	return event.ArrangeInterruption{Epoch: epoch, At: vtime.Seconds(at + 1), Migration: time.Second}
}

// join asks for a stop at the given second, when nodes join.
func join(epoch event.Epoch, at float64) event.ArrangeInterruption {
	return event.ArrangeInterruption{Epoch: epoch, Acquisition: true, At: vtime.Seconds(at)}
}

// send delivers bodies now.
func (n *node) send(bodies ...event.Body) {
	for _, b := range bodies {
		n.seq++
		n.step(event.Event{Run: "run", Source: event.SourcePlanner, Seq: n.seq, To: "a", Time: n.now, Body: b})
	}
}

func (n *node) step(ev event.Event) {
	for _, e := range n.worker.Step(ev.Time, ev) {
		if e.Publishes() {
			n.facts = append(n.facts, e.Event)
		} else {
			n.agenda.Set("run", e.Timer)
		}
	}
}

// until lets time pass up to a second of the run, timers included.
func (n *node) until(second float64) {
	for n.agenda.NextTime() <= vtime.Seconds(second) {
		ev := n.agenda.Pop()
		n.now = ev.Time
		n.step(ev)
	}
	n.now = vtime.Seconds(second)
}

// said compares the facts since the last call, in any order: what the planner
// takes when.
func (n *node) said(want ...string) {
	n.t.Helper()
	got := make([]string, len(n.facts))
	for i, f := range n.facts {
		got[i] = line(f)
	}
	n.facts = nil
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		n.t.Fatalf("at %s the worker said\n  %s\nwant\n  %s", n.now, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func line(ev event.Event) string {
	what := fmt.Sprintf("%+v", ev.Body)
	switch b := ev.Body.(type) {
	case event.StageStarted:
		what = fmt.Sprintf("stage %d up", b.Stage)
	case event.ContextMigrated:
		what = fmt.Sprintf("context of %s: %d bytes, %d from disk", b.Epoch, b.Bytes, b.DiskBytes)
	case event.BatchStarted:
		what = fmt.Sprintf("batch %d of %v", b.Batch, b.Requests)
		if b.Resumed {
			what += " resumed"
		}
	case event.BatchCompleted:
		what = fmt.Sprintf("batch %d of %v done in %s", b.Batch, b.Requests, b.EndedAt.Sub(b.StartedAt))
	case event.TokensCommitted:
		what = fmt.Sprintf("batch %d has %d tokens", b.Batch, b.Tokens)
	case event.PipelineExited:
		var progress []string // of each request, as id+tokens
		for _, r := range b.Interrupted {
			progress = append(progress, fmt.Sprintf("%d+%d", r.Request, r.Committed))
		}
		what = fmt.Sprintf("exit with %v, not begun %v", progress, b.Unprocessed)
		if len(progress) == 0 && b.Computed > 0 {
			what += fmt.Sprintf(", %d tokens in vain", b.Computed)
		}
	}
	return fmt.Sprintf("%.3f %s", ev.Time.Seconds(), what)
}
