package collector_test

import (
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

var (
	epoch  = event.Epoch{Term: 1, N: 1}
	config = topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: 4, Batch: 4, PrefillMicroBatches: 1, DecodeMicroBatches: 1}
)

// history is a short run in which requests requests are completed.
func history(run string, requests int) []event.Event {
	seq := map[string]uint64{}
	var out []event.Event
	say := func(source string, at vtime.Time, body event.Body) {
		seq[source]++
		out = append(out, event.Event{
			Run: run, Source: source, Seq: seq[source], Time: at, Version: event.SchemaVersion, Body: body,
		})
	}
	say(event.SourceReplayer, 0, event.RunStarted{WallStart: 1, Spec: experiment.Spec{
		Kind: experiment.EndToEnd, Approach: experiment.SpotServe, Trace: "As", Arrivals: "artifact",
		Quirks: experiment.QuirksNone, Batching: experiment.Pooled, Seed: 1, TimeScale: 60, End: vtime.Seconds(100),
	}})
	say(event.SourceReplayer, 0, event.InstanceAcquired{Instances: []experiment.Instance{{Node: "a", Market: cost.Spot, GPUs: 4}}})
	say(event.SourcePlanner, 0, event.ConfigChosen{Epoch: epoch, Config: config, BatchLimit: 4, Why: "it is there"})
	say(event.SourcePlanner, 0, event.MigrationPlanned{Epoch: epoch, Deadline: vtime.Never})
	for i := range requests {
		at := vtime.Seconds(float64(i))
		say(event.SourcePlanner, at.Add(5*time.Second), event.RequestCompleted{Record: event.RequestRecord{
			Request: event.RequestID(i), Arrived: at, Started: at, Finished: at.Add(5 * time.Second), Compute: 5 * time.Second,
			PromptTokens: 512, OutputTokens: 128, Config: config,
		}})
	}
	say(event.SourcePlanner, vtime.Seconds(100), event.NodeTimeAccounted{Node: "a", Market: cost.Spot, To: vtime.Seconds(100), USD: 0.05})
	say(event.SourcePlanner, vtime.Seconds(100), event.RunFinished{
		Reason: event.EndOfTrace, Accepted: requests, Completed: requests, CostUSD: 0.05, TokensServed: 640 * requests,
	})
	return out
}
