package tracereplayer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/rollcall"
	"github.com/spotserve/spotserve/platform/wire"
	tracereplayer "github.com/spotserve/spotserve/services/trace-replayer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal is a log that several replayers write.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// stage is a bus in a bubble with a replayer on it.
type stage struct {
	t     *testing.T
	bus   *membus.Bus
	log   journal
	ready obs.Readiness
	stop  func() // ends the replayer, which must end cleanly
}

// onStage runs the test beside a replayer that is ready.
func onStage(t *testing.T, test func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, bus: membus.New(membus.Options{})}
		defer s.bus.Close()
		s.start()
		defer func() { s.stop() }()
		test(t, s)
	})
}

// start starts a replayer.
func (s *stage) start() {
	s.t.Helper()
	s.startOn(s.bus)
}

// startOn starts a replayer that sees the bus in its own way.
func (s *stage) startOn(b tracereplayer.Bus) {
	s.t.Helper()
	var g run.Group
	err := tracereplayer.Setup(&g, tracereplayer.Options{
		Bus: b, Log: slog.New(slog.NewTextHandler(&s.log, nil)), Metrics: prometheus.NewRegistry(), Ready: &s.ready, Holder: rand.Text(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(run.ContextHandler(ctx))
	ended := make(chan error, 1)
	go func() { ended <- g.Run() }()
	if err := s.ready.Wait(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.stop = func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			s.t.Errorf("the replayer ends with %v", err)
		}
		if len(s.ready.Unmet()) == 0 {
			s.t.Error("it is ready after its end")
		}
		s.stop = func() {}
	}
}

// staffed has a planner and workers answer roll calls.
func (s *stage) staffed(nodes ...string) {
	ctx := s.t.Context()
	for _, who := range []event.ServicePresent{{Service: "planner"}, {Service: "worker", Nodes: nodes}} {
		go func() {
			if err := rollcall.Answer(ctx, s.bus, who, func() {}); err != nil && !errors.Is(err, bus.ErrClosed) {
				s.t.Error(err)
			}
		}()
	}
	synctest.Wait()
}

// finish has the planner close runs a wall second after their end; those that
// drain go on for an hour.
func (s *stage) finish(drains bool) {
	sub := s.follow(bus.Runs, "spot.run.*.fleet.run_ended")
	ctx := s.t.Context()
	go func() {
		for m := range sub.C() {
			ended, err := wire.Decode(m.Data)
			if err != nil {
				s.t.Error(err)
				return
			}
			reason := ended.Body.(event.RunEnded).Reason
			after := time.Second
			if drains && reason == event.EndOfTrace {
				after = time.Hour
			}
			time.AfterFunc(after, func() {
				// The first word counts; a repetition has the same id.
				_ = actor.Publish(ctx, s.bus, event.Event{
					Run: ended.Run, Source: event.SourcePlanner, Seq: 1, Time: ended.Time, Version: event.SchemaVersion,
					Body: event.RunFinished{Reason: reason},
				})
			})
		}
	}()
}

func (s *stage) follow(stream bus.Stream, filters ...string) bus.Subscription {
	s.t.Helper()
	sub, err := s.bus.Follow(s.t.Context(), stream, bus.Position{}, filters...)
	if err != nil {
		s.t.Fatal(err)
	}
	return sub
}

// publish puts a control message on the bus and returns its sequence.
func (s *stage) publish(body event.Body) uint64 {
	s.t.Helper()
	seq, err := control.Publish(s.t.Context(), s.bus, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return seq
}

// answer is the next answer to a start.
func (s *stage) answer(answers bus.Subscription) event.Body {
	s.t.Helper()
	m := <-answers.C()
	body, err := wire.DecodeControl(m.Subject, m.Data)
	if err != nil {
		s.t.Fatal(err)
	}
	return body
}

// played is an event of the stream with the wall time of its publication.
type played struct {
	event.Event
	wall time.Time
}

// upTo reads a run's events until one of this kind.
func (s *stage) upTo(events bus.Subscription, kind event.Kind) (out []played) {
	s.t.Helper()
	for m := range events.C() {
		ev, err := wire.Decode(m.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, played{ev, m.Published})
		if ev.Body.Kind() == kind {
			return out
		}
	}
	s.t.Fatalf("the stream ends before %s: %v", kind, events.Err())
	return nil
}

func e2e(options event.StartOptions) event.StartExperiment {
	return event.StartExperiment{
		Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20B", Trace: "As", Options: options,
	}
}

// TestPlaysEventsAtTheirTimes: a start is answered with the run's name, and its
// events are published when the clock is there, each with the time of the next.
func TestPlaysEventsAtTheirTimes(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.staffed("*")
		s.finish(false)
		answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
		seq := s.publish(e2e(event.StartOptions{TimeScale: 60, Seed: 3}))
		want := event.ExperimentAccepted{StartSeq: seq, Run: fmt.Sprintf("e2e-%d", seq), Schema: event.SchemaVersion}
		if got := s.answer(answers); got != want {
			t.Fatalf("the answer is %+v, want %+v", got, want)
		}
		events := s.upTo(s.follow(bus.Runs, wire.FleetFilter(want.Run), wire.RequestFilter(want.Run)), "run_ended")
		opening, ok := events[0].Body.(event.RunStarted)
		if !ok || opening.Spec.Seed != 3 || opening.WallStart != events[0].wall.UnixNano() {
			t.Errorf("the run opens with %+v", events[0])
		}
		for i, ev := range events {
			if ev.Seq != uint64(i+1) || ev.Source != event.SourceReplayer {
				t.Fatalf("event %d is %s", i+1, ev.ID())
			}
			if i > 0 && (ev.Time < events[i-1].Time || events[i-1].Watermark != ev.Time) {
				t.Errorf("%s at %s follows %s, which promised nothing before %s", ev.ID(), ev.Time, events[i-1].Time, events[i-1].Watermark)
			}
			// Rounded up to the nanosecond, so that no event is early.
			due := events[0].wall.Add((time.Duration(ev.Time) + 59) / 60)
			if late := ev.wall.Sub(due); late < -time.Nanosecond || late > time.Nanosecond {
				t.Errorf("%s is due at %s of wall time and comes %s late", ev.ID(), due.Sub(events[0].wall), late)
			}
		}
		if last := events[len(events)-1]; last.Time != opening.Spec.End || last.Body != (event.RunEnded{Reason: event.EndOfTrace}) {
			t.Errorf("it ends with %+v", last)
		}
	})
}

// TestRefusals: what is wrong, and what is allowed. Nothing is played.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.txt")
	if err := os.WriteFile(broken, []byte("[0, \"add\", {\"nodes\": [\"a\"]}]\n[1000, \"add\", {\"nodes\": [\"a\"]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		message string // as users type it
		planner bool
		nodes   []string
		reason  []string // parts
		allowed []string
	}{
		{name: "no start", message: "hello", reason: []string{"start:", `for example {"e2e"`}},
		{name: "no experiment", message: "{}", reason: []string{"exactly one of", "e2e"}},
		{name: "unknown key", message: `{"e2e":{"approach":"spotserve","mdel":"20B","trace":"As"}}`, reason: []string{`"mdel"`, `did you mean "model"?`}},
		{
			name: "unknown trace", message: `{"e2e":{"approach":"spotserve","model":"20B","trace":"Az"}}`,
			reason: []string{`unknown trace "Az"`, "did you mean As?"}, allowed: []string{"As", "Bs", "As+o", "Bs+o"},
		},
		{
			name: "unknown fleet", message: `{"ondemand":{"nodes":5}}`,
			reason: []string{`fleet size "5"`}, allowed: []string{"3", "4", "6", "8"},
		},
		{
			name: "time scale", message: `{"ondemand":{"nodes":6},"options":{"time_scale":-1}}`,
			reason: []string{"time_scale", "-1"},
		},
		{
			name: "broken file", message: `{"e2e":{"approach":"spotserve","model":"20B","trace":"As"},"options":{"availability_file":"` + broken + `"}}`,
			reason: []string{broken + ":2:", `"a"`},
		},
		{
			name: "no file", message: `{"e2e":{"approach":"spotserve","model":"20B","trace":"As"},"options":{"arrivals_file":"` + dir + `/none"}}`,
			reason: []string{dir + "/none"},
		},
		{name: "no planner", message: `{"ondemand":{"nodes":3}}`, nodes: []string{"*"}, reason: []string{"no planner answers", "planner --nats URL"}},
		{
			name: "workers for some nodes", message: `{"ondemand":{"nodes":3}}`, planner: true, nodes: []string{"node-0"},
			reason: []string{"no worker stands for", "node-1, node-2:", "worker --node"},
		},
		{name: "nobody", message: `{"ondemand":{"nodes":3}}`, reason: []string{"no planner answers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				ctx := t.Context()
				present := []event.ServicePresent{}
				if c.planner {
					present = append(present, event.ServicePresent{Service: "planner"})
				}
				if c.nodes != nil {
					present = append(present, event.ServicePresent{Service: "worker", Nodes: c.nodes})
				}
				for _, who := range present {
					go func() { _ = rollcall.Answer(ctx, s.bus, who, func() {}) }() // ends with the bus
				}
				synctest.Wait()
				seq, err := s.bus.PublishWait(ctx, bus.Outgoing{Subject: wire.SubjectStart, Data: []byte(c.message)})
				if err != nil {
					t.Fatal(err)
				}
				refused, ok := s.answer(s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)).(event.ExperimentRefused)
				if !ok || refused.StartSeq != seq {
					t.Fatalf("the start at %d is answered by %+v", seq, refused)
				}
				for _, part := range c.reason {
					if !strings.Contains(refused.Reason, part) {
						t.Errorf("the reason is %q, want it to contain %q", refused.Reason, part)
					}
				}
				if !slices.Equal(refused.Allowed, c.allowed) {
					t.Errorf("allowed are %q, want %q", refused.Allowed, c.allowed)
				}
				time.Sleep(time.Hour)
				if last, err := s.bus.LastSeq(ctx, bus.Runs); err != nil || last != 0 {
					t.Errorf("%d events are on the stream, %v", last, err)
				}
			})
		})
	}
}

// asked is how long the roll is called for a start: those who stand by have the
// time until it is called again.
const asked = 500 * time.Millisecond

// TestOneRunAtATime: a second start is accepted at once and begins when the
// first run has finished.
func TestOneRunAtATime(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.staffed("*")
		s.finish(false)
		began := time.Now()
		answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
		var runs []string
		for range 2 {
			s.publish(e2e(event.StartOptions{TimeScale: 60}))
			runs = append(runs, s.answer(answers).(event.ExperimentAccepted).Run)
		}
		if time.Since(began) != 2*asked {
			t.Errorf("the second start is answered after %s", time.Since(began))
		}
		// 1320 s at this scale, and the planner's second.
		for i, want := range []time.Duration{asked, asked + 23*time.Second} {
			events := s.upTo(s.follow(bus.Runs, wire.FleetFilter(runs[i])), "run_started")
			if got := events[0].wall.Sub(began); got != want {
				t.Errorf("run %s begins after %s, want %s", runs[i], got, want)
			}
		}
	})
}

// TestStop: what is running ends there and then, and the run is marked.
func TestStop(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.staffed("*")
		s.finish(false)
		answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
		s.publish(e2e(event.StartOptions{TimeScale: 60}))
		name := s.answer(answers).(event.ExperimentAccepted).Run
		began := time.Now()
		time.Sleep(10 * time.Second)
		s.publish(event.StopExperiment{Run: "e2e-99"}) // another one
		if err := s.bus.Publish(t.Context(), bus.Outgoing{Subject: wire.SubjectStop, Data: []byte("junk")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.publish(event.StopExperiment{Run: name})
		s.publish(event.StopExperiment{Run: name}) // again: no harm
		events := s.upTo(s.follow(bus.Runs, wire.FleetFilter(name), wire.RequestFilter(name)), "run_ended")
		last := events[len(events)-1]
		if last.Body != (event.RunEnded{Reason: event.Stopped}) || last.wall.Sub(began) != 10*time.Second {
			t.Errorf("after %s it ends with %+v", last.wall.Sub(began), last)
		}
		if before := events[len(events)-2]; last.Time < before.Watermark || last.Time.Seconds() < 600 || last.Time.Seconds() > 610 {
			t.Errorf("it ends at %s, after 10 s at 60 times the clock; nothing was to come before %s", last.Time, before.Watermark)
		}
		time.Sleep(time.Hour)
		if n, err := s.bus.LastSeq(t.Context(), bus.Runs); err != nil || n != uint64(len(events))+1 { // and the planner's word
			t.Errorf("%d events on the stream, %v; %d up to the end", n, err, len(events))
		}
		for _, want := range []string{"nothing to stop", "run=e2e-99", "skip a message that cannot be read", "subject=" + wire.SubjectStop} {
			if !strings.Contains(s.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, s.log.String())
			}
		}
	})
}

// TestStopBeforeItsTurn: a queued run begins and ends at once, so that it is on
// record, and its turn is gone.
func TestStopBeforeItsTurn(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.staffed("*")
		s.finish(false)
		answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
		var runs []string
		for range 3 {
			s.publish(e2e(event.StartOptions{TimeScale: 60}))
			runs = append(runs, s.answer(answers).(event.ExperimentAccepted).Run)
		}
		began := time.Now()
		s.publish(event.StopExperiment{Run: runs[1]})
		events := s.upTo(s.follow(bus.Runs, wire.FleetFilter(runs[1])), "run_ended")
		if first, last := events[0], events[len(events)-1]; first.Body.Kind() != "run_started" ||
			last.Body != (event.RunEnded{Reason: event.Stopped}) || last.wall != began {
			t.Errorf("it begins with %s and ends after %s with %+v", first.Body.Kind(), last.wall.Sub(began), last.Body)
		}
		third := s.upTo(s.follow(bus.Runs, wire.FleetFilter(runs[2])), "run_started")
		if got := third[0].wall.Sub(began); got != 23*time.Second-2*asked {
			t.Errorf("the third run begins after %s, want that of the first run, which began two roll calls before", got)
		}
	})
}

// TestStopWhileDraining: the input is over, but the run would go on.
func TestStopWhileDraining(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.staffed("*")
		s.finish(true)
		answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
		s.publish(e2e(event.StartOptions{TimeScale: 60, Drain: true}))
		name := s.answer(answers).(event.ExperimentAccepted).Run
		events := s.follow(bus.Runs, wire.FleetFilter(name), wire.RequestFilter(name))
		over := s.upTo(events, "run_ended")
		time.Sleep(time.Minute)
		s.publish(event.StopExperiment{Run: name})
		stopped := s.upTo(events, "run_ended")[0]
		if want := over[len(over)-1]; stopped.Body != (event.RunEnded{Reason: event.Stopped}) || stopped.Seq != want.Seq+1 || stopped.Time < want.Time {
			t.Errorf("after %+v the stop is %+v", want.Event, stopped.Event)
		}
	})
}

// TestStartWaitsForAReplayer: a start that was published while none was there is
// not lost, and one that was answered is not answered again.
func TestStartWaitsForAReplayer(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.staffed("*")
		answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
		s.publish(event.StartExperiment{Experiment: experiment.OnDemand, Nodes: 5})
		if refused, ok := s.answer(answers).(event.ExperimentRefused); !ok {
			t.Fatalf("the first answer is %+v", refused)
		}
		s.stop()
		seq := s.publish(e2e(event.StartOptions{}))
		s.start()
		if got := s.answer(answers); got != (event.ExperimentAccepted{StartSeq: seq, Run: fmt.Sprintf("e2e-%d", seq), Schema: event.SchemaVersion}) {
			t.Errorf("the second answer is %+v", got)
		}
		// The replayer ends in mid-run, with all that it plays.
	})
}
