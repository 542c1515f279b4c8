package collector_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spotserve/spotserve/services/collector"
)

// TestLag grows with the age of the oldest message without a row, while the store is
// away, and is nothing when all are stored.
func TestLag(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		away := true
		d.vault.fail = func(int) error {
			if away {
				return errAway
			}
			return nil
		}
		shows := func(name string) float64 { return testutil.ToFloat64(d.counter("spotserve_collector_" + name)) }
		d.start()
		if shows("leader") != 1 || shows("leases_taken_total") != 1 || shows("lag_seconds") != 0 {
			t.Errorf("at first: leader %v, lag %v s", shows("leader"), shows("lag_seconds"))
		}
		d.publish(history("e2e-1", 10)...)
		synctest.Wait()
		time.Sleep(90 * time.Second)
		if got := shows("lag_seconds"); got != 90 {
			t.Errorf("the lag is %v s after 90 s", got)
		}
		if shows("waiting_rows") == 0 || shows("write_failures_total") == 0 {
			t.Errorf("%v rows wait after %v failures", shows("waiting_rows"), shows("write_failures_total"))
		}
		d.vault.mu.Lock()
		away = false
		d.vault.mu.Unlock()
		d.recorded("e2e-1", 10)
		time.Sleep(time.Second)
		if shows("lag_seconds") != 0 || shows("waiting_rows") != 0 {
			t.Errorf("when all is stored the lag is %v s, and %v rows wait", shows("lag_seconds"), shows("waiting_rows"))
		}
		if err := d.stop(); err == nil {
			t.Error("it ends by itself")
		}
		if shows("leader") != 0 {
			t.Error("it leads after its end")
		}
	})
}

// TestPurgesAreCounted.
func TestPurgesAreCounted(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.keep = collector.Retention{Runs: 1}
		d.start()
		d.publish(history("e2e-1", 10)...)
		d.recorded("e2e-1", 10)
		d.publish(history("e2e-2", 10)...)
		d.recorded("e2e-2", 10)
		time.Sleep(10 * time.Minute)
		for name, want := range map[string]float64{"purged_runs_total": 1, "purge_failures_total": 0} {
			if got := testutil.ToFloat64(d.counter("spotserve_collector_" + name)); got != want {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	})
}
