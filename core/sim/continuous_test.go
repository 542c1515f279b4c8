package sim_test

import (
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestASmallerPipelineGoesOnWithWhatItHasMemoryFor: ten requests run on four GPUs
// that go; the one GPU that stays has KV memory for three of them. The others keep
// their tokens and prefill again.
func TestASmallerPipelineGoesOnWithWhatItHasMemoryFor(t *testing.T) {
	spec := fixture.Small()
	spec.Batching, spec.BatchLimit, spec.Drain = experiment.Continuous, 16, true
	spec.Model.KVBytesPerToken = 3_000_000 // (15 GB - 8 GB) / 3 MB: 2333 tokens
	spec.Instance.InterNodeBytesPerSecond *= 10
	spec.Engine.JitterSigma, spec.RequiredThroughput = 0, 0.1
	timeline := experiment.Timeline{
		End: vtime.Seconds(100),
		Changes: []experiment.Change{
			{Kind: experiment.Add, Instances: []experiment.Instance{{Node: "large", GPUs: 4}, {Node: "small", GPUs: 1}}},
			{At: vtime.Seconds(60), Kind: experiment.Remove, Instances: []experiment.Instance{{Node: "large", GPUs: 4}}},
		},
		Arrivals: fixture.Even(57, 0.01, 10),
	}
	resumed, again, completed := 0, 0, 0
	if err := sim.Run("smaller", fixture.At(spec, timeline), timeline, func(ev event.Event) error {
		switch b := ev.Body.(type) {
		case event.ApplyMigration:
			for _, p := range b.Pipelines {
				resumed += len(p.Resume)
			}
		case event.AssignRequests:
			for _, r := range b.Requests {
				if r.Committed > 0 {
					again++
				}
			}
		case event.RequestCompleted:
			completed++
			if b.Record.Interrupted != 1 || b.Record.Committed == 0 || b.Record.Recomputed != 0 {
				t.Errorf("%+v was not interrupted once, or kept nothing", b.Record)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if resumed != 3 || again != 7 || completed != 10 {
		t.Errorf("%d requests go on with their cache, %d with their tokens, %d complete; want 3, 7 and 10", resumed, again, completed)
	}
}
