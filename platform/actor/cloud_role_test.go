package actor

import (
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestPlannerWaitsForTheCloud from the start on: the cloud speaks of its own
// accord, and the workers take what it says.
func TestPlannerWaitsForTheCloud(t *testing.T) {
	r := newPlannerRole()
	start := func(p experiment.Provision) {
		r.observe(event.Event{
			Source: event.SourceReplayer, Watermark: vtime.Seconds(500),
			Body: event.RunStarted{Spec: experiment.Spec{Provision: p}},
		}, 0)
	}
	start(experiment.Replay)
	if got := r.bound(); got != vtime.Seconds(500) {
		t.Errorf("bound %s of a replay, want the replayer's next event", got)
	}
	start(experiment.ClosedLoop)
	if got := r.bound(); got != 20*ms {
		t.Errorf("bound %s before the cloud has spoken, want what it can say at the soonest", got)
	}
	// The cloud waits to take the start of the run.
	if got, announced := r.mark(vtime.Never, false); got.time != 20*ms || !announced {
		t.Errorf("watermark %s, announced %t; want 20 ms, to let the cloud begin", got.time, announced)
	}
	r.observe(fact(event.SourceCloud, vtime.Seconds(100), 0), 0)
	if got := r.bound(); got != vtime.Seconds(100) {
		t.Errorf("bound %s, want the cloud's promise", got)
	}
	// Send delay or not, no worker may go past what the cloud will still say.
	if got, _ := r.mark(vtime.Never, false); got.time > vtime.Seconds(100) {
		t.Errorf("watermark %s is past the cloud's promise", got.time)
	}
}
