// Package clock paces live runs: it maps wall time to experiment time.
package clock

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spotserve/spotserve/core/vtime"
)

// Clock runs scale times as fast as the wall clock, from a wall time at which
// experiment time is 0. It reads the wall clock once, when it is made, and goes
// on by the monotonic clock: setting the host's time does not disturb a run.
// A Clock is a value; copies run alike.
type Clock struct {
	start time.Time // of experiment time, with a monotonic reading
	scale float64
}

// New returns a clock that shows 0 at wallStart, which may lie in the past or
// in the future. The scale is in seconds of experiment time per second of wall
// time; it is positive and finite.
func New(wallStart time.Time, scale float64) (Clock, error) {
	if !(scale > 0) || math.IsInf(scale, 1) {
		return Clock{}, fmt.Errorf("time scale %v: want a number above 0, 1 for real time", scale)
	}
	now := time.Now()
	return Clock{start: now.Add(wallStart.Sub(now)), scale: scale}, nil
}

// Now is the experiment time; negative before the start.
func (c Clock) Now() vtime.Time { return c.at(time.Since(c.start)) }

// At is the experiment time at a wall time, by the host's clock: the same on every
// host that is told the same wall time.
func (c Clock) At(wall time.Time) vtime.Time { return c.at(wall.Sub(c.start.Round(0))) }

// at is the experiment time when wall time has passed since the start. It
// rounds down, so that an instant is reached only when it is there.
func (c Clock) at(wall time.Duration) vtime.Time {
	return vtime.Time(saturate(math.Floor(float64(wall) * c.scale)))
}

// Wall is the wall time at t. It rounds up: at Wall(t), Now is t or later.
// Instants that time.Duration cannot reach from the start, vtime.Never among
// them, are moved to the farthest that it can.
func (c Clock) Wall(t vtime.Time) time.Time { return c.start.Add(c.wall(t)) }

// wall is the wall time from the start to t.
func (c Clock) wall(t vtime.Time) time.Duration {
	if t == vtime.Never {
		return math.MaxInt64
	}
	wall := time.Duration(saturate(math.Ceil(float64(t) / c.scale)))
	if wall < math.MaxInt64 && c.at(wall) < t {
		wall++ // the quotient was rounded down to an integer below it
	}
	return wall
}

// Until is the wall time from now to t: not positive if t is there, and the
// longest time.Duration for vtime.Never.
func (c Clock) Until(t vtime.Time) time.Duration {
	wall := c.wall(t)
	if wall == math.MaxInt64 {
		return wall
	}
	passed := time.Since(c.start)
	if passed < 0 && wall > math.MaxInt64+passed {
		return math.MaxInt64
	}
	return wall - passed
}

// Sleep waits until t, or until the context ends and returns its error.
func (c Clock) Sleep(ctx context.Context, t vtime.Time) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		wait := c.Until(t)
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// saturate makes f safe to convert to int64.
func saturate(f float64) int64 {
	switch {
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}
