package worker_test

import (
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/core/worker"
)

func TestServesABatch(t *testing.T) {
	n := serving(t, spec())
	n.send(assign(epoch1, request(1, 0)))
	n.until(20)
	// A poll of 10 ms, 2 s of prefill, ten tokens of 100 ms, half a second.
	n.said("10.030 batch 1 of [1]", "13.530 batch 1 of [1] done in 3.5s")
}

func TestStandsByUntilItsNodeIsThere(t *testing.T) {
	n := &node{t: t, worker: worker.New("a"), agenda: nil}
	n.send(event.RunStarted{Spec: spec()}, plan(epoch1, 0))
	n.send(event.InstanceAcquired{Instances: []experiment.Instance{{Node: "b", GPUs: 1}}}, plan(epoch1, 0))
	n.said()
}

func TestAnUnreadableRunIsNotServed(t *testing.T) {
	s := spec()
	s.Profile.Embed = nil
	n := newNode(t, s)
	n.send(plan(epoch1, 0))
	n.until(20)
	n.said()
}

func TestBatchesAreTheLargestPowerOfTwo(t *testing.T) {
	n := serving(t, spec())
	n.send(assign(epoch1, request(1, 0), request(2, 0)), assign(epoch1, request(3, 0)))
	n.until(10.1)
	n.said("10.030 batch 1 of [1 2]") // formed at the poll, from all of the pool
	n.send(assign(epoch1, request(4, 0), request(5, 0), request(6, 0), request(7, 0)))
	n.until(30)
	n.said(
		"13.530 batch 1 of [1 2] done in 3.5s", "13.540 batch 2 of [3 4 5 6]", // up to the limit of four
		"17.040 batch 2 of [3 4 5 6] done in 3.5s", "17.050 batch 3 of [7]", "20.550 batch 3 of [7] done in 3.5s",
	)
}

func TestTheLongestRequestSetsThePace(t *testing.T) {
	n := serving(t, spec())
	long, short := request(1, 0), request(2, 0)
	long.OutputTokens, short.PromptTokens = 30, 200 // 4 s of prefill, 3 s of tokens
	n.send(assign(epoch1, long, short))
	n.until(30)
	n.said("10.030 batch 1 of [1 2]", "17.530 batch 1 of [1 2] done in 7.5s")
}

func TestCommitsEveryInterval(t *testing.T) {
	s := spec()
	s.CommitInterval = 4
	n := serving(t, s)
	n.send(assign(epoch1, request(1, 0)))
	n.until(30)
	// Tokens 4 and 8 are there at 12.41 and 12.81 s; the tenth ends the batch.
	n.said("10.030 batch 1 of [1]", "12.430 batch 1 has 4 tokens", "12.830 batch 1 has 8 tokens", "13.530 batch 1 of [1] done in 3.5s")
}

// TestCommittedTokensArePrefilledAgain: a request that lost its KV cache keeps
// its tokens, but their cache has to be computed with the prompt's.
func TestCommittedTokensArePrefilledAgain(t *testing.T) {
	n := serving(t, spec())
	n.send(assign(epoch1, request(1, 5)))
	n.until(30)
	// 105 tokens of prefill, five more tokens, the answer.
	n.said("10.030 batch 1 of [1]", "13.130 batch 1 of [1] done in 3.1s")
}

func TestResumesABatchBeforeItsPool(t *testing.T) {
	n := newNode(t, spec())
	n.send(plan(epoch1, 9, request(1, 6), request(2, 4)))
	n.send(assign(epoch1, request(3, 0)))
	n.until(30)
	// The KV cache is complete at 9 s; six tokens are left of request 2.
	n.said(
		"7.020 stage 0 up", "9.020 context of 1.1: 0 bytes, 0 from disk",
		"9.020 batch 1 of [1 2] resumed", "10.120 batch 1 of [1 2] done in 1.1s",
		"10.130 batch 2 of [3]", "13.630 batch 2 of [3] done in 3.5s",
	)
}

// TestABatchOfThreeIsPricedAsFour: a batch keeps its requests when it moves, and
// profiles have powers of two only.
func TestABatchOfThreeIsPricedAsFour(t *testing.T) {
	s := spec()
	s.Profile.Tensors[0].Rows[2].Decode = 200 // four requests decode at half the pace
	n := newNode(t, s)
	n.send(plan(epoch1, 7, request(1, 6), request(2, 4), request(3, 9)))
	n.until(30)
	n.said(
		"7.020 stage 0 up", "7.020 context of 1.1: 0 bytes, 0 from disk",
		"7.020 batch 1 of [1 2 3] resumed", "8.720 batch 1 of [1 2 3] done in 1.7s",
	)
}

// TestANodeOfTwoPipelines leads one and has a later stage of another.
func TestANodeOfTwoPipelines(t *testing.T) {
	n := newNode(t, spec())
	cmd := plan(epoch1, 9)
	cmd.Placements = []topology.Placement{
		{Device: topology.Device{Node: "a", GPU: 0}},
		{Device: topology.Device{Node: "a", GPU: 1}, Position: topology.DevicePosition{Data: 1, Pipeline: 3}},
	}
	cmd.Pipelines = append(cmd.Pipelines, event.PipelineStart{Pipeline: 1, EngineReadyAt: vtime.Seconds(8)})
	n.send(cmd, assign(epoch1, request(1, 0)))
	n.send(event.AssignRequests{Epoch: epoch1, Pipeline: 1, Requests: []event.AssignedRequest{request(2, 0)}})
	n.until(30)
	n.said(
		"7.020 stage 0 up", "8.020 stage 3 up", "9.020 context of 1.1: 0 bytes, 0 from disk",
		"9.020 batch 1 of [1]", "12.520 batch 1 of [1] done in 3.5s",
	)
}

func TestAPrefillRunsAheadOfTheContext(t *testing.T) {
	n := newNode(t, spec())
	cmd := plan(epoch1, 15)
	cmd.Pipelines[0].StagesReadyAt = []vtime.Time{vtime.Seconds(8), vtime.Seconds(14), vtime.Seconds(10), vtime.Seconds(14.2)}
	n.send(cmd, assign(epoch1, request(1, 0)))
	n.until(14)
	// The prefill of 2 s is at the second of four stages after half a second, at
	// the last one after one and a half.
	n.said("7.020 stage 0 up", "13.520 batch 1 of [1]")
}

func TestDropsWhatTheDaemonDoesNotHold(t *testing.T) {
	n := newNode(t, spec())
	b := topology.Device{Node: "b"}
	cmd := plan(epoch1, 9)
	cmd.Steps = []migrate.Step{
		{From: b, To: device, Bytes: 70, Kind: migrate.CacheContext, After: 2 * time.Second},
		{From: b, To: device, Bytes: 30, After: 3 * time.Second},
		{From: device, To: b, Bytes: 5, After: 10 * time.Second}, // sent, not received
		{To: device, Bytes: 400, After: time.Second},             // from disk
	}
	n.send(cmd)
	n.until(8)
	n.said("7.020 stage 0 up", "3.020 context of 1.1: 100 bytes, 400 from disk")
}

func TestFencesOldEpochs(t *testing.T) {
	n := serving(t, spec())
	n.send(assign(epoch2, request(1, 0)), leave(epoch2, 1), event.StopPipeline{Epoch: epoch2})
	n.send(event.AssignRequests{Epoch: epoch1, Pipeline: 3, Requests: []event.AssignedRequest{request(1, 0)}})
	n.send(plan(epoch1, 0), plan(event.Epoch{Term: 0, N: 9}, 0)) // applied already, and of an old leader
	n.until(20)
	n.said()
}

// TestANewPlanReplacesWhatRuns: pipelines that it does not keep are forgotten
// with their timers.
func TestANewPlanReplacesWhatRuns(t *testing.T) {
	n := serving(t, spec())
	n.send(assign(epoch1, request(1, 0)))
	n.until(11)
	n.said("10.030 batch 1 of [1]")
	cmd := plan(epoch2, 0)
	cmd.Pipelines[0].EngineReadyAt = vtime.Seconds(18)
	n.send(cmd)
	n.until(30)
	n.said("11.020 context of 1.2: 0 bytes, 0 from disk", "18.020 stage 0 up")
}

func TestAKeptPipelineRunsOn(t *testing.T) {
	n := serving(t, spec())
	n.send(assign(epoch1, request(1, 0)))
	n.until(11)
	n.send(event.ApplyMigration{Epoch: epoch2, Config: config, Placements: []topology.Placement{{Device: device}}, Keep: []int{0}})
	n.send(assign(epoch1, request(2, 0))) // it is still of the first epoch
	n.until(30)
	n.said(
		"10.030 batch 1 of [1]", "13.530 batch 1 of [1] done in 3.5s",
		"13.540 batch 2 of [2]", "17.040 batch 2 of [2] done in 3.5s",
	)
}

func TestAPlanBeforeTheLastOneIsUp(t *testing.T) {
	n := newNode(t, spec())
	n.send(plan(epoch1, 9))
	n.until(5)
	n.send(event.ApplyMigration{Epoch: epoch2}) // stand by
	n.until(30)
	n.said()
}

func TestStopPipelineEndsItAtOnce(t *testing.T) {
	n := serving(t, spec())
	n.send(assign(epoch1, request(1, 0)))
	n.until(11)
	n.send(event.StopPipeline{Epoch: epoch1})
	n.send(assign(epoch1, request(2, 0)))
	n.until(30)
	n.said("10.030 batch 1 of [1]")
}

func TestLossClearsEverything(t *testing.T) {
	for name, end := range map[string]event.Body{
		"lost": event.InstanceLost{Nodes: []string{"b", "a"}}, "drained": event.Drain{},
	} {
		t.Run(name, func(t *testing.T) {
			n := serving(t, spec())
			n.send(assign(epoch1, request(1, 0)))
			n.until(11)
			n.said("10.030 batch 1 of [1]")
			n.send(event.InstanceLost{Nodes: []string{"b"}}, end, plan(epoch2, 0))
			n.until(30)
			n.said()
			// The node may come back, and knows nothing of its earlier life.
			n.send(event.InstanceAcquired{Instances: []experiment.Instance{{Node: "a", GPUs: 1}}}, plan(epoch2, 0))
			n.send(assign(epoch1, request(1, 0)))
			n.until(40)
			n.said("30.020 stage 0 up", "30.020 context of 1.2: 0 bytes, 0 from disk")
		})
	}
}

func TestLossDuringStartUp(t *testing.T) {
	n := newNode(t, spec())
	n.send(plan(epoch1, 9))
	n.until(5)
	n.send(event.InstanceLost{Nodes: []string{"a"}})
	n.until(30)
	n.said()
}

// TestANodeThatDoesNotLead reports its stage, and runs no batch.
func TestANodeThatDoesNotLead(t *testing.T) {
	n := newNode(t, spec())
	cmd := plan(epoch1, 0)
	cmd.Pipelines[0].Leader = false
	cmd.Placements[0].Position.Pipeline = 2
	n.send(cmd)
	n.until(10)
	n.send(assign(epoch1, request(1, 0)))
	n.until(30)
	n.said("7.020 stage 2 up", "0.020 context of 1.1: 0 bytes, 0 from disk")
}

func TestTimersOfNothingAreIgnored(t *testing.T) {
	n := serving(t, spec())
	for _, name := range []string{"", "poll", "poll/x", "poll/7", "stage/7", "batch/0", "commit/0", "exit/0", "poll/0", "nonsense/0"} {
		n.send(event.TimerFired{Timer: name})
	}
	n.until(20)
	n.said()
}
