package planner

import (
	"time"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/clock"
)

// measured counts and times what the core of one run does.
type measured struct {
	core    actor.Core
	service *service
	clock   clock.Clock
	noticed time.Time // the first notice of a preemption without a plan; zero if there is none
}

func (s *service) measured(c actor.Core, pace clock.Clock) actor.Core {
	return &measured{core: c, service: s, clock: pace}
}

// old is how far an event lies behind the clock at least that a planner replays:
// when it was taken is not known any more.
const old = 10 * time.Second

// Step implements actor.Core.
func (m *measured) Step(now vtime.Time, ev event.Event) []effect.Effect {
	begin := time.Now()
	effects := m.core.Step(now, ev)
	m.service.latency.Observe(time.Since(begin).Seconds())
	switch ev.Body.(type) {
	case event.PreemptionNoticed:
		if late := -m.clock.Until(ev.Time); late < old {
			m.service.decisions.Observe(max(0, late).Seconds())
			if m.noticed.IsZero() {
				m.noticed = begin
			}
		}
	case event.PreemptionCancelled:
		m.noticed = time.Time{} // it may stay without a plan
	}
	for i := range effects {
		if _, chosen := effects[i].Event.Body.(event.ConfigChosen); chosen {
			m.service.plans.Inc()
			if !m.noticed.IsZero() {
				m.service.answers.Observe(time.Since(m.noticed).Seconds())
				m.noticed = time.Time{}
			}
		}
	}
	return effects
}
