package actor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var delays = cost.Delays{Send: 10 * time.Millisecond, Poll: 10 * time.Millisecond, Response: 20 * time.Millisecond}

const ms = vtime.Time(time.Millisecond)

// script is a core that remembers what it took, and when, and does as written.
type script struct {
	took    []event.Event
	at      []time.Duration // of wall time, since began
	began   time.Time
	effects map[event.Kind][]effect.Effect // once, on the first event of the kind
	last    event.Kind                     // ends the run
}

func (s *script) Step(_ vtime.Time, ev event.Event) []effect.Effect {
	if _, elected := ev.Body.(event.PlannerElected); elected {
		return nil // every run has one
	}
	s.took, s.at = append(s.took, ev), append(s.at, time.Since(s.began))
	kind := ev.Body.Kind()
	effects := s.effects[kind]
	delete(s.effects, kind)
	return effects
}

func (s *script) finished() bool {
	return slices.ContainsFunc(s.took, func(ev event.Event) bool { return ev.Body.Kind() == s.last })
}

// kinds are what the script took, with their times.
func (s *script) kinds() (out []string) {
	for _, ev := range s.took {
		out = append(out, string(ev.Body.Kind())+" "+ev.Time.String())
	}
	return out
}

// rig is a bus with an actor's input on it, in a bubble.
type rig struct {
	t   *testing.T
	bus *membus.Bus
	log bytes.Buffer
	seq map[string]uint64
}

func bubble(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, bus: membus.New(membus.Options{}), seq: make(map[string]uint64)}
		defer r.bus.Close()
		test(t, r)
	})
}

// options are those of the planner's or a node's actor; the clock begins now and
// goes as fast as the wall's.
func (r *rig) options(name string, core actor.Core) actor.Options {
	r.t.Helper()
	filters := []string{wire.FleetFilter("r"), wire.RequestFilter("r"), wire.WorkerFacts("r"), wire.TimerFilter("r")}
	if name != event.SourcePlanner {
		filters = append(wire.NoticeFilters("r", name), wire.FleetFilter("r"), wire.CommandFilter("r", name), wire.PlannerWatermarks("r"), wire.RunFinishedFilter("r"))
	}
	input, err := r.bus.Follow(r.t.Context(), bus.Runs, bus.Position{}, filters...)
	if err != nil {
		r.t.Fatal(err)
	}
	pace, err := clock.New(time.Now(), 1)
	if err != nil {
		r.t.Fatal(err)
	}
	return actor.Options{
		Run: "r", Name: name, Core: core, Bus: r.bus, Input: input, Clock: pace,
		Log: slog.New(slog.NewTextHandler(&r.log, nil)), ReorderWait: 2 * time.Second,
	}
}

// lead has the planner elected.
func (r *rig) lead() actor.Leadership {
	r.t.Helper()
	l, err := actor.Lead(r.t.Context(), r.bus, actor.Started{Run: "r", Seq: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// say publishes an event of a source.
func (r *rig) say(source string, at, watermark vtime.Time, body event.Body) {
	r.t.Helper()
	r.seq[source]++
	ev := event.Event{
		Run: "r", Source: source, Seq: r.seq[source], Time: at, Watermark: watermark, Version: event.SchemaVersion, Body: body,
	}
	if err := actor.Publish(r.t.Context(), r.bus, ev); err != nil {
		r.t.Fatal(err)
	}
}

var (
	arrived = event.RequestArrived{PromptTokens: 512, OutputTokens: 128}
	ended   = event.RunEnded{Reason: event.EndOfTrace}
	epoch   = event.Epoch{Term: 1, N: 1}
)

func mustBe(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestPlannerTakesFactsInNominalOrder, however the bus delivers them.
func TestPlannerTakesFactsInNominalOrder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		core := &script{began: time.Now(), last: "run_ended"}
		o := r.options(event.SourcePlanner, core)
		r.say("b", 400*ms, vtime.Never, event.StageStarted{Epoch: epoch})
		r.say("a", 200*ms, 400*ms, event.StageStarted{Epoch: epoch})
		r.say(event.SourceReplayer, 100*ms, 300*ms, arrived)
		r.say(event.SourceReplayer, 300*ms, 500*ms, arrived)
		r.say("a", 400*ms, vtime.Never, event.ContextMigrated{Epoch: epoch})
		r.say(event.SourceReplayer, 500*ms, vtime.Never, ended)
		if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); err != nil {
			t.Fatal(err)
		}
		mustBe(t, "took", core.kinds(), []string{
			"request_arrived 0.100s", "stage_started 0.200s", "request_arrived 0.300s",
			"context_migrated 0.400s", "stage_started 0.400s", "run_ended 0.500s",
		})
		if r.log.Len() != 0 {
			t.Errorf("it logs %s", r.log.String())
		}
	})
}

// TestPlannerTimerIsOnTheStream: a timer fires at its time by the clock, is
// published, and acts when it is read back, once.
func TestPlannerTimerIsOnTheStream(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		core := &script{began: time.Now(), last: "timer_fired", effects: map[event.Kind][]effect.Effect{
			"request_arrived": {{Timer: effect.SetTimer{Timer: "plan", At: 3000 * ms}}},
		}}
		o := r.options(event.SourcePlanner, core)
		r.say(event.SourceReplayer, 100*ms, vtime.Never, arrived)
		if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); err != nil {
			t.Fatal(err)
		}
		mustBe(t, "took", core.kinds(), []string{"request_arrived 0.100s", "timer_fired 3.000s"})
		if core.at[1] != 3*time.Second {
			t.Errorf("it fired after %s, want 3s", core.at[1])
		}
		if fired := r.stream("spot.run.r.timer.timer_fired"); len(fired) != 1 || fired[0].ID() != core.took[1].ID() {
			t.Errorf("the stream has the timers %+v, want the one that acted", fired)
		}
	})
}

// stream is what there is on some subjects of the stream.
func (r *rig) stream(filter string) (out []event.Event) {
	r.t.Helper()
	sub, err := r.bus.Follow(r.t.Context(), bus.Runs, bus.Position{}, filter)
	if err != nil {
		r.t.Fatal(err)
	}
	defer sub.Stop()
	synctest.Wait()
	for len(sub.C()) > 0 {
		ev, err := wire.Decode((<-sub.C()).Data)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, ev)
	}
	return out
}

// TestPlannerWaitsForTheSilentNoLongerThanTheReorderWait, and what they say
// afterwards is late.
func TestPlannerWaitsForTheSilentNoLongerThanTheReorderWait(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		core := &script{began: time.Now(), last: "run_ended"}
		o := r.options(event.SourcePlanner, core)
		r.say("a", 100*ms, 200*ms, event.StageStarted{Epoch: epoch})
		r.say(event.SourceReplayer, 1000*ms, 9000*ms, arrived)
		time.AfterFunc(5*time.Second, func() {
			r.say("a", 900*ms, vtime.Never, event.ContextMigrated{Epoch: epoch})
			r.say(event.SourceReplayer, 9000*ms, vtime.Never, ended)
		})
		if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); err != nil {
			t.Fatal(err)
		}
		mustBe(t, "took", core.kinds(), []string{
			"stage_started 0.100s", "request_arrived 1.000s", "context_migrated 0.900s", "run_ended 9.000s",
		})
		if want := 3 * time.Second; core.at[1] != want { // due after 1 s, and 2 s of patience
			t.Errorf("it went on after %s, want %s", core.at[1], want)
		}
		for _, want := range []string{"go on without silent sources", "sources=[a]", "a fact comes late", "id=a/2"} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, r.log.String())
			}
		}
	})
}

// TestActorSkipsWhatIsNotItsRun's and what nobody can read.
func TestActorSkipsWhatIsNotItsRuns(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		core := &script{began: time.Now(), last: "run_ended"}
		o := r.options(event.SourcePlanner, core)
		if err := r.bus.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.r.fleet.run_ended", Data: []byte("junk")}); err != nil {
			t.Fatal(err)
		}
		foreign := event.Event{Run: "other", Source: event.SourceReplayer, Seq: 1, Version: event.SchemaVersion, Body: ended}
		data, err := wire.Encode(foreign)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.bus.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.r.fleet.run_ended", Data: data}); err != nil {
			t.Fatal(err)
		}
		r.say(event.SourceReplayer, 500*ms, vtime.Never, ended)
		if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); err != nil {
			t.Fatal(err)
		}
		mustBe(t, "took", core.kinds(), []string{"run_ended 0.500s"})
		for _, want := range []string{"cannot be read", "and_more=0"} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, r.log.String())
			}
		}
	})
}

// TestWorkerGoesAsFarAsThePlannerSays and promises what its next fact can be.
func TestWorkerGoesAsFarAsThePlannerSays(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		stage := event.Event{
			Run: "r", Source: "a", Seq: 1, Time: 2020 * ms, Version: event.SchemaVersion,
			Body: event.StageStarted{Epoch: epoch, At: 2000 * ms},
		}
		core := &script{began: time.Now(), effects: map[event.Kind][]effect.Effect{
			"drain":       {{Timer: effect.SetTimer{Timer: "stage/0", At: 2000 * ms}}},
			"timer_fired": {{Event: stage}},
		}}
		o := r.options("a", core)
		done := make(chan error, 1)
		go func() { done <- actor.RunWorker(t.Context(), o, actor.Joining{}, delays) }()
		synctest.Wait()
		drain := event.Event{
			Run: "r", Source: event.SourcePlanner, Seq: 5, To: "a", Time: 100 * ms, Version: event.SchemaVersion, Body: event.Drain{},
		}
		if err := actor.Publish(t.Context(), r.bus, drain); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		mustBe(t, "took without a watermark", core.kinds(), nil)

		core.began = time.Now()
		r.seq[event.SourcePlanner] = 5
		r.say(event.SourcePlanner, 0, 2000*ms, event.WatermarkAdvanced{})
		synctest.Wait()
		mustBe(t, "took below the watermark", core.kinds(), []string{"drain 0.100s"})
		r.say(event.SourcePlanner, 0, 2001*ms, event.WatermarkAdvanced{})
		synctest.Wait()
		r.say(event.SourcePlanner, 2001*ms, 0, event.RunFinished{Reason: event.EndOfTrace})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		mustBe(t, "took", core.kinds(), []string{"drain 0.100s", "timer_fired 2.000s"})

		var promises []string
		for _, ev := range r.stream("spot.run.r.worker.a.fact.>") {
			promises = append(promises, fmt.Sprintf("%s from %s, seen %d", ev.Body.Kind(), ev.Watermark, ev.Seen))
		}
		mustBe(t, "promises", promises, []string{
			"watermark_advanced from 0.120s, seen 5", "watermark_advanced from 2.020s, seen 5",
			"stage_started from never, seen 5",
		})
	})
}

// slowPublisher takes its time.
type slowPublisher struct {
	bus.Publisher
	delay time.Duration
}

func (p slowPublisher) Publish(ctx context.Context, m bus.Outgoing) error {
	time.Sleep(p.delay)
	return p.Publisher.Publish(ctx, m)
}

// TestTimerThatComesDueWhileTheActorPublishes fires all the same: nothing else
// would wake the actor.
func TestTimerThatComesDueWhileTheActorPublishes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		core := &script{began: time.Now(), effects: map[event.Kind][]effect.Effect{
			"drain": {
				{Event: event.Event{Run: "r", Source: "a", Seq: 1, Time: 120 * ms, Version: event.SchemaVersion, Body: event.StageStarted{Epoch: epoch}}},
				{Timer: effect.SetTimer{Timer: "stage/0", At: 400 * ms}},
			},
		}}
		o := r.options("a", core)
		o.Bus = slowPublisher{o.Bus, 600 * time.Millisecond}
		o.ReorderWait = time.Hour
		done := make(chan error, 1)
		go func() { done <- actor.RunWorker(t.Context(), o, actor.Joining{}, delays) }()
		drain := event.Event{
			Run: "r", Source: event.SourcePlanner, Seq: 1, To: "a", Time: 100 * ms, Version: event.SchemaVersion, Body: event.Drain{},
		}
		if err := actor.Publish(t.Context(), r.bus, drain); err != nil {
			t.Fatal(err)
		}
		r.seq[event.SourcePlanner] = 1
		r.say(event.SourcePlanner, 0, 9000*ms, event.WatermarkAdvanced{})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		mustBe(t, "took", core.kinds(), []string{"drain 0.100s", "timer_fired 0.400s"})
		if at := core.at[len(core.at)-1]; at > 2*time.Second {
			t.Errorf("it fired after %s, and was due before a message of 0.6 s was out", at)
		}
		r.say(event.SourcePlanner, 9000*ms, 0, event.RunFinished{Reason: event.EndOfTrace})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

var errStream = errors.New("the stream is gone")

// brokenBus fails to publish.
type brokenBus struct{ bus.Publisher }

func (brokenBus) Publish(context.Context, bus.Outgoing) error { return errStream }

// TestActorEndsWithWhatEndsIt: the bus, the context.
func TestActorEndsWithWhatEndsIt(t *testing.T) {
	t.Run("it cannot publish", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			core := &script{last: "never", effects: map[event.Kind][]effect.Effect{
				"request_arrived": {{Timer: effect.SetTimer{Timer: "plan", At: 100 * ms}}},
			}}
			o := r.options(event.SourcePlanner, core)
			o.Bus = brokenBus{r.bus}
			r.say(event.SourceReplayer, 100*ms, vtime.Never, arrived)
			if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); !errors.Is(err, errStream) {
				t.Errorf("it ends with %v", err)
			}
		})
	})
	t.Run("the bus is closed", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			core := &script{last: "never"}
			o := r.options(event.SourcePlanner, core)
			time.AfterFunc(time.Second, func() { r.bus.Close() })
			if err := actor.RunPlanner(t.Context(), o, r.lead(), delays, core.finished); !errors.Is(err, bus.ErrClosed) {
				t.Errorf("it ends with %v", err)
			}
		})
	})
	t.Run("the context ends", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			core := &script{last: "never"}
			if err := actor.RunWorker(ctx, r.options("a", core), actor.Joining{}, delays); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it ends with %v", err)
			}
		})
	})
}
