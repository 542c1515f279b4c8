package actor

import (
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

func numbered(source string, seq uint64, watermark vtime.Time, seen uint64, body event.Body) event.Event {
	return event.Event{Source: source, Seq: seq, Watermark: watermark, Seen: seen, Body: body}
}

// TestPlannerHearsAFactOnce: a worker that takes the place of another says again
// what that one said. Until it has caught up its promises are void: it does not
// know yet of what it will say.
func TestPlannerHearsAFactOnce(t *testing.T) {
	r := newPlannerRole()
	r.observe(fact(event.SourceReplayer, vtime.Seconds(500), 0), 0)
	r.sent(command("a", 7, 100*ms))
	for _, c := range []struct {
		what  string
		said  event.Event
		taken bool
		bound vtime.Time
	}{
		{"a fact", numbered("a", 1, 300*ms, 7, event.StageStarted{}), true, 300 * ms},
		{"a new process that has read nothing", numbered("a", 1, vtime.Never, 0, event.WatermarkAdvanced{}), false, 300 * ms},
		{"one that has read too little", numbered("a", 2, 900*ms, 6, event.WatermarkAdvanced{}), false, 300 * ms},
		{"the fact again", numbered("a", 1, 300*ms, 7, event.StageStarted{}), false, 300 * ms},
		{"what comes behind it", numbered("a", 2, 400*ms, 7, event.StageStarted{}), true, 400 * ms},
		{"a straggler of the old process", numbered("a", 1, 300*ms, 6, event.StageStarted{}), false, 400 * ms},
	} {
		if taken := r.observe(c.said, 0); taken != c.taken {
			t.Errorf("%s is taken: %t", c.what, taken)
		}
		if got := r.bound(); got != c.bound {
			t.Errorf("after %s the bound is %s, want %s", c.what, got, c.bound)
		}
	}
}

// TestPlannerHearsOneReplayer: of two that play the same, at different places,
// every event counts once, and the first end is the end.
func TestPlannerHearsOneReplayer(t *testing.T) {
	r := newPlannerRole()
	arrival, end := event.RequestArrived{}, event.RunEnded{Reason: event.Stopped}
	for i, c := range []struct {
		said  event.Event
		taken bool
		bound vtime.Time
	}{
		{numbered(event.SourceReplayer, 1, 100*ms, 0, event.RunStarted{}), true, 100 * ms},
		{numbered(event.SourceReplayer, 2, 200*ms, 0, arrival), true, 200 * ms},
		{numbered(event.SourceReplayer, 1, 100*ms, 0, event.RunStarted{}), false, 200 * ms},
		{numbered(event.SourceReplayer, 2, 200*ms, 0, arrival), false, 200 * ms},
		{numbered(event.SourceReplayer, 3, vtime.Never, 0, end), true, vtime.Never},
		{numbered(event.SourceReplayer, 3, 300*ms, 0, arrival), false, vtime.Never},
		{numbered(event.SourceReplayer, 4, 400*ms, 0, arrival), false, vtime.Never}, // played by one that had not heard of the stop
		{numbered(event.SourceReplayer, 5, vtime.Never, 0, end), true, vtime.Never}, // or a run that drains is stopped
	} {
		if taken := r.observe(c.said, 0); taken != c.taken {
			t.Errorf("event %d is taken: %t", i, taken)
		}
		if got := r.bound(); got != c.bound {
			t.Errorf("after event %d the bound is %s, want %s", i, got, c.bound)
		}
	}
}

// TestWorkerHearsAFactOnce, whichever source it is of.
func TestWorkerHearsAFactOnce(t *testing.T) {
	r := &workerRole{delays: delays, taken: make(map[uint64]bool), heard: make(map[string]uint64)}
	for i, c := range []struct {
		said  event.Event
		taken bool
	}{
		{numbered(event.SourceReplayer, 1, 0, 0, event.RunStarted{}), true},
		{numbered(event.SourceReplayer, 2, 0, 0, event.InstanceLost{}), true},
		{numbered(event.SourceCloud, 1, 0, 0, event.InstanceLost{}), true},
		{numbered(event.SourceReplayer, 2, 0, 0, event.InstanceLost{}), false},
		{numbered(event.SourceCloud, 9, 0, 0, event.WatermarkAdvanced{}), false},
		{numbered(event.SourceCloud, 2, 0, 0, event.InstanceAcquired{}), true},
	} {
		if taken := r.observe(c.said, 0); taken != c.taken {
			t.Errorf("event %d is taken: %t", i, taken)
		}
	}
}

// TestPatience: a replayer that dies is replaced within the time that the
// planner waits for it, whoever else waits too.
func TestPatience(t *testing.T) {
	r := newPlannerRole()
	r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
	r.observe(fact("a", 100*ms, 0), 0)
	if got := r.patience(200*ms, 7); got != 7 {
		t.Errorf("it waits %s for a worker, want 7 ns", got)
	}
	if got := r.patience(500*ms, 7); got != takeoverWait {
		t.Errorf("it waits %s for the replayer, want %s", got, takeoverWait)
	}
	if got := r.patience(500*ms, takeoverWait+1); got != takeoverWait+1 {
		t.Errorf("it waits %s for the replayer, less than for a worker", got)
	}
	r.worker(event.SourceCloud).promise = 150 * ms
	if got := r.patience(200*ms, 7); got != takeoverWait {
		t.Errorf("it waits %s for the cloud, want %s", got, takeoverWait)
	}
}
