package invariant_test

import (
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/invariant"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestAPlanFarBehindTheFleet: the log has three stays of a node when a planner
// that was away plans in one of them. Which one it is does not matter.
func TestAPlanFarBehindTheFleet(t *testing.T) {
	for at, want := range map[float64]string{
		5: "has not joined", 15: "", 25: "which went at 20.000s", 35: "", 45: "which went at 40.000s", 55: "", 65: "which went at 60.000s",
	} {
		c := invariant.NewChecker()
		for i, body := range []event.Body{
			event.InstanceAcquired{Instances: []experiment.Instance{{Node: "a"}}}, event.InstanceLost{Nodes: []string{"a"}},
			event.InstanceAcquired{Instances: []experiment.Instance{{Node: "a"}}}, event.InstanceLost{Nodes: []string{"a"}},
			event.InstanceAcquired{Instances: []experiment.Instance{{Node: "a"}}}, event.InstanceLost{Nodes: []string{"a"}},
		} {
			c.Take(event.Event{Source: event.SourceReplayer, Seq: uint64(i + 1), Time: vtime.Seconds(float64(10 * (i + 1))), Body: body})
		}
		c.Take(event.Event{Source: event.SourcePlanner, Seq: 1, Time: vtime.Seconds(at), Body: planned("a")})
		err := c.Err()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("a plan at %g s: %v, want %q", at, err, want)
		}
	}
}
