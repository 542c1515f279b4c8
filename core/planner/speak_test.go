package planner_test

import (
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestAWorkerSpeaksForItsOwnPipelinesOnly: what another node than its leader says of
// a pipeline counts for nothing.
func TestAWorkerSpeaksForItsOwnPipelinesOnly(t *testing.T) {
	d := serving(t, nil)
	d.at(20, arrived(1))
	ids := []event.RequestID{1}
	d.events = nil
	facts := []event.Body{
		event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: ids, At: vtime.Seconds(20)},
		event.TokensCommitted{Epoch: epoch1, Batch: 1, Tokens: 2, At: vtime.Seconds(21)},
		event.RequestsJoined{Epoch: epoch1, Batch: 1, Requests: ids, At: vtime.Seconds(20)},
		event.RequestsLeft{Epoch: epoch1, Batch: 1, Requests: ids, At: vtime.Seconds(22)},
		event.BatchCompleted{Epoch: epoch1, Batch: 1, Requests: ids, EndedAt: vtime.Seconds(22)},
		event.PipelineExited{Epoch: epoch1, Batch: 1, At: vtime.Seconds(22)},
	}
	d.from("node-9", 22, facts...)
	if said := d.kinds(); said != "" || d.planner.Counts().Duplicated != 0 {
		t.Fatalf("node-9 makes the planner say %q", said)
	}
	d.at(23, event.BatchStarted{Epoch: epoch1, Batch: 1, Requests: ids, At: vtime.Seconds(22)},
		event.BatchCompleted{Epoch: epoch1, Batch: 1, Requests: ids, EndedAt: vtime.Seconds(23)})
	if got := last[event.RequestCompleted](d); got.Record.Started != vtime.Seconds(22) {
		t.Errorf("the leader's batch began at %s", got.Record.Started)
	}
}
