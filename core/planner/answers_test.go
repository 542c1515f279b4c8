package planner_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// computing makes a run that computes tokens.
func computing(s *experiment.Spec) {
	s.Compute, s.Delays = experiment.Transformer, cost.Delays{}
	s.Transformer = &experiment.TransformerModel{Shape: experiment.Shape{Vocab: 100, Leaves: 4}, Weights: "synthetic:1"}
	s.LongestPrompt, s.LongestOutput = 600, 200
}

// told is a part of an answer.
func told(id event.RequestID, from int, done bool, tokens ...int32) event.Generated {
	return event.Generated{Request: id, From: from, Tokens: tokens, Done: done}
}

func TestKeepsAnswersAndHandsThemOn(t *testing.T) {
	d := serving(t, computing)
	ask := event.RequestArrived{Request: 7, PromptTokens: 3, OutputTokens: 20, Prompt: &experiment.Prompt{Name: "mine", Tokens: []int32{1, 2, 3}}}
	d.at(11, ask)
	if got := last[event.AssignRequests](d).Requests[0]; got.Prompt != ask.Prompt || got.Output != nil {
		t.Errorf("assigned %+v", got)
	}
	d.at(12, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}, At: vtime.Seconds(12)})
	d.at(13, event.TokensCommitted{Epoch: epoch1, Batch: 1, Generated: []event.Generated{told(7, 0, false, 50, 51)}})
	// Said again, and more.
	d.at(14, event.TokensCommitted{Epoch: epoch1, Batch: 1, Generated: []event.Generated{told(7, 1, false, 51, 52)}})
	// The node goes without a word: what is committed goes on elsewhere.
	d.at(15, event.InstanceLost{Nodes: []string{"node-0"}}, event.InstanceAcquired{Instances: fixture.Nodes(1)})
	d.at(16, event.TimerFired{Timer: "plan"})
	epoch := last[event.ConfigChosen](d).Epoch
	d.seq = 1000
	d.events = nil
	d.from("node-1", 20, event.StageStarted{Epoch: epoch})
	got := last[event.AssignRequests](d).Requests[0]
	want := event.AssignedRequest{Request: 7, PromptTokens: 3, OutputTokens: 20, Committed: 3, Prompt: ask.Prompt, Output: []int32{50, 51, 52}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("handed on %+v, want %+v", got, want)
	}
	d.from("node-1", 21,
		event.BatchStarted{Epoch: epoch, Batch: 1, Requests: []event.RequestID{7}, At: vtime.Seconds(21)},
		event.BatchCompleted{Epoch: epoch, Batch: 1, Requests: []event.RequestID{7}, StartedAt: vtime.Seconds(21), EndedAt: vtime.Seconds(22),
			Generated: []event.Generated{{Request: 7, From: 3, Tokens: []int32{53}, Done: true, Text: "hi", PromptTokens: 2}}})
	done := last[event.RequestCompleted](d)
	if done.Name != "mine" || done.Text != "hi" || !slices.Equal(done.Output, []int32{50, 51, 52, 53}) {
		t.Errorf("answered %+v", done)
	}
	if r := done.Record; r.OutputTokens != 4 || r.PromptTokens != 2 || r.Committed != 3 || r.Interrupted != 1 {
		t.Errorf("its record is %+v", r)
	}
	d.at(30, event.RunEnded{Reason: event.Stopped})
	if end := last[event.RunFinished](d); end.TokensChanged != 0 || end.Completed != 1 || end.TokensServed != 6 {
		t.Errorf("%+v", end)
	}
}

// TestATokenThatChangesIsADefect: the first word stands.
func TestATokenThatChangesIsADefect(t *testing.T) {
	for name, tt := range map[string]struct {
		second event.Generated
		want   int
	}{
		"again":            {told(7, 0, false, 50, 51), 0},
		"another value":    {told(7, 1, false, 99), 1},
		"a gap":            {told(7, 3, false, 53), 1},
		"more than may be": {told(7, 2, false, make([]int32, 19)...), 1},
		"an empty end":     {told(7, 2, true), 0},
		"of nobody":        {told(8, 0, false, 1), 0},
	} {
		d := serving(t, computing)
		d.at(11, event.RequestArrived{Request: 7, PromptTokens: 3, OutputTokens: 20})
		d.at(12, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}, At: vtime.Seconds(12)},
			event.TokensCommitted{Epoch: epoch1, Batch: 1, Generated: []event.Generated{told(7, 0, false, 50, 51)}},
			event.TokensCommitted{Epoch: epoch1, Batch: 1, Generated: []event.Generated{tt.second}},
			event.BatchCompleted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}, StartedAt: vtime.Seconds(12), EndedAt: vtime.Seconds(12)})
		if got := last[event.RequestCompleted](d).Output; !slices.Equal(got, []int32{50, 51}) {
			t.Errorf("%s: answered %v", name, got)
		}
		d.at(13, event.RunEnded{Reason: event.Stopped})
		if got := last[event.RunFinished](d).TokensChanged; got != tt.want {
			t.Errorf("%s: %d tokens changed, want %d", name, got, tt.want)
		}
	}
}

// TestAStoppedPipelineAnswersWhoIsDone: of a static batch that is cut, those that
// have ended before are answered, and the others go on.
func TestAStoppedPipelineAnswersWhoIsDone(t *testing.T) {
	d := serving(t, computing)
	d.at(11, event.RequestArrived{Request: 7, PromptTokens: 3, OutputTokens: 20}, event.RequestArrived{Request: 8, PromptTokens: 3, OutputTokens: 20})
	d.at(12, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}, At: vtime.Seconds(12)})
	d.events = nil
	d.at(13, event.PipelineExited{
		Epoch: epoch1, At: vtime.Seconds(13), Batch: 1, StartedAt: vtime.Seconds(12), Computed: 5,
		Interrupted: []event.Progress{{Request: 7, Committed: 1}}, Unprocessed: []event.RequestID{8},
		Generated: []event.Generated{told(7, 0, true, 50)},
	})
	if done := last[event.RequestCompleted](d); done.Record.Request != 7 || done.Record.Recomputed != 0 || !slices.Equal(done.Output, []int32{50}) {
		t.Errorf("%+v", done)
	}
}

// TestARequestThatTurnsOutUnanswerable ends as refused, not as completed.
func TestARequestThatTurnsOutUnanswerable(t *testing.T) {
	d := serving(t, computing)
	d.at(11, event.RequestArrived{Request: 7, Prompt: &experiment.Prompt{Name: "mine", Text: "hello"}})
	if got := last[event.AssignRequests](d).Requests[0]; got.PromptTokens != 7 || got.OutputTokens != 128 {
		t.Errorf("a text of five bytes is assigned as %+v", got)
	}
	d.at(12, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}, At: vtime.Seconds(12)},
		event.BatchCompleted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}, StartedAt: vtime.Seconds(12), EndedAt: vtime.Seconds(12),
			Generated: []event.Generated{{Request: 7, Done: true, Refused: "no tokenizer"}}})
	if got := last[event.RequestRefused](d); got != (event.RequestRefused{Request: 7, Reason: "no tokenizer", Name: "mine"}) {
		t.Errorf("%+v", got)
	}
	d.at(13, event.RunEnded{Reason: event.Stopped})
	if end := last[event.RunFinished](d); end.Accepted != 0 || end.Completed != 0 || end.Refused != 1 || end.Lost != 0 {
		t.Errorf("%+v", end)
	}
}

func TestRefusesRequestsOfUsers(t *testing.T) {
	many := make([]int32, event.MaxPromptTokens+1)
	for name, tt := range map[string]struct {
		change func(*experiment.Spec)
		ask    event.RequestArrived
		want   string
	}{
		"in a run that computes nothing": {nil, event.RequestArrived{Prompt: &experiment.Prompt{Text: "x"}}, "the run computes no tokens"},
		"that cannot be read":            {computing, event.RequestArrived{Prompt: &experiment.Prompt{Flaw: "no JSON"}}, "no JSON"},
		"too many tokens": {computing, event.RequestArrived{Prompt: &experiment.Prompt{Tokens: many}},
			"the prompt has 32769 tokens: allowed are at most 32768"},
		"too much text": {computing, event.RequestArrived{Prompt: &experiment.Prompt{Text: strings.Repeat("x", event.MaxPromptBytes+1)}},
			"the prompt has 131073 bytes: allowed are at most 131072"},
		"too long an answer": {computing, event.RequestArrived{OutputTokens: 1 << 20, Prompt: &experiment.Prompt{Text: "x"}}, "1048576 output tokens are asked for"},
		"more than memory is kept for": {computing, event.RequestArrived{OutputTokens: 700, Prompt: &experiment.Prompt{Tokens: many[:200]}},
			"200 prompt and 700 output tokens are more than the 800"},
	} {
		d := serving(t, tt.change)
		tt.ask.Request = 1 << 62
		tt.ask.Prompt.Name = "mine"
		d.at(11, tt.ask, tt.ask) // the second time is the same request
		got := last[event.RequestRefused](d)
		if len(d.events) != 1 || got.Request != 1<<62 || got.Name != "mine" || !strings.Contains(got.Reason, tt.want) {
			t.Errorf("%s: %d events, %+v, want %q", name, len(d.events), got, tt.want)
		}
	}
}

// TestBigRequestsGoInSeveralCommands, each well below what a bus takes.
func TestBigRequestsGoInSeveralCommands(t *testing.T) {
	d := serving(t, func(s *experiment.Spec) {
		computing(s)
		s.Batching, s.LongestPrompt, s.BatchLimit = experiment.Continuous, event.MaxPromptTokens, 64
		s.Model.KVBytesPerToken = 8
	})
	prompt := make([]int32, event.MaxPromptTokens)
	for id := range event.RequestID(5) {
		d.at(11, event.RequestArrived{Request: id, OutputTokens: 1, Prompt: &experiment.Prompt{Tokens: prompt}})
	}
	d.events = nil
	epoch := d.lose()
	d.from("node-1", 20, event.StageStarted{Epoch: epoch})
	var sizes []int
	for _, ev := range d.events {
		if b, ok := ev.Body.(event.AssignRequests); ok {
			sizes = append(sizes, len(b.Requests))
		}
	}
	if !slices.Equal(sizes, []int{2, 2, 1}) {
		t.Errorf("requests of 160 KiB each go by %v", sizes)
	}
}

// lose loses the only node and plans for another one.
func (d *driver) lose() event.Epoch {
	d.at(15, event.InstanceLost{Nodes: []string{"node-0"}}, event.InstanceAcquired{Instances: fixture.Nodes(1)})
	d.at(16, event.TimerFired{Timer: "plan"})
	epoch := last[event.ConfigChosen](d).Epoch
	d.events = nil
	return epoch
}

// TestForcedConfigurations go by, one a change of the fleet, those that fit.
func TestForcedConfigurations(t *testing.T) {
	shape := func(d, p, m int) topology.ParallelConfig {
		return topology.ParallelConfig{Data: d, Pipeline: p, Tensor: m, Batch: 1, PrefillMicroBatches: 1, DecodeMicroBatches: 1}
	}
	d := newDriver(t, func() experiment.Spec {
		s := fixture.Small()
		computing(&s)
		s.Forced = []topology.ParallelConfig{shape(1, 1, 1), shape(1, 2, 2), shape(4, 2, 4), shape(1, 1, 4)}
		return s
	}())
	var got []string
	for i := range 4 {
		at := float64(100 * i)
		d.at(at, event.InstanceAcquired{Instances: fixture.Nodes(i)}, event.TimerFired{Timer: "plan"})
		for _, ev := range slices.Clone(d.events) {
			if b, ok := ev.Body.(event.ConfigChosen); ok {
				got = append(got, b.Config.String())
				for _, p := range b.Pipelines {
					for _, node := range p.Nodes {
						d.from(node, at+1, event.StageStarted{Epoch: b.Epoch, Pipeline: p.Pipeline})
					}
				}
			}
			if b, ok := ev.Body.(event.ArrangeInterruption); ok {
				d.at(at+2, event.PipelineExited{Epoch: b.Epoch, Pipeline: b.Pipeline, At: vtime.Seconds(at + 2), StartedAt: vtime.Never})
			}
		}
		d.events = nil
		d.at(at+3, event.TimerFired{Timer: "plan"})
		for _, ev := range slices.Clone(d.events) {
			if b, ok := ev.Body.(event.ConfigChosen); ok {
				got = append(got, b.Config.String())
				for _, p := range b.Pipelines {
					for _, node := range p.Nodes {
						d.from(node, at+4, event.StageStarted{Epoch: b.Epoch, Pipeline: p.Pipeline})
					}
				}
			}
		}
		d.events = nil
	}
	// The third does not fit 12 GPUs, so the fourth comes twice: nothing changes then.
	if want := []string{"1x2x2", "1x1x4", "1x1x1"}; !slices.Equal(got, want) {
		t.Errorf("configurations %v, want %v", got, want)
	}
}

// TestAStatelessApproachForgetsAnswers: what it has not answered begins anew.
func TestAStatelessApproachForgetsAnswers(t *testing.T) {
	d := serving(t, func(s *experiment.Spec) {
		computing(s)
		s.Approach, s.Level = experiment.SpotServe, 3
	})
	d.at(11, event.RequestArrived{Request: 7, PromptTokens: 3, OutputTokens: 20})
	d.at(12, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}, At: vtime.Seconds(12)},
		event.TokensCommitted{Epoch: epoch1, Batch: 1, Generated: []event.Generated{told(7, 0, false, 50, 51)}})
	epoch := d.lose()
	d.from("node-1", 20, event.StageStarted{Epoch: epoch})
	if got := last[event.AssignRequests](d).Requests[0]; got.Committed != 0 || got.Output != nil {
		t.Errorf("handed on %+v", got)
	}
}

// TestALossCostsWhatWasNotCommitted: fewer tokens than lie between two commits.
func TestALossCostsWhatWasNotCommitted(t *testing.T) {
	d := serving(t, func(s *experiment.Spec) {
		computing(s)
		s.CommitInterval = 8
	})
	d.at(11, event.RequestArrived{Request: 7, PromptTokens: 3, OutputTokens: 100})
	d.at(12, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{7}, At: vtime.Seconds(12)})
	d.at(100, event.InstanceLost{Nodes: []string{"node-0"}}, event.RunEnded{Reason: event.Stopped})
	if got := last[event.RunFinished](d).TokensRecomputed; got != 8 {
		t.Errorf("%d tokens recomputed, want 8", got)
	}
}

// TestAnEngineFindsWhatASourceTakesAlong: the loss of a node that context still
// comes from stops nobody.
func TestAnEngineFindsWhatASourceTakesAlong(t *testing.T) {
	for _, computes := range []bool{false, true} {
		d := serving(t, func(s *experiment.Spec) {
			if computes {
				computing(s)
			}
		})
		d.at(20, event.AcquisitionNoticed{Instances: fixture.Nodes(1), ReadyAt: vtime.Seconds(30)})
		d.at(30, event.InstanceAcquired{Instances: fixture.Nodes(1)})
		d.at(31, event.PreemptionNoticed{Nodes: []string{"node-0"}, Deadline: vtime.Seconds(60)})
		for _, ev := range slices.Clone(d.events) {
			if b, ok := ev.Body.(event.ArrangeInterruption); ok {
				d.at(32, event.PipelineExited{Epoch: b.Epoch, Pipeline: b.Pipeline, At: vtime.Seconds(32), StartedAt: vtime.Never})
			}
		}
		d.at(33, event.TimerFired{Timer: "plan"})
		if steps := last[event.MigrationPlanned](d).Steps; steps == 0 {
			t.Fatal("nothing moves")
		}
		d.events = nil
		d.at(33, event.InstanceLost{Nodes: []string{"node-0"}})
		if stopped := strings.Contains(d.kinds(), "stop_pipeline"); stopped == computes {
			t.Errorf("computes: %t, stopped: %t", computes, stopped)
		}
	}
}

// TestABatchThatDoesNotFitTheCommandGoesOnWithoutItsCache, as far as it does not.
func TestABatchThatDoesNotFitTheCommandGoesOnWithoutItsCache(t *testing.T) {
	d := serving(t, func(s *experiment.Spec) {
		computing(s)
		s.Batching, s.LongestPrompt, s.BatchLimit = experiment.Continuous, event.MaxPromptTokens, 64
		s.Model.KVBytesPerToken = 8
	})
	prompt := make([]int32, event.MaxPromptTokens)
	var ids []event.RequestID
	var progress []event.Progress
	for id := range event.RequestID(5) {
		d.at(11, event.RequestArrived{Request: id, OutputTokens: 1, Prompt: &experiment.Prompt{Tokens: prompt}})
		ids, progress = append(ids, id), append(progress, event.Progress{Request: id})
	}
	d.at(12, event.RequestsJoined{Epoch: epoch1, Batch: 1, Requests: ids, At: vtime.Seconds(12)})
	d.at(20, event.InstanceAcquired{Instances: fixture.Nodes(1)})
	d.at(21, event.PreemptionNoticed{Nodes: []string{"node-0"}, Deadline: vtime.Seconds(60)})
	d.at(22, event.PipelineExited{Epoch: epoch1, At: vtime.Seconds(22), Batch: 1, StartedAt: vtime.Seconds(12), Interrupted: progress})
	d.at(23, event.TimerFired{Timer: "plan"})
	plan := last[event.MigrationPlanned](d)
	size, resumed := 0, 0
	for _, ev := range d.events {
		if b, ok := ev.Body.(event.ApplyMigration); ok {
			for _, p := range b.Pipelines {
				for _, r := range p.Resume {
					size += r.Size()
					resumed++
				}
			}
		}
	}
	if resumed == 0 || size > event.MaxContentBytes || plan.ResumedRequests+plan.RequeuedRequests != 5 {
		t.Errorf("%d requests of %d bytes are resumed, %d of 5 and %d requeued", resumed, size, plan.ResumedRequests, plan.RequeuedRequests)
	}
}
