package actor

import (
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

var delays = cost.Delays{Send: 10 * time.Millisecond, Poll: 10 * time.Millisecond, Response: 20 * time.Millisecond}

const ms = vtime.Time(time.Millisecond)

func newPlannerRole() *plannerRole {
	return &plannerRole{delays: delays, workers: make(map[string]*source)}
}

func fact(source string, watermark vtime.Time, seen uint64) event.Event {
	return event.Event{Source: source, Watermark: watermark, Seen: seen, Body: event.WatermarkAdvanced{}}
}

func waiver(until vtime.Time, sources ...string) event.Event {
	return event.Event{Source: event.SourcePlanner + "/waiver", Body: event.SourcesGivenUp{Sources: sources, Until: until}}
}

func command(node string, seq uint64, at vtime.Time) event.Event {
	return event.Event{Source: event.SourcePlanner, Seq: seq, To: node, Time: at, Body: event.Drain{}}
}

// TestPlannerBound: the planner takes nothing that somebody could still undercut.
func TestPlannerBound(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(r *plannerRole)
		want vtime.Time
	}{
		{"nobody has spoken", func(*plannerRole) {}, 0},
		{"the replayer's next event", func(r *plannerRole) {
			r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
		}, 500 * ms},
		{"a worker's next fact", func(r *plannerRole) {
			r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
			r.observe(fact("a", 300*ms, 0), 0)
			r.observe(fact("b", 400*ms, 0), 0)
		}, 300 * ms},
		{"the answer to a command that is on its way", func(r *plannerRole) {
			r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
			r.observe(fact("a", 300*ms, 0), 0)
			r.sent(command("a", 7, 110*ms))
		}, 130 * ms},
		{"also from a worker that never spoke", func(r *plannerRole) {
			r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
			r.sent(command("a", 7, 110*ms))
		}, 130 * ms},
		{"a promise that the command went into", func(r *plannerRole) {
			r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
			r.sent(command("a", 7, 110*ms))
			r.observe(fact("a", 250*ms, 7), 0)
		}, 250 * ms},
		{"of two commands the one that did not", func(r *plannerRole) {
			r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
			r.sent(command("a", 7, 110*ms))
			r.sent(command("a", 9, 150*ms))
			r.observe(fact("a", vtime.Never, 8), 0)
		}, 170 * ms},
		{"a worker that takes a promise back", func(r *plannerRole) {
			r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
			r.observe(fact("a", vtime.Never, 0), 0)
			r.observe(fact("a", 240*ms, 0), 0)
		}, 240 * ms},
		{"the planner's own timers bound nothing", func(r *plannerRole) {
			r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
			r.observe(event.Event{Source: "planner/timer", Body: event.TimerFired{}}, 0)
		}, 500 * ms},
		{"an ended replayer and idle workers", func(r *plannerRole) {
			r.observe(fact(event.SourceReplayer, vtime.Never, 0), 0)
			r.observe(fact("a", vtime.Never, 0), 0)
		}, vtime.Never},
	} {
		r := newPlannerRole()
		c.play(r)
		if got := r.bound(); got != c.want {
			t.Errorf("%s: bound %s, want %s", c.name, got, c.want)
		}
	}
}

// TestPlannerGoesOnWithoutTheSilent: it leaves out those who hold back the
// instant, nobody else, and takes them in again when they speak.
func TestPlannerGoesOnWithoutTheSilent(t *testing.T) {
	r := newPlannerRole()
	r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
	for node, promise := range map[string]vtime.Time{"node-10": 100 * ms, "node-2": 200 * ms, "node-3": 201 * ms} {
		r.observe(fact(node, promise, 0), 0)
	}
	silent := r.silent(200 * ms)
	if want := []string{"node-2", "node-10"}; !slices.Equal(silent, want) {
		t.Errorf("silent are %v, want %v", silent, want)
	}
	r.observe(waiver(200*ms, "node-2", "node-10", "node-3"), 0) // node-3 has spoken since
	if got := r.bound(); got != 201*ms {
		t.Errorf("bound %s, want that of node-3, 201 ms", got)
	}
	if got := r.silent(200 * ms); len(got) != 0 {
		t.Errorf("%v are silent a second time", got)
	}
	r.sent(command("node-2", 1, 0))
	if got := r.bound(); got != 201*ms {
		t.Errorf("bound %s: a command to a silent worker is not waited for", got)
	}
	r.observe(fact("node-2", 150*ms, 1), 0)
	if got := r.bound(); got != 150*ms {
		t.Errorf("bound %s, want that of node-2, which is back", got)
	}
	silent = r.silent(500 * ms)
	if want := []string{"node-2", "node-3", event.SourceReplayer}; !slices.Equal(silent, want) {
		t.Errorf("silent are %v, want %v", silent, want)
	}
	r.observe(waiver(500*ms, silent...), 0)
	if got := r.bound(); got != vtime.Never {
		t.Errorf("bound %s with nobody left", got)
	}
}

// TestPlannerWatermark: a command takes effect one send delay after what brought
// it about, and the workers take the replayer's facts too.
func TestPlannerWatermark(t *testing.T) {
	for _, c := range []struct {
		name     string
		replayer vtime.Time
		worker   vtime.Time
		next     vtime.Time
		last     vtime.Time
		command  bool // to the worker, for the instant 0
		want     vtime.Time
		announce bool
	}{
		{name: "the next event bounds", replayer: 500 * ms, worker: 125 * ms, next: 100 * ms, want: 110 * ms, announce: true},
		{name: "the answer to a command bounds", replayer: 500 * ms, worker: vtime.Never, next: 100 * ms, command: true, want: 30 * ms, announce: true},
		{name: "it never runs ahead of the replayer", replayer: 105 * ms, worker: 120 * ms, next: 100 * ms, want: 105 * ms, announce: true},
		{name: "a worker's next fact bounds, and it waits for it", replayer: 500 * ms, worker: 120 * ms, next: 400 * ms, last: 90 * ms, want: 130 * ms, announce: true},
		{name: "nobody waits for it", replayer: 500 * ms, worker: 120 * ms, next: 100 * ms, last: 101 * ms, want: 101 * ms},
		{name: "it never goes back", replayer: 500 * ms, worker: 120 * ms, next: 50 * ms, last: 80 * ms, want: 80 * ms},
	} {
		r := newPlannerRole()
		r.observe(fact(event.SourceReplayer, c.replayer, 0), 0)
		r.observe(fact("a", c.worker, 0), 0)
		if c.command {
			r.sent(command("a", 1, 0))
		}
		r.last = c.last
		got, announce := r.mark(c.next, false)
		if got.time != c.want || announce != c.announce {
			t.Errorf("%s: watermark %s, announced %t; want %s, %t", c.name, got.time, announce, c.want, c.announce)
		}
	}
}

func TestWorkerWatermark(t *testing.T) {
	r := &workerRole{delays: delays, taken: make(map[uint64]bool)}
	mark := func(next vtime.Time, facts bool, want watermark, announce bool) {
		t.Helper()
		if got, said := r.mark(next, facts); got != want || said != announce {
			t.Errorf("watermark %+v, announced %t; want %+v, %t", got, said, want, announce)
		}
	}
	mark(vtime.Never, false, watermark{}, false) // it knows nothing of the run yet
	r.observe(fact(event.SourceReplayer, 500*ms, 0), 0)
	mark(100*ms, false, watermark{120 * ms, 0}, true)
	mark(100*ms, false, watermark{120 * ms, 0}, false) // said already
	r.observe(command("a", 4, 0), 0)
	mark(100*ms, false, watermark{120 * ms, 4}, true)
	r.observe(command("a", 3, 0), 0) // it has seen more than that
	mark(90*ms, true, watermark{110 * ms, 4}, false)
	mark(90*ms, false, watermark{110 * ms, 4}, false) // a fact carried it
	mark(vtime.Never, false, watermark{vtime.Never, 4}, true)
}

// TestWorkerListensToThePlanner: what the replayer says about itself is no word
// about commands.
func TestWorkerListensToThePlanner(t *testing.T) {
	r := &workerRole{delays: delays, taken: make(map[uint64]bool)}
	r.observe(fact(event.SourceReplayer, 500*ms, 9), 0)
	if r.bound() != 0 || r.seen != 0 {
		t.Errorf("bound %s, seen %d after a word of the replayer", r.bound(), r.seen)
	}
	r.observe(event.Event{Source: event.SourcePlanner, Watermark: 100 * ms, Body: event.WatermarkAdvanced{}}, 0)
	r.observe(event.Event{Source: event.SourcePlanner, Watermark: 90 * ms, Body: event.WatermarkAdvanced{}}, 0)
	if r.bound() != 100*ms {
		t.Errorf("bound %s, want 100 ms", r.bound())
	}
	if r.over {
		t.Error("done before the run has finished")
	}
	r.observe(event.Event{Source: event.SourcePlanner, Body: event.RunFinished{}}, 0)
	if !r.over {
		t.Error("not done when the run has finished")
	}
}

// TestStampPromisesNoMoreThanWhatFollows: the reader of a fact may act on its
// watermark before it reads the next one.
func TestStampPromisesNoMoreThanWhatFollows(t *testing.T) {
	a := &actor{outbox: []outgoing{{Event: event.Event{Time: 30 * ms}}, {Event: event.Event{Time: 10 * ms}}, {Event: event.Event{Time: 20 * ms}}}}
	a.stamp(watermark{15 * ms, 3})
	for i, want := range []vtime.Time{10 * ms, 15 * ms, 15 * ms} {
		if got := a.outbox[i]; got.Watermark != want || got.Seen != 3 {
			t.Errorf("fact %d: watermark %s, seen %d; want %s, 3", i, got.Watermark, got.Seen, want)
		}
	}
}
