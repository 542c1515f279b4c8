package tracereplayer

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/wire"
)

// ledger is what the control stream says of the starts that are not dealt with,
// in the order of the starts. It is a function of the stream, so every replayer
// that reads it comes to the same queue: the first answer to a start counts,
// however many replayers gave one.
type ledger struct {
	log      *slog.Logger
	skips    *skip.Teller
	limits   limits
	finished map[string]bool // runs that the planner had closed before
	entries  []*entry
	excess   []excess // starts beyond the limits without an answer in the stream
	told     int      // of excess, from the first on: answered by this replayer
}

// entry is a start that is not dealt with. Its text stays in the stream.
type entry struct {
	seq      uint64
	answered bool          // by this replayer, or in the stream
	run      string        // once it is accepted
	schema   int           // version of its events, likewise
	stopped  chan struct{} // closed by a stop
	begun    bool          // this replayer plays it
	turn     bool          // and no other beside it
}

func (e *entry) isStopped() bool {
	select {
	case <-e.stopped:
		return true
	default:
		return false
	}
}

// excess is a start that is refused without a look at it. There may be many.
type excess struct {
	seq    uint64
	reason string
	log    bool // say so there too
}

// take reads a start, a stop or an answer.
func (l *ledger) take(m bus.Message) {
	if m.Subject == wire.SubjectStart {
		if reason := l.limits.start(m, len(l.entries)); reason != "" {
			l.excess = append(l.excess, excess{m.Seq, reason, l.limits.told.Take(stored(m))})
		} else {
			l.enter(m.Seq)
		}
		return
	}
	if m.Subject == wire.SubjectStop && len(m.Data) > MaxStopBytes {
		l.skips.Message(m, fmt.Errorf("stop has %d bytes: allowed are %d", len(m.Data), MaxStopBytes))
		return
	}
	body, err := wire.DecodeControl(m.Subject, m.Data)
	if err != nil {
		l.skips.Message(m, err)
		return
	}
	switch b := body.(type) {
	case event.ExperimentAccepted:
		e := l.of(b.StartSeq)
		if e == nil && l.pass(b.StartSeq) { // who accepted it saw fewer wait
			e = l.enter(b.StartSeq)
		}
		switch {
		case e == nil || e.run != "":
		case l.finished[b.Run]:
			l.drop(e)
		case b.Schema > event.SchemaVersion:
			l.log.Error("a run of a newer schema version is left to newer services: update this one", "run", b.Run, "schema", b.Schema, "this_build", event.SchemaVersion)
			l.drop(e)
		default:
			e.answered, e.run, e.schema = true, b.Run, b.Schema
		}
	case event.ExperimentRefused:
		if e := l.of(b.StartSeq); e == nil {
			l.pass(b.StartSeq)
		} else if e.run == b.Run && !e.begun {
			l.drop(e)
		}
	case event.StopExperiment:
		l.stop(b.Run, l.limits.told.Take(stored(m)))
	}
}

// enter puts a start in its place.
func (l *ledger) enter(seq uint64) *entry {
	e := &entry{seq: seq, stopped: make(chan struct{})}
	i, _ := slices.BinarySearchFunc(l.entries, seq, func(e *entry, seq uint64) int { return cmp.Compare(e.seq, seq) })
	l.entries = slices.Insert(l.entries, i, e)
	return e
}

// pass takes a start out of the excess, as the stream has its answer. It reports
// whether it was there.
func (l *ledger) pass(seq uint64) bool {
	i, found := slices.BinarySearchFunc(l.excess, seq, func(x excess, seq uint64) int { return cmp.Compare(x.seq, seq) })
	switch {
	case !found:
		return false
	case i == 0: // as a rule: they are answered in their order
		l.excess = l.excess[1:]
	default:
		l.excess = slices.Delete(l.excess, i, i+1)
	}
	if i < l.told {
		l.told--
	}
	return true
}

// refuse returns the first start of the excess that this replayer has not answered.
func (l *ledger) refuse() (x excess, ok bool) {
	if l.told == len(l.excess) {
		return x, false
	}
	l.told++
	return l.excess[l.told-1], true
}

func (l *ledger) of(start uint64) *entry {
	for _, e := range l.entries {
		if e.seq == start {
			return e
		}
	}
	return nil
}

// done takes a run out that has finished.
func (l *ledger) done(e *entry) {
	l.finished[e.run] = true
	l.drop(e)
}

func (l *ledger) drop(gone *entry) {
	for i, e := range l.entries {
		if e == gone {
			l.entries = append(l.entries[:i:i], l.entries[i+1:]...)
			return
		}
	}
}

// stop ends a run, and says so where there is none if it is to say.
func (l *ledger) stop(run string, say bool) {
	for _, e := range l.entries {
		if e.run != run || run == "" {
			continue
		}
		if !e.isStopped() {
			close(e.stopped)
		}
		return
	}
	if !l.finished[run] && say {
		l.log.Warn("nothing to stop: no run of this name is queued or in progress", "run", run)
	}
}

// unanswered returns the first start without an answer; nil if there is none.
func (l *ledger) unanswered() *entry {
	for _, e := range l.entries {
		if !e.answered {
			return e
		}
	}
	return nil
}

// next returns a run that begins now: one at a time, in the order of the starts.
// A run that was stopped before its turn has it at once, since it only begins
// and ends, so that the store knows of it.
func (l *ledger) next() *entry {
	var waiting *entry
	busy := false
	for _, e := range l.entries {
		switch {
		case e.run == "":
		case e.begun:
			busy = busy || e.turn
		case e.isStopped():
			return e
		case waiting == nil:
			waiting = e
		}
	}
	if busy || waiting == nil {
		return nil
	}
	waiting.turn = true
	return waiting
}
