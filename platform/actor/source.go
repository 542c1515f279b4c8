package actor

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// source is what is known of one source.
type source struct {
	promise vtime.Time // it sends nothing earlier, but for commands it has not seen
	seen    uint64     // the newest of the planner's events that went into what it promised
	unseen  []sentCommand
	last    uint64 // number of its last fact
	ended   bool   // it has said so; only the replayer does
	silent  bool
	// What earlier incarnations of a worker say is void, and so is everything
	// until the next one joins, if the worker was found silent.
	incarnation uint64
	evicted     bool
}

type sentCommand struct {
	seq uint64
	at  vtime.Time
}

// bound is the earliest fact that the source can still send. An unseen command
// is answered one response delay after it takes effect, at the soonest.
func (s *source) bound(response time.Duration) vtime.Time {
	if s.silent {
		return vtime.Never
	}
	b := s.promise
	for _, c := range s.unseen {
		b = min(b, c.at.Add(response))
	}
	return b
}

// hear takes what the source promises, and reports whether the event is a fact
// that it says for the first time.
//
// A process that takes another's place begins at the run's start, and says again
// what the other one said, under the same numbers. Until it has seen as much as
// the other one had, it knows too little to promise anything; what the other one
// promised holds.
//
// A worker that joins with nothing, in its next incarnation, begins anew.
func (s *source) hear(ev event.Event) (fact bool) {
	_, joined := ev.Body.(event.WorkerJoined)
	switch {
	case ev.Incarnation() < s.incarnation || s.evicted && !joined:
		return false
	case joined:
		*s = source{incarnation: ev.Incarnation()}
	}
	s.silent = false
	if ev.Seen >= s.seen {
		s.promise, s.seen = ev.Watermark, ev.Seen
	}
	s.unseen = slices.DeleteFunc(s.unseen, func(c sentCommand) bool { return c.seq <= ev.Seen })
	return s.first(ev)
}

// evict makes everything void until the next incarnation joins.
func (s *source) evict() {
	if !s.evicted {
		*s = source{promise: vtime.Never, silent: true, incarnation: s.incarnation + 1, evicted: true}
	}
}

// hearReplayer is hear for the replayer, which nobody commands: what it has
// promised once holds. Of two ends of its input the first counts, and nothing
// that was played behind it, except that a run that drains is stopped.
func (s *source) hearReplayer(ev event.Event) (fact bool) {
	s.silent = false
	s.promise = max(s.promise, ev.Watermark)
	_, end := ev.Body.(event.RunEnded)
	fact = s.first(ev) && (end || !s.ended)
	s.ended = s.ended || end
	return fact
}

func (s *source) first(ev event.Event) bool {
	if _, mark := ev.Body.(event.WatermarkAdvanced); mark || ev.Seq <= s.last {
		return false
	}
	s.last = ev.Seq
	return true
}
