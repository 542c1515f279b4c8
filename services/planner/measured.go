package planner

import (
	"time"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
)

// measured counts and times what a core does.
type measured struct {
	core    actor.Core
	service *service
}

func (s *service) measured(c actor.Core) actor.Core { return measured{c, s} }

// Step implements actor.Core.
func (m measured) Step(now vtime.Time, ev event.Event) []effect.Effect {
	begin := time.Now()
	effects := m.core.Step(now, ev)
	m.service.latency.Observe(time.Since(begin).Seconds())
	for i := range effects {
		if _, chosen := effects[i].Event.Body.(event.ConfigChosen); chosen {
			m.service.plans.Inc()
		}
	}
	return effects
}
