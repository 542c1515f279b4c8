package collector_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/bustest"
	"github.com/spotserve/spotserve/services/collector"
)

// TestTheBusIsAwayAnywhere: any one call on the bus is not answered, or none for
// a while from there on. The collector lives, and every row is stored.
func TestTheBusIsAwayAnywhere(t *testing.T) {
	events := history("e2e-1", 10)
	const calls = 40 // the run takes fewer
	for _, lasts := range []int64{1, 20} {
		for from := range int64(calls) {
			t.Run(fmt.Sprintf("%d calls from %d on", lasts, from+1), func(t *testing.T) {
				atDesk(t, func(t *testing.T, d *desk) {
					flaky := &bustest.Flaky{Bus: d.bus, Away: func(call int64) bool { return from < call && call <= from+lasts }}
					d.over = func(collector.Bus) collector.Bus { return flaky }
					d.start()
					d.publish(events[:8]...)
					time.Sleep(time.Second)
					d.publish(events[8:]...)
					d.recorded("e2e-1", 10)
					time.Sleep(time.Hour)
					if n, err := d.bus.Waiting(t.Context(), bus.Runs, "collector-runs"); n != 0 || err != nil {
						t.Errorf("%d messages wait, %v", n, err)
					}
					if flaky.Calls() <= from {
						t.Errorf("it made %d calls: none of those that were to fail", flaky.Calls())
					}
				})
			})
		}
	}
}

// TestSaysThatTheBusIsAway, and what it does about it.
func TestSaysThatTheBusIsAway(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		began := time.Now()
		d.over = func(b collector.Bus) collector.Bus {
			return &bustest.Flaky{Bus: d.bus, Away: func(int64) bool { return time.Since(began) < time.Minute }}
		}
		d.start()
		d.publish(history("e2e-1", 10)...)
		if told := d.recorded("e2e-1", 10); time.Since(began) < time.Minute || told.Rows != 16 {
			t.Errorf("%d rows after %s", told.Rows, time.Since(began))
		}
		if said := d.log.String(); !strings.Contains(said, "level=WARN") || strings.Contains(said, "level=ERROR") {
			t.Errorf("the log says\n%s", said)
		}
	})
}
