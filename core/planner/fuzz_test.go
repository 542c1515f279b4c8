package planner_test

import (
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/core/vtime"
)

// FuzzStep feeds the planner any events in any order: duplicates, facts of
// pipelines that never were, notices for unknown nodes, requests of negative
// length, times that run back. It must not panic, must say nothing before its
// run has begun or after it has ended, and must not set its clock back.
func FuzzStep(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x02\x00\x01\x0a\x00\x01\x0b\x00\x01\x05\x00\x40"))
	for seed := range uint64(20) {
		r := draw.Stream(seed, "fuzz")
		b := make([]byte, 300)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) { steps(t, data) })
}

func steps(t *testing.T, data []byte) {
	in := input{data: data}
	m := planner.New(1)
	var last vtime.Time
	if in.number(4) > 0 {
		in.ahead = underWay(in.start())
	}
	for !in.empty() {
		finished := m.Finished()
		ev := in.event()
		for _, e := range m.Step(ev.Time, ev) {
			if finished {
				t.Fatalf("after the end of the run: %+v", e)
			}
			if !e.Publishes() || e.Event.To != "" {
				continue
			}
			if e.Event.Time < last {
				t.Fatalf("a fact of %s after %s: %+v", e.Event.Time, last, e.Event)
			}
			last = e.Event.Time
		}
	}
}

// underWay brings a run to where its first pipelines serve, or all that spec
// allows.
func underWay(start event.RunStarted) []event.Event {
	var out []event.Event
	add := func(source string, b event.Body) {
		out = append(out, event.Event{Run: "run", Source: source, Seq: uint64(len(out)), Body: b})
	}
	nodes := fixture.Nodes(0, 1, 2)
	add(event.SourceReplayer, start)
	add(event.SourceReplayer, event.InstanceAcquired{Instances: nodes})
	add(event.SourcePlanner, event.TimerFired{Timer: "plan"})
	for p := range 4 {
		for _, n := range nodes {
			add(n.Node, event.StageStarted{Epoch: event.Epoch{Term: 1, N: 1}, Pipeline: p})
		}
	}
	return out
}

// input reads events from the fuzzer's bytes, and zeros when they are used up.
type input struct {
	ahead []event.Event // come first
	data  []byte
}

func (in *input) empty() bool { return len(in.data)+len(in.ahead) == 0 }

func (in *input) number(n int) int {
	if len(in.data) == 0 {
		return 0
	}
	b := in.data[0]
	in.data = in.data[1:]
	return int(b) % n
}

// event takes about one case in ten from beyond what is sensible.
func (in *input) event() event.Event {
	if len(in.ahead) > 0 {
		ev := in.ahead[0]
		in.ahead = in.ahead[1:]
		return ev
	}
	source := []string{event.SourceReplayer, event.SourcePlanner, "node-0", "node-1", "node-9", "", event.SourceNotice("node-0")}[in.number(7)]
	at := vtime.Seconds(float64(in.number(256)-5) / 2)
	if in.number(2) == 0 {
		at = vtime.Time(len(in.data)) // many events of nearly one instant
	}
	return event.Event{Run: "run", Source: source, Seq: uint64(in.number(4)), Time: at, Body: in.body()}
}

func (in *input) body() event.Body {
	at := vtime.Seconds(float64(in.number(256) - 5))
	switch in.number(22) {
	case 0:
		return in.start()
	case 1:
		return event.AcquisitionNoticed{Instances: in.instances(), ReadyAt: at}
	case 2, 3:
		return event.InstanceAcquired{Instances: in.instances()}
	case 4:
		return event.PreemptionNoticed{Nodes: in.nodes(), Deadline: at}
	case 5:
		return event.InstanceLost{Nodes: in.nodes(), Released: in.number(2) == 0}
	case 18:
		return event.InstanceLaunched{Instances: in.instances(), ReadyAt: at}
	case 20:
		return event.PreemptionCancelled{Nodes: in.nodes()}
	case 21:
		return event.RebalanceRecommended{Nodes: in.nodes()}
	case 6:
		return event.ThroughputRequired{RequestsPerSecond: float64(in.number(8) - 1)}
	case 7:
		return event.RunEnded{Reason: []event.EndReason{event.EndOfTrace, event.Stopped, ""}[in.number(3)]}
	case 8, 9:
		return event.RequestArrived{
			Request: in.request(), PromptTokens: in.number(256) - 5, OutputTokens: in.number(256) - 5, Prompt: in.prompt(),
		}
	case 10:
		return event.ContextMigrated{Epoch: in.epoch(), At: at}
	case 11, 12:
		return event.StageStarted{Epoch: in.epoch(), Pipeline: in.pipeline(), At: at}
	case 13:
		return event.BatchStarted{Epoch: in.epoch(), Pipeline: in.pipeline(), Batch: uint64(in.number(3)), Requests: in.requests(), At: at}
	case 14:
		return event.TokensCommitted{Epoch: in.epoch(), Pipeline: in.pipeline(), Batch: uint64(in.number(3)), Tokens: in.number(256) - 5, At: at, Generated: in.generated()}
	case 15:
		return event.BatchCompleted{Epoch: in.epoch(), Pipeline: in.pipeline(), Batch: uint64(in.number(3)), Requests: in.requests(), EndedAt: at, Generated: in.generated()}
	case 16:
		b := event.PipelineExited{
			Epoch: in.epoch(), Pipeline: in.pipeline(), Batch: uint64(in.number(3)), At: at, Unprocessed: in.requests(), Generated: in.generated(),
		}
		for _, id := range in.requests() {
			b.Interrupted = append(b.Interrupted, event.Progress{Request: id, Committed: in.number(256) - 5})
		}
		return b
	case 17:
		return event.RequestsLeft{Epoch: in.epoch(), Pipeline: in.pipeline(), Batch: uint64(in.number(3)), Requests: in.requests(), At: at, Generated: in.generated()}
	default:
		return event.TimerFired{Timer: []string{"plan", "hot-add", "", "shrink", "nonsense", "gone/node-0", "gone/"}[in.number(7)], Completion: in.number(2) == 0}
	}
}

func (in *input) start() event.RunStarted {
	spec := fixture.Small()
	spec.Grace = time.Duration(in.number(60)) * time.Second
	spec.BatchLimit = in.number(6) - 1
	spec.PoolDepth = in.number(4) - 1
	spec.Drain = in.number(2) == 0
	if in.number(10) == 0 {
		spec.Profile.Embed = nil
	}
	spec.Objective = []experiment.Objective{"", experiment.MinCost, experiment.MeetSLO, "nonsense"}[in.number(4)]
	if in.number(2) == 0 {
		spec.Provision = experiment.ClosedLoop
		spec.Provisioning = experiment.Provisioning{
			MaxInstances: in.number(6) - 1, CandidatePool: in.number(4) - 1, OnDemand: in.number(2) == 0,
			SpotStart: time.Duration(in.number(60)-1) * time.Second, OnDemandStart: time.Duration(in.number(60)-1) * time.Second,
		}
	}
	if in.number(3) == 0 {
		spec.Compute, spec.Delays = experiment.Transformer, cost.Delays{}
		spec.Transformer = &experiment.TransformerModel{Shape: experiment.Shape{Leaves: 1 << in.number(4)}}
	}
	return event.RunStarted{Spec: spec}
}

func (in *input) prompt() *experiment.Prompt {
	switch in.number(5) {
	case 0:
		return &experiment.Prompt{Tokens: make([]int32, in.number(4))}
	case 1:
		return &experiment.Prompt{Text: "text", Flaw: []string{"", "flaw"}[in.number(2)]}
	}
	return nil
}

func (in *input) generated() []event.Generated {
	out := make([]event.Generated, in.number(4))
	for i := range out {
		out[i] = event.Generated{
			Request: in.request(), From: in.number(6) - 1, Tokens: make([]int32, in.number(3)), Done: in.number(3) == 0,
			Refused: []string{"", "", "refused"}[in.number(3)],
		}
	}
	return out
}

// epoch is most often that of one of the first plans.
func (in *input) epoch() event.Epoch {
	return event.Epoch{Term: uint64(1 + in.number(8)/7), N: uint64(1 + in.number(3))}
}

func (in *input) pipeline() int { return in.number(5) - 1 }

func (in *input) request() event.RequestID { return event.RequestID(in.number(6)) }

func (in *input) requests() []event.RequestID {
	out := make([]event.RequestID, in.number(4))
	for i := range out {
		out[i] = in.request()
	}
	return out
}

func (in *input) nodes() []string {
	var out []string
	for _, i := range in.instances() {
		out = append(out, i.Node)
	}
	return out
}

func (in *input) instances() []experiment.Instance {
	out := make([]experiment.Instance, in.number(4))
	for i := range out {
		out[i] = fixture.Nodes(in.number(5))[0]
		out[i].GPUs = in.number(6) - 1
		if in.number(3) == 0 {
			out[i].Market = cost.OnDemand
		}
	}
	return out
}

// TestStepSurvivesAnything is the fuzz target on a fixed sample, long enough for
// plans to come up.
func TestStepSurvivesAnything(t *testing.T) {
	for seed := range uint64(3000) {
		r := draw.Stream(seed, "steps")
		b := make([]byte, 600)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		steps(t, b)
	}
}
