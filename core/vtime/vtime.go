// Package vtime is experiment time: nanoseconds since a run began.
//
// It has nothing to do with a clock. Every fact carries its nominal experiment
// time, and the cores read no other. Wall time enters only where a live run is
// paced (platform/clock).
package vtime

import (
	"math"
	"strconv"
	"time"
)

// Time is an instant of experiment time, in nanoseconds since the run's start.
type Time int64

// Never is later than every instant of a run. As a watermark it says that a
// source will send nothing more.
const Never Time = math.MaxInt64

// Seconds returns the instant that lies s seconds after the run's start,
// rounded to the nearest nanosecond.
func Seconds(s float64) Time { return Time(math.Round(s * 1e9)) }

// Duration returns s seconds as a duration, rounded to the nearest nanosecond.
func Duration(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }

// Add returns t moved by d. Never stays Never.
func (t Time) Add(d time.Duration) Time {
	if t == Never {
		return Never
	}
	return t + Time(d)
}

// Sub returns the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Seconds returns t in seconds.
func (t Time) Seconds() float64 { return float64(t) / 1e9 }

// Milliseconds returns t in milliseconds, the unit of the SQL columns.
func (t Time) Milliseconds() float64 { return float64(t) / 1e6 }

// String prints t in seconds with millisecond precision, for example 24.370s.
func (t Time) String() string {
	if t == Never {
		return "never"
	}
	return strconv.FormatFloat(t.Seconds(), 'f', 3, 64) + "s"
}
