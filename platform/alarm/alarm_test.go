package alarm_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/platform/alarm"
	"github.com/spotserve/spotserve/platform/bus/membus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAlarm: it is heard when it begins, once, and it is over when it has not
// been heard for three seconds, also if nobody is left to say so.
func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		sounding, fall := context.WithCancel(ctx)
		var on atomic.Bool
		var ended sync.WaitGroup
		ended.Go(func() {
			if err := alarm.Sound(sounding, b, slog.New(slog.DiscardHandler), alarm.StoreAway, on.Load); err != nil {
				t.Error(err)
			}
		})
		heard, err := alarm.Listen(ctx, b, alarm.StoreAway)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var got []string
		ended.Go(func() {
			for on := range heard {
				got = append(got, fmt.Sprintf("%.0f s: %t", time.Since(began).Seconds(), on))
			}
		})
		time.Sleep(9500 * time.Millisecond)
		on.Store(true)
		time.Sleep(20 * time.Second)
		on.Store(false)
		time.Sleep(10 * time.Second)
		on.Store(true)
		time.Sleep(10 * time.Second)
		fall()
		time.Sleep(10 * time.Second)
		cancel()
		ended.Wait()
		if want := []string{"10 s: true", "32 s: false", "40 s: true", "52 s: false"}; !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}
