package planner_test

import (
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/vtime"
)

func continuousSpec(s *experiment.Spec) {
	s.Batching, s.BatchLimit = experiment.Continuous, 16
	s.LongestPrompt, s.LongestOutput = 600, 200
}

// TestRefusesRequestsThatAreTooLong: memory is kept for LongestSequence.
func TestRefusesRequestsThatAreTooLong(t *testing.T) {
	d := serving(t, continuousSpec)
	d.at(11, event.RequestArrived{Request: 0, PromptTokens: 700, OutputTokens: 101})
	want := "700 prompt and 101 output tokens are more than the 800 that the run keeps memory for"
	if got := last[event.RequestRefused](d); got.Request != 0 || got.Reason != want {
		t.Errorf("%+v, want %q", got, want)
	}
	const huge = int(^uint(0) >> 1)
	d.at(11, event.RequestArrived{Request: 1, PromptTokens: huge, OutputTokens: huge})
	if got := last[event.RequestRefused](d); got.Request != 1 {
		t.Errorf("%+v, want request 1", got)
	}
	d.kinds()
	d.at(11, event.RequestArrived{Request: 2, PromptTokens: 700, OutputTokens: 100})
	if got := d.kinds(); got != "assign_requests" {
		t.Errorf("published %s, want an assignment of what just fits", got)
	}
}

// TestAPlanTellsTheKVMemory of a pipeline, and with static batches none.
func TestAPlanTellsTheKVMemory(t *testing.T) {
	for _, batching := range []experiment.Batching{experiment.Pooled, experiment.Continuous} {
		spec := fixture.Small()
		continuousSpec(&spec)
		spec.Batching = batching
		d := newDriver(t, spec)
		d.at(0, event.InstanceAcquired{Instances: fixture.Nodes(0)}, event.TimerFired{Timer: "plan"})
		apply := last[event.ApplyMigration](d)
		memory := cost.MemoryModel{Model: spec.Model, GPUMemoryBytes: spec.Instance.GPUMemoryBytes, TokensPerSeq: 800}
		want := 0
		if batching == experiment.Continuous {
			want = memory.KVTokens(apply.Config)
		}
		if apply.KVTokens != want {
			t.Errorf("%s: a pipeline of %s has memory for %d tokens, want %d", batching, apply.Config, apply.KVTokens, want)
		}
	}
}

// TestFactsOfAContinuousBatch: requests are answered as they leave, and the loss
// of the pipeline costs the others what they had since the last commit.
func TestFactsOfAContinuousBatch(t *testing.T) {
	spec := fixture.Small()
	continuousSpec(&spec)
	d := newDriver(t, spec)
	d.at(0, event.InstanceAcquired{Instances: fixture.Nodes(0)}, event.TimerFired{Timer: "plan"})
	config := last[event.ConfigChosen](d).Config
	d.at(10, event.StageStarted{Epoch: epoch1})
	at := vtime.Seconds
	d.at(11, arrived(0), arrived(1), arrived(2))
	d.at(12,
		event.RequestsJoined{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{0, 1}, At: at(12)},
		event.RequestsJoined{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{2}, Tokens: 20, At: at(13)},
		event.TokensCommitted{Epoch: epoch1, Batch: 1, Tokens: 32, At: at(14)},
		event.TokensCommitted{Epoch: epoch1, Batch: 2, Tokens: 99, At: at(14)}, // of another batch
		event.RequestsLeft{Epoch: epoch1, Batch: 1, Requests: []event.RequestID{0}, Tokens: 40, At: at(15)},
	)
	if got := last[event.RequestCompleted](d).Record; got.Request != 0 || got.Started != at(12) || got.Compute != 3*time.Second {
		t.Errorf("%+v, want request 0 after 3 s of compute", got)
	}
	latency, err := cost.NewLatencyModel(spec.Model, spec.Profile)
	if err != nil {
		t.Fatal(err)
	}
	token := time.Duration(float64(latency.Iteration(config, 2)) * spec.Engine.ExecutionScale)
	// Ten tokens and a half after the 40th.
	lost := at(15).Add(10*token + token/2)
	d.at(lost.Seconds(), event.InstanceLost{Nodes: []string{"node-0"}})
	d.at(100, event.RunEnded{Reason: event.Stopped})
	got := last[event.RunFinished](d)
	// Request 1 had 50 tokens and keeps 32, request 2 had 30 and keeps 12.
	if got.TokensRecomputed != 2*18 || got.Interruptions != 2 || got.Completed != 1 || got.UnfinishedAtEnd != 2 {
		t.Errorf("%+v, want 36 tokens lost by two requests", got)
	}
}
