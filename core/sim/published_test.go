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

// TestConfigurationsAsPublished follows the published traces and compares the
// timeline of chosen configurations with the artifact's (SpotServe artifact,
// ASPLOS'24, Apache-2.0): the second of the availability event, and D x P x M. An
// event that changes nothing makes no decision.
func TestConfigurationsAsPublished(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spec  experiment.Spec
		trace experiment.Timeline
		want  []string
	}{
		// At 360, 600 and 900 s idle spares come and go; at 1200 s a working node is
		// replaced by one of them.
		{"20B on A_S", fixture.GPT20B(), fixture.TraceAs(), []string{"0 2x3x4", "240 2x2x8", "1200 2x2x8"}},
		// At 120 s a working node is replaced, at 960 s a spare joins.
		{"20B on B_S", fixture.GPT20B(), fixture.TraceBs(), []string{"0 2x2x8", "120 2x2x8", "240 2x3x4", "720 2x2x8"}},
		{"6.7B on A_S", fixture.OPT6B7(), fixture.TraceAs(), []string{"0 7x1x4", "240 8x1x4", "360 5x2x4", "600 9x1x4", "900 5x2x4", "1200 8x1x4"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			timeline := fixture.WithArrivals(tt.trace, tt.spec.ArrivalRate)
			var got []string
			err := sim.Run("published", fixture.At(tt.spec, timeline), timeline, func(ev event.Event) error {
				if b, ok := ev.Body.(event.ConfigChosen); ok {
					got = append(got, fmt.Sprintf("%.0f %s", b.ChangeAt.Seconds(), b.Config))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("chose %q, want %q", got, tt.want)
			}
		})
	}
}

// TestHotAddInterruptsNobody: 6.7B on A_S grows by a pipeline at 240 s, and the
// seven that run go on.
func TestHotAddInterruptsNobody(t *testing.T) {
	timeline := fixture.WithArrivals(fixture.TraceAs(), 1.5)
	timeline.End = timeline.Changes[2].At // before the next change, at 360 s
	timeline.Changes = timeline.Changes[:2]
	spec := fixture.At(fixture.OPT6B7(), timeline)
	plans := 0
	err := sim.Run("hot add", spec, timeline, func(ev event.Event) error {
		switch b := ev.Body.(type) {
		case event.ConfigChosen:
			plans++
		case event.PipelineExited:
			t.Errorf("%s: pipeline %d exits", ev.Time, b.Pipeline)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if plans != 2 {
		t.Errorf("%d plans, want the first and the hot add", plans)
	}
}

// BenchmarkVirtualRun plays the published 20B experiment on A_S: 22 minutes of
// experiment time and 462 requests.
func BenchmarkVirtualRun(b *testing.B) {
	timeline := fixture.WithArrivals(fixture.TraceAs(), 0.35)
	spec := fixture.At(fixture.GPT20B(), timeline)
	for b.Loop() {
		if err := sim.Run("bench", spec, timeline, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(timeline.End.Seconds()*float64(b.N)/b.Elapsed().Seconds(), "x-real-time")
}
