package planner

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/clock"
)

// decider chooses a configuration whenever a pipeline exits.
type decider struct{}

func (decider) Step(_ vtime.Time, ev event.Event) []effect.Effect {
	if _, exited := ev.Body.(event.PipelineExited); !exited {
		return nil
	}
	return []effect.Effect{{Event: event.Event{Body: event.ConfigChosen{}}}}
}

// TestNoticeToPlan: from the first notice without a plan to the next plan; not
// where the notice was taken back, and not of what is replayed.
func TestNoticeToPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := prometheus.NewRegistry()
		s := &service{Options: Options{Metrics: metrics, Log: slog.New(slog.DiscardHandler)}}
		if err := s.register(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		pace, err := clock.New(began, 1)
		if err != nil {
			t.Fatal(err)
		}
		core := s.measured(decider{}, pace)
		play := func(at, nominal time.Duration, b event.Body) {
			time.Sleep(at - time.Since(began))
			core.Step(vtime.Time(nominal), event.Event{Time: vtime.Time(nominal), Body: b})
		}
		now := func(at time.Duration, b event.Body) { play(at, at, b) }
		now(1*time.Second, event.PipelineExited{}) // nobody has noticed anything
		now(2*time.Second, event.PreemptionNoticed{})
		now(3*time.Second, event.PreemptionNoticed{})
		now(5*time.Second, event.PipelineExited{}) // 3 s
		now(6*time.Second, event.PipelineExited{})
		now(7*time.Second, event.PreemptionNoticed{})
		now(8*time.Second, event.PreemptionCancelled{})
		now(9*time.Second, event.PipelineExited{})
		play(10*time.Second, 9750*time.Millisecond, event.PreemptionNoticed{}) // read a little later
		now(11*time.Second, event.PipelineExited{})                            // 1 s
		play(60*time.Second, 12*time.Second, event.PreemptionNoticed{})        // replayed
		play(61*time.Second, 13*time.Second, event.PipelineExited{})
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]struct {
			count uint64
			sum   float64
		}{
			"spotserve_planner_notice_to_plan_seconds":     {2, 4},
			"spotserve_planner_notice_to_decision_seconds": {4, 0.25},
		}
		for _, f := range families {
			w, ok := want[f.GetName()]
			if !ok {
				continue
			}
			delete(want, f.GetName())
			h := f.GetMetric()[0].GetHistogram()
			if h.GetSampleCount() != w.count || h.GetSampleSum() != w.sum {
				t.Errorf("%s: %d of %v s in all, want %d of %v s", f.GetName(), h.GetSampleCount(), h.GetSampleSum(), w.count, w.sum)
			}
		}
		if len(want) > 0 {
			t.Errorf("there are no metrics %v", want)
		}
	})
}
