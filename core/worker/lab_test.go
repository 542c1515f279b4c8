package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/core/worker"
)

// lab drives a worker whose engine is the test: it sees every operation and says
// what the engine says. The token after position p of request r is 1000*r+p.
type lab struct {
	t      *testing.T
	worker *worker.Worker
	agenda *agenda.Agenda
	now    vtime.Time
	seq    uint64
	told   []string // facts and operations since the last look
	flying []engineop.Compute
}

// measuredSpec is spec() on an engine: a prefill is expected to take 2.5 s, a token
// 100 ms.
func measuredSpec(batching experiment.Batching) experiment.Spec {
	s := spec()
	s.Compute, s.Batching, s.Delays, s.CommitInterval = experiment.Transformer, batching, cost.Delays{}, 2
	s.Transformer = &experiment.TransformerModel{Shape: experiment.Shape{Vocab: 1 << 20}, Weights: "synthetic:1"}
	return s
}

func newLab(t *testing.T, s experiment.Spec) *lab {
	l := &lab{t: t, worker: worker.New("a"), agenda: agenda.New("a")}
	l.send(event.RunStarted{Spec: s}, event.InstanceAcquired{Instances: []experiment.Instance{{Node: "a", GPUs: 1}}})
	return l
}

// two gives node a the lead of a pipeline of two stages, so two groups.
func two(epoch event.Epoch, resume ...event.AssignedRequest) event.ApplyMigration {
	part := plan(epoch, 0, resume...)
	part.Config.Pipeline, part.Config.DecodeMicroBatches, part.KVTokens = 2, 2, 1000
	return part
}

// open brings a pipeline up with what has landed of its cache.
func (l *lab) open(part event.ApplyMigration, cached ...engineop.Cached) {
	l.send(part, engineop.StageUp{Epoch: part.Epoch}, engineop.CacheLanded{Epoch: part.Epoch, Cached: cached})
	l.told = nil
}

func (l *lab) send(bodies ...event.Body) {
	for _, b := range bodies {
		l.seq++
		l.step(event.Event{Run: "run", Source: event.SourcePlanner, Seq: l.seq, To: "a", Time: l.now, Body: b})
	}
	l.until(l.now.Seconds()) // timers that are due
}

func (l *lab) until(second float64) {
	for l.agenda.NextTime() <= vtime.Seconds(second) {
		ev := l.agenda.Pop()
		l.now = ev.Time
		l.step(ev)
	}
	l.now = vtime.Seconds(second)
}

func (l *lab) step(ev event.Event) {
	for _, e := range l.worker.Step(ev.Time, ev) {
		switch {
		case e.Publishes():
			l.told = append(l.told, fact(e.Event))
		case e.Engine != nil:
			l.told = append(l.told, operation(e.Engine))
			if c, ok := e.Engine.(engineop.Compute); ok {
				l.flying = append(l.flying, c)
			}
		default:
			l.agenda.Set("run", e.Timer)
		}
	}
}

// answer lets the step in flight of a group be computed, at the given second.
func (l *lab) answer(second float64, group int) {
	l.t.Helper()
	l.until(second)
	i := slices.IndexFunc(l.flying, func(c engineop.Compute) bool { return c.Group == group })
	if i < 0 {
		l.t.Fatalf("group %d has no step in flight", group)
	}
	c := l.flying[i]
	l.flying = slices.Delete(l.flying, i, i+1)
	out := engineop.Computed{Epoch: c.Epoch, Pipeline: c.Pipeline, Group: c.Group, Step: c.Step}
	for _, s := range c.Sequences {
		if s.Sample {
			out.Tokens = append(out.Tokens, int32(1000*int(s.Request)+s.Start+len(s.Tokens)))
		}
	}
	l.send(out)
}

// fails lets the step in flight of a group come to nothing.
func (l *lab) fails(second float64, group int) {
	l.t.Helper()
	l.until(second)
	i := slices.IndexFunc(l.flying, func(c engineop.Compute) bool { return c.Group == group })
	if i < 0 {
		l.t.Fatalf("group %d has no step in flight", group)
	}
	c := l.flying[i]
	l.flying = slices.Delete(l.flying, i, i+1)
	l.send(engineop.ComputeFailed{Epoch: c.Epoch, Pipeline: c.Pipeline, Group: c.Group, Step: c.Step, Reason: "no peer"})
}

// saw compares what the worker said and asked for since the last look.
func (l *lab) saw(want ...string) {
	l.t.Helper()
	if !slices.Equal(l.told, want) {
		l.t.Fatalf("at %s the worker\n  %s\nwant\n  %s", l.now, strings.Join(l.told, "\n  "), strings.Join(want, "\n  "))
	}
	l.told = nil
}

// operation is an operation as a line: a step lists requests with their positions,
// and + where the next token is wanted.
func operation(op engineop.Op) string {
	c, ok := op.(engineop.Compute)
	if !ok {
		return fmt.Sprintf("%T", op)[len("engineop."):]
	}
	var out strings.Builder
	fmt.Fprintf(&out, "step %d.%d:", c.Group, c.Step)
	for _, s := range c.Sequences {
		fmt.Fprintf(&out, " %d[%d,%d)", s.Request, s.Start, s.Start+len(s.Tokens))
		if s.Sample {
			out.WriteString("+")
		}
	}
	if len(c.Release) > 0 {
		fmt.Fprintf(&out, " release %v", c.Release)
	}
	return out.String()
}

func fact(ev event.Event) string {
	answers := func(list []event.Generated) string {
		var out strings.Builder
		for _, g := range list {
			fmt.Fprintf(&out, " %d@%d%v", g.Request, g.From, g.Tokens)
			if g.Done {
				out.WriteString(".")
			}
			if g.Text != "" {
				out.WriteString(" " + g.Text)
			}
			if g.Refused != "" {
				out.WriteString(" refused: " + g.Refused)
			}
		}
		return out.String()
	}
	switch b := ev.Body.(type) {
	case event.BatchStarted:
		return fmt.Sprintf("batch %d of %v", b.Batch, b.Requests)
	case event.RequestsJoined:
		return fmt.Sprintf("join %v to %d", b.Requests, b.Batch)
	case event.TokensCommitted:
		return "commit" + answers(b.Generated)
	case event.BatchCompleted:
		return fmt.Sprintf("done %v", b.Requests) + answers(b.Generated)
	case event.RequestsLeft:
		return fmt.Sprintf("left %v", b.Requests) + answers(b.Generated)
	case event.PipelineExited:
		var out strings.Builder
		for _, p := range b.Interrupted {
			fmt.Fprintf(&out, " %d+%d", p.Request, p.Committed)
		}
		return "exit with" + out.String() + fmt.Sprintf(", not begun %v", b.Unprocessed) + answers(b.Generated)
	}
	return string(ev.Body.Kind())
}

// ask is a request with a prompt of its own tokens.
func ask(id, prompt, output int) event.AssignedRequest {
	tokens := make([]int32, prompt)
	for i := range tokens {
		tokens[i] = int32(i + 1)
	}
	return event.AssignedRequest{
		Request: event.RequestID(id), PromptTokens: prompt, OutputTokens: output, Prompt: &experiment.Prompt{Tokens: tokens},
	}
}
