package actor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

var (
	noticed = event.PreemptionNoticed{Nodes: []string{"a"}, Deadline: 30_000 * ms}
	gone    = event.InstanceLost{Nodes: []string{"a"}}
	cloud   = event.SourceNotice("a")
)

// TestPlannerTakesNoticesInOrder and waits for nobody to give any: they have no
// watermark, and the last of them does not hold up what follows.
func TestPlannerTakesNoticesInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		core := &script{began: time.Now(), last: "run_ended"}
		o := r.options(event.SourcePlanner, core)
		r.say(cloud, 250*ms, 0, noticed)
		r.say(event.SourceReplayer, 100*ms, 300*ms, arrived)
		r.say("b", 400*ms, vtime.Never, event.StageStarted{Epoch: epoch})
		r.say(event.SourceReplayer, 300*ms, 500*ms, arrived)
		r.say(event.SourceReplayer, 500*ms, vtime.Never, ended)
		if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); err != nil {
			t.Fatal(err)
		}
		mustBe(t, "took", core.kinds(), []string{
			"request_arrived 0.100s", "preemption_noticed 0.250s", "request_arrived 0.300s", "stage_started 0.400s", "run_ended 0.500s",
		})
		if core.at[4] != 0 {
			t.Errorf("the end was taken after %s: it was there at once", core.at[4])
		}
		if r.log.Len() != 0 {
			t.Errorf("it logs %s", r.log.String())
		}
	})
}

// TestANoticeIsNeverLate: where the planner has got further than the notice says,
// the notice is taken at once, at the planner's own time; a worker's fact that
// comes then, as early as it may, is in order still.
func TestANoticeIsNeverLate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		core := &script{began: time.Now(), last: "run_ended"}
		o := r.options(event.SourcePlanner, core)
		r.say("a", 100*ms, 400*ms, event.StageStarted{Epoch: epoch})
		r.say(event.SourceReplayer, 350*ms, 9000*ms, arrived)
		time.AfterFunc(380*time.Millisecond, func() {
			r.say(cloud, 290*ms, 0, noticed) // said before the arrival, read after it
			r.say("a", 400*ms, vtime.Never, event.ContextMigrated{Epoch: epoch})
			r.say(event.SourceReplayer, 9000*ms, vtime.Never, ended)
		})
		if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); err != nil {
			t.Fatal(err)
		}
		mustBe(t, "took", core.kinds(), []string{
			"stage_started 0.100s", "request_arrived 0.350s", "preemption_noticed 0.350s", "context_migrated 0.400s", "run_ended 9.000s",
		})
		if core.at[2] != 380*time.Millisecond {
			t.Errorf("the notice was taken after %s, want at once, after 380 ms", core.at[2])
		}
		if strings.Contains(r.log.String(), "late") {
			t.Errorf("it logs %s", r.log.String())
		}
	})
}

// TestACommandMayFollowANoticeBelowTheWatermark: the planner has promised far
// ahead, and answers a notice nevertheless at once.
func TestACommandMayFollowANoticeBelowTheWatermark(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		stop := event.Event{
			Run: "r", Source: event.SourcePlanner, Seq: 1, To: "w", Time: 2010 * ms, Version: event.SchemaVersion,
			Body: event.StopPipeline{Epoch: epoch},
		}
		core := &script{began: time.Now(), last: "run_ended", effects: map[event.Kind][]effect.Effect{
			"preemption_noticed": {{Event: stop}},
		}}
		o := r.options(event.SourcePlanner, core)
		worker := &script{began: time.Now(), last: "never"}
		w := r.options("w", worker)
		done := make(chan error, 1)
		go func() { done <- actor.RunWorker(t.Context(), w, actor.Joining{}, delays) }()
		r.say("a", 100*ms, 5000*ms, event.StageStarted{Epoch: epoch}) // the planner's watermark is of use to it
		r.say(event.SourceReplayer, 200*ms, 8000*ms, arrived)
		time.AfterFunc(2*time.Second, func() {
			r.say(cloud, 2000*ms, 0, noticed)
			time.Sleep(time.Second)
			r.say("a", 5000*ms, vtime.Never, event.ContextMigrated{Epoch: epoch})
			r.say(event.SourceReplayer, 8000*ms, vtime.Never, ended)
		})
		if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var given vtime.Time
		for _, ev := range r.stream(wire.PlannerWatermarks("r")) {
			given = max(given, ev.Watermark)
		}
		if given <= stop.Time {
			t.Errorf("the planner has promised no more than %s: this tries nothing", given)
		}
		took := strings.Join(worker.kinds(), ", ")
		if !strings.Contains(took, "stop_pipeline 2.010s") {
			t.Errorf("the worker took %s, want the command", took)
		}
		for i, ev := range worker.took {
			if ev.Body == stop.Body && worker.at[i] > 2100*time.Millisecond {
				t.Errorf("it took the command after %s, want at once", worker.at[i])
			}
		}
		r.seq[event.SourcePlanner] = 1
		r.say(event.SourcePlanner, 8000*ms, 0, event.RunFinished{Reason: event.EndOfTrace})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if strings.Contains(r.log.String(), "late") {
			t.Errorf("something is late: %s", r.log.String())
		}
	})
}

// TestWorkerTakesALossFromOutside, also one that was said before what it has done
// already.
func TestWorkerTakesALossFromOutside(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		core := &script{began: time.Now()}
		o := r.options("a", core)
		done := make(chan error, 1)
		go func() { done <- actor.RunWorker(t.Context(), o, actor.Joining{}, delays) }()
		r.say(event.SourceReplayer, 500*ms, 9000*ms, event.InstanceLost{Nodes: []string{"b"}})
		r.say(event.SourcePlanner, 0, 600*ms, event.WatermarkAdvanced{})
		synctest.Wait()
		r.say(cloud, 400*ms, 0, gone)
		synctest.Wait()
		r.say(event.SourcePlanner, 600*ms, 0, event.RunFinished{Reason: event.EndOfTrace})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		mustBe(t, "took", core.kinds(), []string{"instance_lost 0.500s", "instance_lost 0.500s"})
		if r.log.Len() != 0 {
			t.Errorf("it logs %s", r.log.String())
		}
	})
}

// TestPlannerDoesNotTakeItsOwnWord from the fleet's subject, where it says that a
// node is lost.
func TestPlannerDoesNotTakeItsOwnWord(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		own := event.Event{Run: "r", Source: event.SourcePlanner, Seq: 1, Time: 100 * ms, Version: event.SchemaVersion, Body: gone}
		core := &script{began: time.Now(), last: "run_ended", effects: map[event.Kind][]effect.Effect{
			"request_arrived": {{Event: own}},
		}}
		o := r.options(event.SourcePlanner, core)
		r.say(event.SourceReplayer, 100*ms, 500*ms, arrived)
		time.AfterFunc(time.Second, func() { r.say(event.SourceReplayer, 1000*ms, vtime.Never, ended) })
		if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); err != nil {
			t.Fatal(err)
		}
		mustBe(t, "took", core.kinds(), []string{"request_arrived 0.100s", "run_ended 1.000s"})
		if said := r.stream(wire.FleetFilter("r")); fmt.Sprint(kindsOf(said)) != "[instance_lost run_ended]" {
			t.Errorf("the fleet's subject has %v", kindsOf(said))
		}
	})
}

func kindsOf(events []event.Event) (out []event.Kind) {
	for _, ev := range events {
		out = append(out, ev.Body.Kind())
	}
	return out
}

// slowTimers is a way to the stream on which something comes before a timer that
// is on its way.
type slowTimers struct {
	bus.Publisher
	before func()
}

func (b slowTimers) Publish(ctx context.Context, m bus.Outgoing) error {
	if strings.HasPrefix(m.Subject, "spot.run.r.timer.") {
		b.before()
	}
	return b.Publisher.Publish(ctx, m)
}

// TestANewPlannerTakesNoticesAsTheOldOne: at the same times, also one that was
// read late, and those that were read while a timer was on its way.
func TestANewPlannerTakesNoticesAsTheOldOne(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		play := func(last event.Kind, meanwhile func()) []string {
			core := &script{began: time.Now(), last: last, effects: map[event.Kind][]effect.Effect{
				"request_arrived":      {{Timer: effect.SetTimer{Timer: "plan", At: 1000 * ms}}},
				"preemption_cancelled": {{Timer: effect.SetTimer{Timer: "add", At: 999 * ms}}},
			}}
			o := r.options(event.SourcePlanner, core)
			o.Bus = slowTimers{o.Bus, meanwhile}
			if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); err != nil {
				t.Fatal(err)
			}
			return core.kinds()
		}
		r.say(event.SourceReplayer, 350*ms, 9000*ms, arrived)
		time.AfterFunc(380*time.Millisecond, func() { r.say(cloud, 290*ms, 0, noticed) })
		said := false
		first := play("throughput_required", func() {
			if said {
				return
			}
			said = true
			r.say(event.SourceNotice("b"), 990*ms, 0, event.PreemptionCancelled{Nodes: []string{"b"}})
			r.say(cloud, 980*ms, 0, event.PreemptionCancelled{Nodes: []string{"a"}})
			time.AfterFunc(time.Second, func() {
				r.say(event.SourceReplayer, 9000*ms, vtime.Never, event.ThroughputRequired{RequestsPerSecond: 1})
			})
		})
		mustBe(t, "the old planner took", first, []string{
			"request_arrived 0.350s", "preemption_noticed 0.350s", "preemption_cancelled 0.990s", "preemption_cancelled 0.990s",
			"timer_fired 0.999s", "timer_fired 1.000s", "throughput_required 9.000s",
		})
		second := play("throughput_required", func() {})
		mustBe(t, "the new planner took", second, first)
		if strings.Contains(r.log.String(), "late") {
			t.Errorf("it logs %s", r.log.String())
		}
	})
}
