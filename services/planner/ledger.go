package planner

import (
	"time"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	core "github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/clock"
)

// manager is a core that shows what it has come to.
type manager interface {
	actor.Core
	Counts() core.Counts
	Load() core.Load
	Fleet() core.Fleet
	Cause() core.Cause
	Progress() (stage core.Stage, plans uint64)
	Running(e event.Epoch, pipeline int) int
}

// leadership is what the ledger asks of one.
type leadership interface {
	Term() uint64
	Said(seq uint64) bool
}

// ledger counts and times what the core of one run does.
//
// A planner that takes over takes the run again from its start. What an earlier one
// has taken is counted already, by that one: all up to the last event whose
// consequences the stream has. So until the planner reads its own election the
// ledger holds back what it would count, and drops that whenever something comes
// out that was said before.
type ledger struct {
	manager
	*metrics
	run   string
	lead  leadership
	clock clock.Clock

	leads   bool
	held    []func()    // to count at the election
	counted core.Counts // of the core, so far

	fleet   core.Fleet
	noticed time.Time // the first notice of a preemption that a plan is to answer; zero if there is none
	epoch   event.Epoch
	planned vtime.Time // the plan of epoch
	starts  bool       // its pipelines do not serve yet
}

func (m *metrics) open(run string, c manager, l leadership, pace clock.Clock) *ledger {
	return &ledger{manager: c, metrics: m, run: run, lead: l, clock: pace}
}

// close ends what the run shows.
func (l *ledger) close() { l.load.drop(l.run) }

// note counts, now or at the election.
func (l *ledger) note(count func()) {
	if l.leads {
		count()
		return
	}
	l.held = append(l.held, count)
}

// ignore counts an event that the core does not take.
func (l *ledger) ignore(event.Event) { l.note(l.ignored.Inc) }

// giveUp counts the sources that the planner goes on without.
func (l *ledger) giveUp(b event.SourcesGivenUp) {
	l.note(func() { l.givenUp.Add(float64(len(b.Sources))) })
}

// old is how far an event lies behind the clock at least that a planner replays:
// when it was taken is not known any more.
const old = 10 * time.Second

// Step implements actor.Core.
func (l *ledger) Step(now vtime.Time, ev event.Event) []effect.Effect {
	if elected, ok := ev.Body.(event.PlannerElected); ok {
		effects := l.manager.Step(now, ev)
		if !l.leads && elected.Term >= l.lead.Term() {
			l.begin()
		}
		return effects
	}
	begin := time.Now()
	effects := l.manager.Step(now, ev)
	l.step.Observe(time.Since(begin).Seconds())
	l.take(begin, ev)
	said := false
	for i := range effects {
		if effects[i].Publishes() {
			l.say(now, effects[i].Event.Body)
			said = said || l.lead.Said(effects[i].Event.Seq)
		}
	}
	l.settle(now)
	if !l.leads && said {
		clear(l.held)
		l.held, l.counted = l.held[:0], l.Counts()
	}
	if l.leads {
		l.show()
	}
	return effects
}

// begin counts what nobody has counted.
func (l *ledger) begin() {
	l.leads = true
	for _, count := range l.held {
		count()
	}
	l.held = nil
	l.fleet = l.Fleet()
	l.show()
}

// show brings the metrics up to the core.
func (l *ledger) show() {
	counts := l.Counts()
	l.add(l.counted, counts)
	l.counted = counts
	l.load.set(l.run, load{l.Load(), l.fleet})
}

// take counts an event that the core has taken, which took place at begin.
func (l *ledger) take(begin time.Time, ev event.Event) {
	kind := string(ev.Body.Kind())
	l.note(func() { l.events.WithLabelValues(kind).Inc() })
	switch b := ev.Body.(type) {
	case event.PreemptionNoticed:
		l.notice(begin, ev.Time)
	case event.WorkerSilent:
		l.note(func() { l.silent.Add(float64(len(b.Nodes))) })
	case event.BatchStarted:
		l.batch(b.Epoch, b.Pipeline)
	case event.RequestsJoined:
		l.batch(b.Epoch, b.Pipeline)
	case event.ContextMigrated:
		if b.Epoch == l.epoch {
			took := b.At.Sub(l.planned).Seconds()
			l.note(func() {
				l.migration.doneSeconds.Observe(took)
				l.migration.doneBytes.WithLabelValues("nodes").Add(float64(b.Bytes))
				l.migration.doneBytes.WithLabelValues("disk").Add(float64(b.DiskBytes))
			})
		}
	}
	if event.ClassOf(ev.Body) == fleetClass || event.ClassOf(ev.Body) == timerClass {
		l.fleet = l.Fleet()
	}
}

// The events after which a fleet may differ.
var (
	fleetClass = event.ClassOf(event.InstanceLost{})
	timerClass = event.ClassOf(event.TimerFired{})
)

func (l *ledger) notice(begin time.Time, at vtime.Time) {
	late := -l.clock.Until(at)
	if late >= old {
		return
	}
	late = max(0, late)
	l.note(func() { l.decisions.Observe(late.Seconds()) })
	if l.noticed.IsZero() {
		l.noticed = begin.Add(-late)
	}
}

// batch counts a batch that begins or grows; one of another plan has no requests.
func (l *ledger) batch(e event.Epoch, pipeline int) {
	if n := l.Running(e, pipeline); n > 0 {
		l.note(func() { l.batches.Observe(float64(n)) })
	}
}

// say counts what the core says.
func (l *ledger) say(now vtime.Time, b event.Body) {
	switch b := b.(type) {
	case event.RequestCompleted:
		r := b.Record
		l.note(func() {
			l.latency.Observe(r.Finished.Sub(r.Arrived).Seconds())
			if r.Started != vtime.Never {
				l.queueing.Observe(r.Started.Sub(r.Arrived).Seconds())
			}
		})
	case event.ConfigChosen:
		cause := string(l.Cause())
		l.note(func() { l.reconfigurations.WithLabelValues(cause).Inc() })
		l.epoch, l.planned, l.starts = b.Epoch, now, true
		if !l.noticed.IsZero() {
			took := time.Since(l.noticed).Seconds()
			l.note(func() { l.answers.Observe(took) })
			l.noticed = time.Time{}
		}
	case event.MigrationPlanned:
		l.note(func() {
			m := l.migration
			if b.Steps > 0 {
				m.plannedSeconds.Observe(b.Estimate.Seconds())
			}
			m.plannedBytes.WithLabelValues("model").Add(float64(b.ModelBytes))
			m.plannedBytes.WithLabelValues("cache").Add(float64(b.CacheBytes))
			m.plannedBytes.WithLabelValues("disk").Add(float64(b.DiskBytes))
			m.resumed.Add(float64(b.ResumedRequests))
			m.requeued.Add(float64(b.RequeuedRequests))
		})
	}
}

// settle notes when the pipelines of a plan serve, and forgets notices that call for
// no plan: of spare nodes, or taken back.
func (l *ledger) settle(now vtime.Time) {
	if stage, _ := l.Progress(); stage == core.Steady || stage == core.Awaiting {
		l.noticed = time.Time{}
	}
	if !l.starts || l.Load().Starting {
		return
	}
	l.starts = false
	took := now.Sub(l.planned).Seconds()
	l.note(func() { l.starting.Observe(took) })
}
