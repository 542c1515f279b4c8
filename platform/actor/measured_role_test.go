package actor

import (
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// TestPlannerOfAMeasuredRunWaitsForNoWorker, and keeps no list of what it waits for.
func TestPlannerOfAMeasuredRunWaitsForNoWorker(t *testing.T) {
	r := newPlannerRole()
	r.observe(event.Event{
		Source: event.SourceReplayer, Seq: 1, Watermark: 500 * ms,
		Body: event.RunStarted{Spec: experiment.Spec{Compute: experiment.Transformer}},
	}, 1)
	r.sent(command("a", 7, 110*ms))
	r.observe(fact("b", 100*ms, 0), 2)
	if b := r.bound(); b != 500*ms {
		t.Errorf("the bound is %s, want the replayer's 0.500s", b)
	}
	if silent := r.silent(400 * ms); len(silent) != 0 {
		t.Errorf("%v hold back an event of 0.400s", silent)
	}
	if r.workers["a"] != nil {
		t.Error("it waits for the answer to a command")
	}
	if m, announce := r.mark(900*ms, true); announce || m.time != 0 {
		t.Errorf("it gives the watermark %s", m.time)
	}
}
