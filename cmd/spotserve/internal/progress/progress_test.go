package progress

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestLineTellsOfTheRun: clock, fleet, configuration, queue, done of all, P99.
func TestLineTellsOfTheRun(t *testing.T) {
	s := NewState()
	at := 0.0
	epoch := event.Epoch{Term: 1, N: 1}
	arrive := func(n int) {
		for range n {
			s.Take(event.Event{Time: vtime.Seconds(at), Body: event.RequestArrived{}})
		}
	}
	complete := func(latency float64) {
		s.Take(event.Event{Time: vtime.Seconds(at), Body: event.RequestCompleted{Record: event.RequestRecord{
			Arrived: vtime.Seconds(at - latency), Finished: vtime.Seconds(at),
		}}})
	}
	for _, step := range []struct {
		at   float64
		play func()
		want string
	}{
		{0, func() {
			s.Take(event.Event{Body: event.RunStarted{Spec: experiment.Spec{End: vtime.Seconds(1320)}}})
			s.Take(event.Event{Body: event.InstanceAcquired{Instances: []experiment.Instance{{Node: "a"}, {Node: "b"}}}})
		}, "0 / 1320 s 2 nodes none queue 0 done 0/0 P99 -"},
		{10, func() {
			s.Take(event.Event{Time: vtime.Seconds(10), Body: event.ConfigChosen{
				Epoch: epoch, Config: topology.ParallelConfig{Data: 2, Pipeline: 3, Tensor: 4},
			}})
			arrive(5)
		}, "10 / 1320 s 2 nodes 2x3x4 starting queue 5 done 0/5 P99 -"},
		{20, func() {
			s.Take(event.Event{Time: vtime.Seconds(20), Body: event.StageStarted{Epoch: epoch}})
			s.Take(event.Event{Time: vtime.Seconds(20), Body: event.BatchStarted{Epoch: epoch, Requests: make([]event.RequestID, 4)}})
		}, "20 / 1320 s 2 nodes 2x3x4 queue 1 done 0/5 P99 -"},
		{40, func() {
			s.Take(event.Event{Time: vtime.Seconds(40), Body: event.BatchCompleted{Epoch: epoch}})
			for _, latency := range []float64{30, 12.25, 20, 20} {
				complete(latency)
			}
		}, "40 / 1320 s 2 nodes 2x3x4 queue 1 done 4/5 P99 30.0 s"},
		{45, func() { // a continuous batch, which one request has joined and three have left
			s.Take(event.Event{Time: vtime.Seconds(45), Body: event.RequestsJoined{Epoch: epoch, Requests: make([]event.RequestID, 3)}})
			s.Take(event.Event{Time: vtime.Seconds(45), Body: event.RequestsJoined{Epoch: epoch, Requests: make([]event.RequestID, 1)}})
			s.Take(event.Event{Time: vtime.Seconds(45), Body: event.RequestsLeft{Epoch: epoch, Requests: make([]event.RequestID, 3)}})
		}, "45 / 1320 s 2 nodes 2x3x4 queue 0 done 4/5 P99 30.0 s"},
		{50, func() {
			s.Take(event.Event{Time: vtime.Seconds(50), Body: event.InstanceLost{Nodes: []string{"a"}}})
			// What is promised for later is no sign of time.
			s.Take(event.Event{Time: vtime.Seconds(900), Body: event.WatermarkAdvanced{}})
		}, "50 / 1320 s 1 nodes 2x3x4 queue 0 done 4/5 P99 30.0 s"},
		{55, func() { s.StoreAway = true }, "50 / 1320 s 1 nodes 2x3x4 queue 0 done 4/5 P99 30.0 s the store takes no rows"},
		{60, func() { s.StoreAway = false }, "50 / 1320 s 1 nodes 2x3x4 queue 0 done 4/5 P99 30.0 s"},
	} {
		at = step.at
		step.play()
		if got := strings.Join(strings.Fields(s.String()), " "); got != step.want {
			t.Errorf("at %g s the line is\n%s\nwant\n%s", step.at, got, step.want)
		}
	}
}

// TestLineIsRedrawn in place, not too often, and leaves nothing behind.
func TestLineIsRedrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		line, s := NewLine(&out), NewState()
		line.Show(s)
		first := out.Len()
		line.Show(s)
		if out.Len() != first {
			t.Error("it is drawn again at once")
		}
		line.ShowNow(s)
		if second := out.Len(); second != 2*first {
			t.Errorf("it is not drawn when it has to be: %d characters, and then %d", first, second)
		}
		line.Show(s)
		time.Sleep(interval)
		line.Show(s)
		if text := out.String(); strings.Count(text, "\r") != 3 || strings.Contains(text, "\n") {
			t.Errorf("it draws %q", text)
		}
		out.Reset()
		line.Clear()
		if text := out.String(); strings.TrimSpace(text) != "" || len(text) < len(s.String()) || !strings.HasSuffix(text, "\r") {
			t.Errorf("it clears the line by %q", text)
		}
	})
}
