package sim_test

import (
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestAFinishedRequestOfAnInterruptedBatchIsAnswered: a static batch is answered
// when its longest request is done. If it is interrupted before, those that have
// all their tokens are answered then, once and with nothing left to compute.
func TestAFinishedRequestOfAnInterruptedBatchIsAnswered(t *testing.T) {
	for name, grace := range map[string]time.Duration{"noticed": 8 * time.Second, "lost": 0} {
		t.Run(name, func(t *testing.T) {
			spec := fixture.GPT20B()
			spec.Grace, spec.Drain, spec.CommitInterval = grace, true, 16
			timeline := experiment.Timeline{
				End:     vtime.Seconds(200),
				Changes: []experiment.Change{fixture.Add(0, 0, 1, 2, 3, 4, 5), fixture.Remove(16, 0, 1, 2)},
				Arrivals: []experiment.Arrival{
					{At: 1, PromptTokens: 512, OutputTokens: 20}, {At: 2, PromptTokens: 512, OutputTokens: 128},
					{At: 3, PromptTokens: 512, OutputTokens: 20}, {At: 4, PromptTokens: 512, OutputTokens: 128},
				},
			}
			// One batch of a short and a long request on each of two pipelines, from 7 s on.
			spec.BatchLimit, spec.RequiredThroughput = 2, 3
			answers := make(map[event.RequestID]event.RequestRecord)
			if err := sim.Run("lengths", fixture.At(spec, timeline), timeline, func(ev event.Event) error {
				switch b := ev.Body.(type) {
				case event.RequestCompleted:
					answers[b.Record.Request] = b.Record
				case event.AssignRequests:
					for _, r := range b.Requests {
						if r.Committed >= r.OutputTokens {
							t.Errorf("request %d has nothing left to compute, and is assigned", r.Request)
						}
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			early := 0
			for id := range event.RequestID(4) {
				r, ok := answers[id]
				if !ok {
					t.Fatalf("request %d is not answered", id)
				}
				if r.OutputTokens == 20 && r.Finished < vtime.Seconds(16.1) {
					early++
					if r.Interrupted != 0 || r.Recomputed != 0 {
						t.Errorf("%+v lost something", r)
					}
				}
				if r.OutputTokens == 128 && r.Finished < vtime.Seconds(16.1) {
					t.Errorf("%+v: the batch was not interrupted", r)
				}
			}
			if early != 2 {
				t.Errorf("%d short requests are answered at the interruption, want 2", early)
			}
		})
	}
}
