// Package sim runs an experiment in virtual time: the same cores as the
// services, driven from one place without a bus, thousands of times faster
// than the clock and byte-identical for a seed.
package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/cloud"
	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/invariant"
	"github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/core/replay"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/core/worker"
)

// ErrStop is what a log returns to stop the run like a user who stops a live
// one: its input ends, every open request gets its end, and the run finishes
// with reason event.Stopped.
var ErrStop = errors.New("the run is stopped")

// Run plays an experiment to its end. Every event of the run's stream goes to
// log, in an order that depends on the experiment alone; log may be nil. After
// ErrStop from log the run ends early and in order; any other error of log ends
// it at once and is returned. The promises of docs/invariants.md are checked on
// the way, and a broken one ends the run with an error.
func Run(run string, spec experiment.Spec, t experiment.Timeline, log func(event.Event) error) error {
	return newSimulation(run, spec, t, log).play()
}

func (s *simulation) play() error {
	for !s.manager.Finished() {
		if err := s.round(); err != nil {
			return err
		}
	}
	return nil
}

func newSimulation(run string, spec experiment.Spec, t experiment.Timeline, log func(event.Event) error) *simulation {
	s := &simulation{
		run: run, spec: spec, player: replay.NewPlayer(run, event.RunStarted{Spec: spec}, t), manager: planner.New(1),
		workers: make(map[string]*actor), check: invariant.NewChecker(), log: log,
	}
	s.planner = s.newActor(event.SourcePlanner, s.manager)
	for _, node := range spec.Nodes {
		s.workers[node] = s.newActor(node, worker.New(node))
	}
	if spec.Provision == experiment.ClosedLoop {
		s.cloud = s.newActor(event.SourceCloud, cloud.New(t))
	}
	s.number()
	return s
}

// round takes one event, and looks at what came of it.
func (s *simulation) round() error {
	if !s.advance() {
		return fmt.Errorf("simulation %s: nothing left to do before the run has finished", s.run)
	}
	if err := s.check.Err(); err != nil {
		return fmt.Errorf("simulation %s: %w", s.run, err)
	}
	if s.stopping && !s.stopped {
		s.stop()
	}
	if s.failed != nil {
		return fmt.Errorf("simulation %s: %w", s.run, s.failed)
	}
	return nil
}

// core is the shape that planner and workers share.
type core interface {
	Step(now vtime.Time, ev event.Event) []effect.Effect
}

// actor is a core with its agenda, and its number in the schedule.
type actor struct {
	core   core
	name   string
	agenda *agenda.Agenda
	number int

	// Of a node in a measured run: its process, and what its engine has said.
	incarnation uint64
	answers     uint64
}

type simulation struct {
	run      string
	spec     experiment.Spec
	player   *replay.Player
	manager  *planner.MetaContextManager
	planner  *actor // of the manager
	cloud    *actor // of a closed loop; nil without one
	workers  map[string]*actor
	actors   []*actor // by number
	schedule schedule
	check    *invariant.Checker
	engine   Engine // of a measured run
	log      func(event.Event) error
	failed   error       // what log returned
	stopping bool        // log asked for it
	stopped  bool        // the input has been ended
	now      vtime.Time  // of the event that was taken last
	played   event.Event // the player's last
}

func (s *simulation) newActor(name string, c core) *actor {
	a := &actor{core: c, name: name, agenda: agenda.New(name)}
	s.actors = append(s.actors, a)
	return a
}

// number gives the actors their places in the schedule: among those that are
// due at the same instant the first by name comes first.
func (s *simulation) number() {
	slices.SortFunc(s.actors, func(a, b *actor) int { return cmp.Compare(a.name, b.name) })
	for i, a := range s.actors {
		a.number = i
	}
	s.schedule = newSchedule(len(s.actors))
}

// advance takes the earliest event of all. Every hop between actors takes
// time, so actors that are due at the same instant cannot affect each other.
func (s *simulation) advance() bool {
	first := s.actors[s.schedule.first()]
	if s.player.PeekTime() <= s.schedule.due[first.number] {
		ev, ok := s.player.Next()
		if ok {
			s.now, s.played = ev.Time, ev
			s.publish(&ev)
		}
		return ok
	}
	ev := first.agenda.Pop()
	s.now = ev.Time
	if _, timer := ev.Body.(event.TimerFired); timer && first == s.planner {
		s.record(&ev)
	}
	effects := first.core.Step(ev.Time, ev)
	for i := range effects {
		switch e := &effects[i]; {
		case e.Publishes():
			s.publish(&e.Event)
		case e.Engine != nil:
			s.operate(first, e.Engine)
		default:
			first.agenda.Set(s.run, e.Timer)
		}
	}
	s.schedule.set(first.number, first.agenda.NextTime())
	return true
}

// publish records an event and delivers it to those who take it.
func (s *simulation) publish(ev *event.Event) {
	s.record(ev)
	switch {
	case ev.To == event.SourceCloud:
		if s.cloud != nil {
			s.deliver(s.cloud, ev)
		}
	case ev.To != "":
		if w := s.workers[ev.To]; w != nil {
			s.deliver(w, ev)
		}
	case ev.Source == event.SourceReplayer || ev.Source == event.SourceCloud:
		s.deliver(s.planner, ev)
		for _, w := range s.audience(ev.Body) {
			s.deliver(w, ev)
		}
	case ev.Source != event.SourcePlanner:
		s.deliver(s.planner, ev)
	}
}

// audience is those that a fact of the replayer or the cloud concerns, beside the
// planner.
func (s *simulation) audience(b event.Body) []*actor {
	var out []*actor
	switch b := b.(type) {
	case event.RunStarted:
		for _, node := range b.Spec.Nodes {
			out = append(out, s.workers[node])
		}
		if s.cloud != nil {
			out = append(out, s.cloud)
		}
	case event.InstanceAcquired:
		for _, i := range b.Instances {
			if w := s.workers[i.Node]; w != nil {
				out = append(out, w)
			}
		}
	case event.InstanceLost:
		for _, n := range b.Nodes {
			if w := s.workers[n]; w != nil {
				out = append(out, w)
			}
		}
	}
	return out
}

func (s *simulation) deliver(a *actor, ev *event.Event) {
	a.agenda.Push(*ev)
	s.schedule.set(a.number, a.agenda.NextTime())
}

func (s *simulation) record(ev *event.Event) {
	s.check.Take(*ev)
	if s.log == nil || s.failed != nil {
		return
	}
	if err := s.log(*ev); errors.Is(err, ErrStop) {
		s.stopping = true
	} else {
		s.failed = err
	}
}

// stop ends the input now. A run that drains has no input left: it gets a
// second end.
func (s *simulation) stop() {
	s.stopped = true
	if s.player.PeekTime() != vtime.Never {
		s.player.Stop(s.now)
		return
	}
	end := s.played
	end.Seq++
	end.Time, end.Body = s.now, event.RunEnded{Reason: event.Stopped}
	s.publish(&end)
}
