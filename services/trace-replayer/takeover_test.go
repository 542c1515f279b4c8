package tracereplayer_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
	tracereplayer "github.com/spotserve/spotserve/services/trace-replayer"
)

// accepted starts an experiment and returns its run.
func (s *stage) accepted(answers bus.Subscription, options event.StartOptions) string {
	s.t.Helper()
	s.publish(e2e(options))
	answer := s.answer(answers)
	accepted, ok := answer.(event.ExperimentAccepted)
	if !ok {
		s.t.Fatalf("the start is answered by %+v", answer)
	}
	return accepted.Run
}

// TestGoesOnWhereAnotherStopped: the next replayer plays the rest of the run and
// then the one that waited, each event once and none left out.
func TestGoesOnWhereAnotherStopped(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.staffed("*")
		s.finish(false)
		answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
		runs := []string{s.accepted(answers, event.StartOptions{TimeScale: 60}), s.accepted(answers, event.StartOptions{TimeScale: 60})}
		time.Sleep(10 * time.Second)
		s.stop()
		time.Sleep(5 * time.Second)
		s.start()
		for _, run := range runs {
			events := s.upTo(s.follow(bus.Runs, wire.FleetFilter(run), wire.RequestFilter(run)), "run_ended")
			for i, ev := range events {
				if ev.Seq != uint64(i+1) {
					t.Fatalf("event %d of %s is %s", i+1, run, ev.ID())
				}
			}
			last := events[len(events)-1]
			if took := last.wall.Sub(events[0].wall); last.Body != (event.RunEnded{Reason: event.EndOfTrace}) || took != 22*time.Second {
				t.Errorf("%s ends after %s with %+v, want 22s, as if nothing had been", run, took, last.Body)
			}
		}
	})
}

// TestAStopMeanwhile: a run that is stopped while no replayer is there ends when
// one is, and once.
func TestAStopMeanwhile(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.staffed("*")
		answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
		runs := []string{s.accepted(answers, event.StartOptions{TimeScale: 60}), s.accepted(answers, event.StartOptions{TimeScale: 60})}
		time.Sleep(10 * time.Second)
		s.stop()
		for _, run := range runs {
			s.publish(event.StopExperiment{Run: run})
		}
		time.Sleep(5 * time.Second)
		for range 3 { // nobody has finished it: each replayer waits for that
			s.start()
			time.Sleep(time.Minute)
			s.stop()
		}
		s.start()
		for i, run := range runs {
			sub := s.follow(bus.Runs, wire.FleetFilter(run), wire.RequestFilter(run))
			events := s.upTo(sub, "run_ended")
			last := events[len(events)-1]
			if last.Body != (event.RunEnded{Reason: event.Stopped}) || i == 0 && last.Time.Seconds() < 900 {
				t.Errorf("%s ends at %s with %+v", run, last.Time, last.Body)
			}
			time.Sleep(time.Hour)
			if more := len(sub.C()); more != 0 {
				t.Errorf("%s has %d events behind its end", run, more)
			}
		}
	})
}

const (
	thirty = "[0, \"add\", {\"nodes\": [\"a\", \"b\", \"c\"]}]\n[30000, \"add\", {\"nodes\": [\"d\"]}]\n[600000, \"DONE\", {\"nodes\": []}]\n"
	forty  = "[0, \"add\", {\"nodes\": [\"a\", \"b\", \"c\"]}]\n[30000, \"remove\", {\"nodes\": [\"a\"]}]\n[600000, \"DONE\", {\"nodes\": []}]\n"
)

// TestAFileThatChanged: what cannot be played any more ends in public. A run that
// has begun is stopped, one that has not is refused, and the reason is told.
func TestAFileThatChanged(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"gone":    os.Remove,
		"changed": func(path string) error { return os.WriteFile(path, []byte(forty), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "trace.txt")
			if err := os.WriteFile(path, []byte(thirty), 0o600); err != nil {
				t.Fatal(err)
			}
			onStage(t, func(t *testing.T, s *stage) {
				s.staffed("*")
				answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
				o := event.StartOptions{TimeScale: 1, AvailabilityFile: path}
				begun, waits := s.accepted(answers, o), s.accepted(answers, o)
				time.Sleep(40 * time.Second)
				s.stop()
				if err := change(path); err != nil {
					t.Fatal(err)
				}
				s.start()
				events := s.upTo(s.follow(bus.Runs, wire.FleetFilter(begun), wire.RequestFilter(begun)), "run_ended")
				last := events[len(events)-1]
				if last.Body != (event.RunEnded{Reason: event.Stopped}) || last.Time.Seconds() < 40 || last.Time < events[len(events)-2].Watermark {
					t.Errorf("it ends at %s with %+v", last.Time, last.Body)
				}
				if !strings.Contains(s.log.String(), "cannot go on") {
					t.Errorf("the log does not say why:\n%s", s.log.String())
				}
				if name == "changed" {
					return // what has not begun may be played from the new file
				}
				s.finish(false) // its turn
				refused, ok := s.answer(answers).(event.ExperimentRefused)
				if !ok || refused.Run != waits || !strings.Contains(refused.Reason, path) {
					t.Errorf("the run that waited is answered by %+v", refused)
				}
				time.Sleep(time.Hour)
				if _, found, err := s.bus.Newest(t.Context(), bus.Runs, wire.RunFilter(waits)); found || err != nil {
					t.Errorf("the refused run has events: %t, %v", found, err)
				}
			})
		})
	}
}

// TestCloseOpen: what a killed process left is ended where it stopped, and the
// next experiment does not wait for that.
func TestCloseOpen(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.staffed("*")
		answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
		runs := []string{s.accepted(answers, event.StartOptions{TimeScale: 60}), s.accepted(answers, event.StartOptions{TimeScale: 60})}
		time.Sleep(10 * time.Second)
		s.stop()
		unanswered := s.publish(e2e(event.StartOptions{}))
		time.Sleep(time.Hour)
		closed, err := tracereplayer.CloseOpen(t.Context(), s.bus, slog.New(slog.DiscardHandler))
		if err != nil || !slices.Equal(closed, runs) {
			t.Fatalf("closed are %v, %v; want %v", closed, err, runs)
		}
		if refused, ok := s.answer(answers).(event.ExperimentRefused); !ok || refused.StartSeq != unanswered {
			t.Errorf("the start without an answer gets %+v", refused)
		}
		s.start()
		next := s.accepted(answers, event.StartOptions{TimeScale: 60})
		began := time.Now()
		if first := s.upTo(s.follow(bus.Runs, wire.FleetFilter(next)), "run_started")[0]; first.wall != began {
			t.Errorf("the next run waits for %s", first.wall.Sub(began))
		}
		for i, run := range runs {
			events := s.upTo(s.follow(bus.Runs, wire.FleetFilter(run), wire.RequestFilter(run)), "run_ended")
			last := events[len(events)-1]
			if last.Body != (event.RunEnded{Reason: event.Stopped}) {
				t.Errorf("%s ends with %+v", run, last.Body)
			}
			if at := last.Time.Seconds(); i == 0 && (at < 600 || at > 660) {
				t.Errorf("%s ends at %s, want where its process did, at 600 s or soon after", run, last.Time)
			}
		}
		s.finish(false)
		time.Sleep(time.Hour)
		if closed, err = tracereplayer.CloseOpen(t.Context(), s.bus, slog.New(slog.DiscardHandler)); err != nil || len(closed) != 0 {
			t.Errorf("when all have finished, closed are %v, %v", closed, err)
		}
	})
}

// TestOneOfTwoPlays: the other stands by, and does not repeat anything.
func TestOneOfTwoPlays(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.staffed("*")
		s.finish(false)
		first := s.stop
		s.start()
		second := s.stop
		answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
		run := s.accepted(answers, event.StartOptions{TimeScale: 60})
		s.upTo(s.follow(bus.Runs, wire.PlanFilter(run)), "run_finished")
		time.Sleep(time.Hour)
		if n := len(answers.C()); n != 0 {
			t.Errorf("%d more answers", n)
		}
		seen := make(map[string]bool)
		for _, ev := range s.upTo(s.follow(bus.Runs, wire.FleetFilter(run), wire.RequestFilter(run)), "run_ended") {
			if seen[fmt.Sprint(ev.ID())] {
				t.Errorf("%s is said twice", ev.ID())
			}
			seen[fmt.Sprint(ev.ID())] = true
		}
		first()
		second()
	})
}
