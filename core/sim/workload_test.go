package sim_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/sim"
)

// TestConfigurationsUnderAFluctuatingWorkload follows B', whose required throughput
// rises at 300 s and falls at 600 s. The artifact's plan lists the changes of
// the configuration only.
func TestConfigurationsUnderAFluctuatingWorkload(t *testing.T) {
	spec := fixture.GPT20B()
	spec.RequiredThroughput, spec.Batching = 0.6, experiment.IdleOnly
	timeline := fixture.WithArrivals(fixture.TraceB(), 0.55)
	var got []string
	last := ""
	err := sim.Run("workload", fixture.At(spec, timeline), timeline, func(ev event.Event) error {
		if b, ok := ev.Body.(event.ConfigChosen); ok && b.Config.String() != last {
			last = b.Config.String()
			got = append(got, fmt.Sprintf("%.0f %s", b.ChangeAt.Seconds(), last))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"0 2x2x8", "300 3x3x4", "450 3x2x8", "600 2x2x8"}; !slices.Equal(got, want) {
		t.Errorf("chose %q, want %q", got, want)
	}
}
