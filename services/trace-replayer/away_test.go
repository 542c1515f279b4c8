package tracereplayer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/bustest"
	"github.com/spotserve/spotserve/platform/wire"
)

// TestTheBusIsAwayAnywhere: calls on the bus are not answered, one or all for a
// while. The replayer lives, stands by, and plays what is missing: each event is
// on the stream, in order.
func TestTheBusIsAwayAnywhere(t *testing.T) {
	for _, lasts := range []int64{1, 15} {
		for from := int64(0); from < 500; from += 1 + from/8 {
			t.Run(fmt.Sprintf("%d calls from %d on", lasts, from+1), func(t *testing.T) {
				onStage(t, func(t *testing.T, s *stage) {
					s.staffed("*")
					s.finish(false)
					s.stop()
					flaky := &bustest.Flaky{Bus: s.bus, Away: func(call int64) bool { return from < call && call <= from+lasts }}
					s.startOn(flaky)
					answers := s.follow(bus.Control, wire.SubjectAccepted, wire.SubjectRefused)
					run := s.accepted(answers, event.StartOptions{TimeScale: 60})
					seen := uint64(0)
					for _, ev := range s.upTo(s.follow(bus.Runs, wire.FleetFilter(run), wire.RequestFilter(run)), "run_ended") {
						if ev.Seq > seen+1 {
							t.Fatalf("%s follows number %d", ev.ID(), seen)
						}
						seen = max(seen, ev.Seq)
					}
					time.Sleep(time.Minute) // it comes to know of the end
					if flaky.Calls() <= from {
						t.Errorf("it made %d calls: none of those that were to fail", flaky.Calls())
					}
				})
			})
		}
	}
}
