package clock_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/clock"
)

func mustNew(t *testing.T, start time.Time, scale float64) clock.Clock {
	t.Helper()
	c, err := clock.New(start, scale)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNew(t *testing.T) {
	for _, scale := range []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		if _, err := clock.New(time.Now(), scale); err == nil {
			t.Errorf("scale %v: no error", scale)
		}
	}
}

func TestNow(t *testing.T) {
	tests := []struct {
		scale float64
		start time.Duration // from now
		sleep time.Duration
		want  vtime.Time
	}{
		{1, 0, 0, 0},
		{1, 0, time.Second, vtime.Seconds(1)},
		{60, 0, time.Second, vtime.Seconds(60)},
		{60, -time.Second, time.Second, vtime.Seconds(120)},
		{60, 3 * time.Second, time.Second, vtime.Seconds(-120)},
		{0.5, 0, 3, 1},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			c := mustNew(t, time.Now().Add(tt.start), tt.scale)
			time.Sleep(tt.sleep)
			if got := c.Now(); got != tt.want {
				t.Errorf("%+v: Now() = %d", tt, got)
			}
		})
	}
}

// A start that crossed a process border has no monotonic reading.
func TestStartWithoutMonotonicReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, time.Unix(0, time.Now().UnixNano()), 60)
		time.Sleep(time.Second)
		if got := c.Now(); got != vtime.Seconds(60) {
			t.Errorf("Now() = %v; want 60 s", got)
		}
	})
}

// At Wall(t) the clock shows t or at most one wall nanosecond's worth more.
func TestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		for range 10_000 {
			scale := math.Exp(rnd.Float64()*14 - 4) // 0.02 to 22,000
			at := vtime.Time(rnd.Int64N(int64(24 * time.Hour)))
			c := mustNew(t, start, scale)
			wall := c.Wall(at)
			if earlier := c.Wall(at - 1); earlier.After(wall) {
				t.Fatalf("scale %v: Wall(%d) is after Wall(%d)", scale, at-1, at)
			}
			// A clock that started earlier by as much shows what c will show.
			now := mustNew(t, start.Add(-wall.Sub(start)), scale).Now()
			if now < at || float64(now-at) > scale+1 {
				t.Fatalf("scale %v: at Wall(%d) the clock shows %d", scale, at, now)
			}
			if until := c.Until(at); until != wall.Sub(start) {
				t.Fatalf("scale %v: Until(%d) = %v; want %v", scale, at, until, wall.Sub(start))
			}
		}
	})
}

func TestNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, scale := range []float64{1e-9, 0.5, 1, 60, 1e9} {
			for _, start := range []time.Duration{-time.Hour, 0, time.Hour} {
				c := mustNew(t, time.Now().Add(start), scale)
				if got := c.Until(vtime.Never); got != math.MaxInt64 {
					t.Errorf("scale %v, start %v: Until(Never) = %v; want the longest duration", scale, start, got)
				}
				if got := c.Wall(vtime.Never); got.Before(time.Now().Add(1000 * time.Hour)) {
					t.Errorf("scale %v, start %v: Wall(Never) = %v", scale, start, got)
				}
			}
		}
		c := mustNew(t, time.Now().Add(time.Hour), 1e-9)
		if got := c.Until(vtime.Never - 1); got != math.MaxInt64 {
			t.Errorf("Until of a far instant = %v; want the longest duration", got)
		}
	})
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, time.Now(), 60)
		for _, at := range []vtime.Time{vtime.Seconds(90), vtime.Seconds(90.000000007), vtime.Seconds(12)} {
			if err := c.Sleep(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			if now := c.Now(); now < at {
				t.Errorf("after Sleep(%d) the clock shows %d", at, now)
			}
		}
		if now := c.Now(); now > vtime.Seconds(90.0000002) {
			t.Errorf("the clock shows %v; want hardly more than 90 s", now)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Sleep(ctx, vtime.Never); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Sleep(Never) = %v; want the context's error", err)
		}
	})
}
