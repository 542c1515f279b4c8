package sim

import (
	"fmt"

	"github.com/spotserve/spotserve/core/agenda"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/core/worker"
)

// Engine stands for the engines of all nodes of a measured run.
type Engine interface {
	// Do takes an operation for a node's engine at the instant now. It returns what
	// the engines of any nodes say because of it, not before now.
	Do(now vtime.Time, node string, op engineop.Op) []EngineEvent
}

// EngineEvent is what the engine of a node says at an instant.
type EngineEvent struct {
	Node string
	At   vtime.Time
	Body event.Body
}

// RunMeasured is Run with an engine that computes, in virtual time.
func RunMeasured(run string, spec experiment.Spec, t experiment.Timeline, e Engine, log func(event.Event) error) error {
	if !spec.Measured() {
		return fmt.Errorf("simulation %s: compute is %q: an engine needs %q", run, spec.Compute, experiment.Transformer)
	}
	s := newSimulation(run, spec, t, log)
	s.engine = e
	return s.play()
}

// operate hands an operation to the engine of an actor's node.
func (s *simulation) operate(a *actor, op engineop.Op) {
	if s.engine == nil {
		s.failed = fmt.Errorf("node %s needs an engine that computes for %T", a.name, op)
		return
	}
	if _, broken := op.(engineop.GiveUp); broken {
		s.rejoin(a)
	}
	for _, said := range s.engine.Do(s.now, a.name, op) {
		if to := s.workers[said.Node]; to != nil {
			to.answers++
			s.deliver(to, &event.Event{
				Run: s.run, Source: said.Node + "/engine", Seq: to.answers, Time: max(s.now, said.At), Body: said.Body,
			})
		}
	}
}

// rejoin is what a service does whose node gives up: a worker that holds nothing
// joins in its place.
func (s *simulation) rejoin(a *actor) {
	a.incarnation++
	a.core, a.agenda = worker.NewIncarnation(a.name, a.incarnation), agenda.New(a.name)
	first := event.Event{Run: s.run, Source: event.SourceReplayer, Time: s.now}
	first.Body = event.RunStarted{Spec: s.spec}
	a.core.Step(s.now, first)
	first.Body = event.InstanceAcquired{Instances: []experiment.Instance{{Node: a.name}}}
	a.core.Step(s.now, first)
	s.publish(&event.Event{
		Run: s.run, Source: a.name, Seq: event.FirstSeq(a.incarnation), Time: s.now, Version: event.SchemaVersion,
		Body: event.WorkerJoined{},
	})
}
