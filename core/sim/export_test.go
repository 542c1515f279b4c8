package sim

import (
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// RunWithNotices is Run with what notice sources say, ascending by time. A run
// that is over hears of no more.
func RunWithNotices(run string, spec experiment.Spec, t experiment.Timeline, notices []event.Event, log func(event.Event) error) error {
	s := newSimulation(run, spec, t, log)
	for !s.manager.Finished() {
		if len(notices) > 0 && notices[0].Time <= min(s.player.PeekTime(), s.schedule.due[s.actors[s.schedule.first()].number]) {
			s.tell(notices[0])
			notices = notices[1:]
			continue
		}
		if err := s.round(); err != nil {
			return err
		}
	}
	return nil
}

// tell delivers what a notice source says, as the fleet's subject does.
func (s *simulation) tell(ev event.Event) {
	s.now = ev.Time
	s.record(&ev)
	s.deliver(s.planner, &ev)
	for _, w := range s.audience(ev.Body) {
		s.deliver(w, &ev)
	}
}
