// Package actor drives a core on the bus: it reads the core's inputs, hands
// them over in nominal order, carries its effects out, and paces its timers by
// the clock.
//
// # Why a live run equals the virtual one
//
// The actors of a run agree on the order of events as conservative parallel
// simulators do (Chandy, Misra, Bryant): no actor takes an event before it
// knows that nothing earlier can still come. Every source gives watermarks: the
// replayer says when its next event is, a worker says when its next fact can be
// at the soonest and which commands went into that promise, and the planner says
// before which instant it will command nothing more. A hop takes modelled time,
// so the watermarks always get ahead. How fast the bus is, and in which order
// it delivers, then changes nothing but the wall time.
//
// An actor whose input is overdue for longer than its reorder wait goes on
// without the silent source. What that source still sends is late, and counted.
//
// # Why a planner can be replaced
//
// A planner's state is a function of the run's stream up to where it has read.
// It takes message after message, and whatever depends on its clock goes over
// the stream first and acts when it is read back: a timer that is due, a silent
// source that it gives up. So a new planner that reads the stream from the run's
// start comes to the state of the old one, and to the same effects under the
// same names. Those that the stream has are not said again; those that are
// missing, because the old planner died before it said them, are.
//
// The new planner's election is a message of the stream too, and the place
// where it takes over. Whoever reads it knows that what an older planner sets
// off by its clock after it is void; the older planner reads it as well, and
// stops. So a planner that was thought dead and wakes up does no harm.
//
// # What comes from outside
//
// Nothing in a run brings a cloud's notice about (event.FromOutside), so no
// watermark covers it and nobody waits for it. It is read later than it was
// said, and that is nobody's fault: its nominal time is the clock's at its
// source, or the reader's own, where the reader has got further before it reads
// the notice. From there on it is taken in order like any other event, so it
// makes nothing else late either. The commands that it brings about may lie
// before a watermark that the planner has given. That does no harm: own timers
// wait for the clock, so no worker is beyond the notice by more than the time
// that the notice and the command took. A run with such events has no virtual
// twin, but a new planner takes them at the same times as the old one. A request
// that a user publishes happens when the stream has stored it.
//
// # Runs that compute
//
// In a run with an engine (experiment.Spec.Measured) durations are what they are,
// and nobody can promise when it will say something next. So all that workers say
// comes from outside in the sense above, and only the replayer's watermark holds
// the planner. A worker waits for nothing: it takes what it reads when it reads it,
// at the clock's time, and what its engine says too, between the messages. No fact
// is late in such a run, and it has no virtual twin; a new planner takes everything
// at the same times as the old one all the same.
package actor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/failpoint"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/wire"
)

// Core is a deterministic state machine.
type Core interface {
	Step(now vtime.Time, ev event.Event) []effect.Effect
}

// Options are what every actor needs.
type Options struct {
	Run   string
	Name  string // what the actor calls itself as a source
	Core  Core
	Bus   bus.Publisher
	Input bus.Subscription // of everything that the core takes
	Clock clock.Clock
	Log   *slog.Logger
	// ReorderWait bounds, in wall time, how long an overdue event waits for a
	// silent source. For the replayer and its cloud it waits for longer: until
	// another replayer has taken over (takeoverWait).
	ReorderWait time.Duration
	// Incarnation is which of its source's processes this is; it numbers what
	// the actor says on its own.
	Incarnation uint64
	// Observe, if set, sees every event that the core takes, and the sources that the
	// actor itself goes on without.
	Observe func(event.Event)
	// Ignored, if set, sees what counts for nothing: it was said before, or by a
	// process whose place another one has taken.
	Ignored func(event.Event)
	// Engine is a worker's, in a run that computes.
	Engine Engine
	// Skips tells of messages that cannot be read. nil: only the log has them.
	Skips *skip.Teller
	// Trace, if set, tells what the actor does as spans.
	Trace Tracer
}

// Tracer sees what an actor reads, takes and says. It changes none of it, and keeps
// no list that it is shown. It is called by the actor's goroutine alone.
type Tracer interface {
	// Read sees a message that is going to be taken.
	Read(ev event.Event, m bus.Message)
	// Begin sees an event before the core takes it, and Took after that, with what
	// the core asks for. replayed: another process took the event before this one,
	// and this one only finds out what came of it.
	Begin(ev event.Event)
	Took(ev event.Event, effects []effect.Effect, replayed bool)
	// Context is what goes with an event that the core has just asked to publish.
	Context(ev event.Event) bus.TraceContext
}

// Engine carries out what a worker's core asks of it, and answers.
type Engine interface {
	// Do takes an operation. It must not wait for the operation to be done.
	Do(op engineop.Op)
	// Events gives the answers (package engineop) for as long as the actor runs.
	Events() <-chan event.Body
}

// ErrGaveUp ends a worker whose engine cannot serve: it may join again, with
// nothing.
var ErrGaveUp = errors.New("the engine of this worker cannot serve")

// takeoverWait is ample for the lease of a replayer to run out and another one
// to read the run. Without the replayer a run comes to no end: whoever waits for
// it loses less than one who goes on and takes it late.
const takeoverWait = 15 * time.Second

// storedWithin is how long an actor leaves open, in wall time, whether the stream
// has what it said.
const storedWithin = 5 * time.Second

// role is what differs between planner and worker.
type role interface {
	// observe reads the envelope of a delivered event and says whether the
	// core is to take the event.
	observe(ev event.Event, seq uint64) (take bool)
	// replaying: what is read is known to have been answered, but for the end.
	// Nothing is published and no clock is asked.
	replaying() bool
	// news reports whether an event that the core publishes is not on the
	// stream yet.
	news(ev event.Event) bool
	// sent notes an event that the core publishes.
	sent(ev event.Event)
	// bound is the instant before which nothing more can come.
	bound() vtime.Time
	// silent lists the sources that hold back an event of instant t.
	silent(t vtime.Time) []string
	// takenAt is the time at which a delivered event is taken, by a core that has got
	// to now: its own, unless no watermark covers it.
	takenAt(ev event.Event, now vtime.Time) vtime.Time
	// patience is how long, in wall time, an event of instant t waits for them,
	// where wait is what any source may take.
	patience(t vtime.Time, wait time.Duration) time.Duration
	// mark returns the watermark to give, when next is the next instant on the
	// agenda and facts go out with it, and whether it has to go out on its own.
	mark(next vtime.Time, facts bool) (m watermark, announce bool)
	// timersOnStream: a due timer is published under the term and acts when it
	// is read back.
	timersOnStream() (term uint64, ok bool)
	// done reports whether the run is over for this actor, and why if it did
	// not end by itself.
	done() (bool, error)
}

type watermark struct {
	time vtime.Time
	seen uint64
}

// outgoing is an event on its way to the bus.
type outgoing struct {
	event.Event
	trace bus.TraceContext
}

type actor struct {
	Options
	role    role
	agenda  *agenda.Agenda
	reading bool              // a timer is published and not read back yet
	pending event.Event       // the timer
	fired   map[event.ID]bool // the timers that were read back and not taken yet
	blocked time.Time         // since when the next event is overdue; zero if it is not
	outbox  []outgoing
	marks   uint64    // watermarks sent on their own
	waivers uint64    // sources given up so far
	waiving bool      // a waiver is published and not read back yet
	unsure  time.Time // since when something is published and not known to be stored; zero if nothing is
	schema  int       // of the run; 0 until its start is read
	now     vtime.Time
	late    bool   // a fact came late
	answers uint64 // of the engine so far
	failed  error  // of the engine
}

// run drives the core until the role is done, the context ends, or the bus
// fails.
func (a *actor) run(ctx context.Context) error {
	defer a.Input.Stop()
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	var answers <-chan event.Body
	if a.Engine != nil {
		answers = a.Engine.Events()
	}
	for {
		if err := a.readAvailable(); err != nil {
			return err
		}
		progressed := a.take()
		if a.failed != nil {
			return a.failed
		}
		if err := a.publish(ctx); err != nil {
			return err
		}
		if done, err := a.role.done(); err != nil {
			return err
		} else if done {
			return a.Bus.Flush(ctx)
		}
		if progressed {
			continue
		}
		if err := a.beSure(ctx); err != nil {
			return err
		}
		wake.Reset(a.wait())
		select {
		case m, ok := <-a.Input.C():
			if !ok {
				return a.inputEnded(ctx)
			}
			a.deliver(m)
			a.take()
		case b, ok := <-answers:
			if !ok {
				return fmt.Errorf("actor %s of run %s: the engine has ended", a.Name, a.Run)
			}
			a.hear(b)
			a.take()
		case <-wake.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// beSure fails when something that was said some time ago cannot be stored: who
// waits for the answer to it, and says nothing else, would wait for ever.
func (a *actor) beSure(ctx context.Context) error {
	if a.unsure.IsZero() || time.Since(a.unsure) < storedWithin {
		return nil
	}
	a.unsure = time.Time{}
	return a.Bus.Flush(ctx)
}

func (a *actor) inputEnded(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("actor %s of run %s: input ended: %w", a.Name, a.Run, a.Input.Err())
}

// readAvailable takes delivery of everything that is there without waiting. The
// core takes what it can after each message: how many there happen to be
// together must not matter.
func (a *actor) readAvailable() error {
	for {
		select {
		case m, ok := <-a.Input.C():
			if !ok {
				return a.inputEnded(context.Background())
			}
			a.deliver(m)
			a.take()
		default:
			return nil
		}
	}
}

// deliver puts a message on the agenda. What cannot be read is logged and left
// in the stream; it must not stop the run.
func (a *actor) deliver(m bus.Message) {
	ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
	if err != nil {
		if a.Skips == nil {
			a.Skips = skip.New(a.Log, nil)
		}
		a.Skips.Message(m, err)
		return
	}
	if start, ok := ev.Body.(event.RunStarted); ok {
		a.schema = start.Schema
	}
	if !a.role.observe(ev, m.Seq) {
		if a.Ignored != nil && repeats(ev) {
			a.Ignored(ev)
		}
		return
	}
	if a.Trace != nil {
		a.Trace.Read(ev, m)
	}
	switch b := ev.Body.(type) {
	case event.PlannerElected:
		a.Core.Step(a.now, ev)
		return
	case event.SourcesGivenUp:
		a.waiving, a.blocked = false, time.Time{}
		a.Log.Warn("go on without silent sources", "before", b.Until, "sources", b.Sources)
		if a.Observe != nil {
			a.Observe(ev)
		}
		return
	case event.TimerFired:
		a.reading, a.fired[ev.ID()] = false, true
		a.agenda.Fired(b.Timer, ev.Seq)
	}
	if ev.Source == event.SourceUser {
		ev.Time = max(0, a.Clock.At(m.Published))
	}
	ev.Time = a.role.takenAt(ev, a.now)
	a.agenda.Push(ev)
}

// repeats reports whether an event that its reader does not take is one that others
// would take: no watermark, no verdict, and not what a planner says to all.
func repeats(ev event.Event) bool {
	switch ev.Body.(type) {
	case event.WatermarkAdvanced, event.WorkerSilent:
		return false
	}
	return ev.Source != event.SourcePlanner || ev.To != ""
}

// hear puts what the engine says on the agenda, for now.
func (a *actor) hear(b event.Body) {
	a.answers++
	a.agenda.Push(event.Event{
		Run: a.Run, Source: a.Name + "/engine", Seq: a.answers, Time: max(a.now, a.Clock.Now()), Version: event.SchemaVersion, Body: b,
	})
}

// operate hands an operation of the core to the engine.
func (a *actor) operate(op engineop.Op) {
	switch op := op.(type) {
	case engineop.GiveUp:
		a.failed = fmt.Errorf("%w: %s", ErrGaveUp, op.Reason)
	default:
		if a.Engine == nil {
			a.failed = fmt.Errorf("actor %s of run %s: the run computes tokens, and this worker has no engine", a.Name, a.Run)
			return
		}
		a.Engine.Do(op)
	}
}

// unforeseen reports whether no watermark covers ev: what a cloud says, a worker
// that joins, a verdict on one that is silent.
func unforeseen(ev event.Event) bool {
	switch ev.Body.(type) {
	case event.WorkerSilent, event.WorkerJoined:
		return true
	}
	return ev.FromOutside()
}

// take hands events to the core as far as the watermarks allow. It reports
// whether it took any. While a timer is on its way over the stream only what
// comes before it is taken.
func (a *actor) take() (progressed bool) {
	for {
		ev, ok := a.agenda.Next()
		if done, _ := a.role.done(); !ok || done {
			return progressed
		}
		if a.reading && (a.ownTimer(ev) || event.Compare(ev, a.pending) > 0) {
			return progressed
		}
		if ev.Time >= a.role.bound() {
			a.waive(ev)
			return progressed
		}
		if own := a.ownTimer(ev); own && (a.role.replaying() || a.Clock.Now() < ev.Time) {
			return progressed
		} else if term, onStream := a.role.timersOnStream(); own && onStream {
			a.reading, a.pending = true, ev
			timer := a.agenda.Pop()
			timer.Term = term
			a.outbox = append(a.outbox, outgoing{Event: timer})
			return true
		}
		a.agenda.Pop()
		delete(a.fired, ev.ID())
		a.step(ev)
		a.blocked = time.Time{}
		progressed = true
	}
}

// ownTimer reports whether ev is a timer of this core that has not been on the
// stream.
func (a *actor) ownTimer(ev event.Event) bool {
	_, timer := ev.Body.(event.TimerFired)
	return timer && !a.fired[ev.ID()]
}

// waive gives up the sources that ev has waited for long enough. The wait starts
// when ev is due by the clock.
func (a *actor) waive(ev event.Event) {
	if a.waiving || a.role.replaying() || a.Clock.Now() < ev.Time {
		return
	}
	if a.blocked.IsZero() {
		a.blocked = time.Now()
	}
	if time.Since(a.blocked) < a.role.patience(ev.Time, a.ReorderWait) {
		return
	}
	term, onStream := a.role.timersOnStream()
	silent := a.role.silent(ev.Time)
	if len(silent) == 0 || !onStream {
		return
	}
	a.waiving = true
	a.waivers++
	a.outbox = append(a.outbox, outgoing{Event: event.Event{
		Run: a.Run, Source: a.Name + "/waiver", Seq: a.waivers, Time: ev.Time, Version: event.SchemaVersion, Term: term,
		Body: event.SourcesGivenUp{Sources: silent, Until: ev.Time},
	}})
}

// wait is how long to sleep if nothing is delivered.
func (a *actor) wait() time.Duration {
	if !a.unsure.IsZero() {
		return min(a.nextWait(), storedWithin-time.Since(a.unsure))
	}
	return a.nextWait()
}

// nextWait is wait for what is on the agenda.
func (a *actor) nextWait() time.Duration {
	ev, ok := a.agenda.Next()
	if !ok || a.reading || a.waiving || a.role.replaying() {
		return time.Hour
	}
	if until := a.Clock.Until(ev.Time); until > 0 {
		return until
	}
	if ev.Time < a.role.bound() {
		return 0 // it has come due since it was looked at
	}
	patience := a.role.patience(ev.Time, a.ReorderWait)
	if rest := patience - time.Since(a.blocked); !a.blocked.IsZero() && rest > 0 {
		return rest
	}
	return patience
}

func (a *actor) step(ev event.Event) {
	if a.Observe != nil {
		a.Observe(ev)
	}
	if _, timer := ev.Body.(event.TimerFired); ev.Time < a.now && !timer {
		// Metrics count them; the first one tells the reader of a log where to look.
		level := slog.LevelDebug
		if !a.late {
			a.late, level = true, slog.LevelWarn
		}
		a.Log.Log(context.Background(), level, "a fact comes late", "id", ev.ID(), "kind", ev.Body.Kind(), "at", ev.Time, "now", a.now)
	}
	a.now = max(a.now, ev.Time)
	if a.Trace != nil {
		a.Trace.Begin(ev)
	}
	effects := a.Core.Step(ev.Time, ev)
	if a.Trace != nil {
		a.Trace.Took(ev, effects, a.role.replaying())
	}
	for _, e := range effects {
		switch {
		case e.Publishes():
			// The answer to a command bounds what may be taken next.
			a.role.sent(e.Event)
			if a.role.news(e.Event) {
				a.outbox = append(a.outbox, outgoing{e.Event, a.traceOf(e.Event)})
			}
		case e.Engine != nil:
			a.operate(e.Engine)
		default:
			a.agenda.Set(a.Run, e.Timer)
		}
	}
}

func (a *actor) traceOf(ev event.Event) (t bus.TraceContext) {
	if a.Trace != nil {
		t = a.Trace.Context(ev)
	}
	return t
}

// publish sends the outbox, and the watermark on its own if nothing carried it
// and somebody waits for it. After the end nobody does.
func (a *actor) publish(ctx context.Context) error {
	if a.role.replaying() {
		return nil // what is missing on the stream waits for the takeover
	}
	next := a.agenda.NextTime()
	if a.reading {
		next = min(next, a.pending.Time)
	}
	mark, announce := a.role.mark(next, len(a.outbox) > 0)
	a.stamp(mark)
	if done, _ := a.role.done(); announce && !done {
		a.marks++
		a.outbox = append(a.outbox, outgoing{Event: event.Event{
			Run: a.Run, Source: a.Name, Seq: event.FirstSeq(a.Incarnation) + a.marks, Time: max(0, a.Clock.Now()), Version: event.SchemaVersion,
			Watermark: mark.time, Seen: mark.seen, Body: event.WatermarkAdvanced{},
		}})
	}
	for i, out := range a.outbox {
		out.Version = a.schema
		if err := PublishIn(ctx, a.Bus, out.Event, out.trace); err != nil {
			return err
		}
		a.outbox[i] = outgoing{}
		if a.unsure.IsZero() {
			a.unsure = time.Now()
		}
	}
	a.outbox = a.outbox[:0]
	return nil
}

// stamp puts watermarks on outgoing facts. A reader may see a fact before the
// ones behind it, so a fact promises no more than what still follows.
func (a *actor) stamp(mark watermark) {
	promise := mark.time
	for i := len(a.outbox) - 1; i >= 0; i-- {
		ev := &a.outbox[i]
		ev.Watermark, ev.Seen = promise, mark.seen
		promise = min(promise, ev.Time)
	}
}

// Publish encodes an event and hands it to the bus.
func Publish(ctx context.Context, p bus.Publisher, ev event.Event) error {
	return PublishIn(ctx, p, ev, bus.TraceContext{})
}

// PublishIn is Publish of an event that belongs to a trace.
func PublishIn(ctx context.Context, p bus.Publisher, ev event.Event, trace bus.TraceContext) error {
	subject, err := wire.Subject(ev)
	if err != nil {
		return err
	}
	data, err := wire.Encode(ev)
	if err != nil {
		return err
	}
	m := bus.Outgoing{Subject: subject, Data: data, TraceContext: trace}
	if _, mark := ev.Body.(event.WatermarkAdvanced); !mark {
		m.ID = ev.Run + "/" + ev.ID().String()
		if ev.Term > 0 {
			// What a void one had set off must not stand in the way of this.
			m.ID += "/" + strconv.FormatUint(ev.Term, 10)
		}
	}
	failpoint.Hit(failpoint.Publish)
	return p.Publish(ctx, m)
}
