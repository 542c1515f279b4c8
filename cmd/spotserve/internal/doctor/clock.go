package doctor

import (
	"time"
)

// reading is a clock compared with that of NATS.
type reading struct {
	whose  string
	offset time.Duration // of the clock, ahead of that of NATS
	within time.Duration // how much of it may be the way of the message
}

// transit is the longest that a message is taken to be under way from its sender
// to the stream: a clock is not called wrong for less.
const transit = 250 * time.Millisecond

func (s Seen) clockReadings() (out []reading) {
	if s.Skew != nil {
		out = append(out, reading{"this host", s.Skew.Offset, s.Skew.Within})
	}
	for _, p := range s.Roll.Present {
		if !p.Clock.IsZero() && s.Skew != nil {
			out = append(out, reading{name(p.ServicePresent), p.Clock.Sub(p.Heard.Add(-s.Skew.Offset)), transit})
		}
	}
	for _, run := range s.Runs.Open {
		if !run.Clock.IsZero() {
			out = append(out, reading{"the trace-replayer of " + run.Run.Run, run.Clock.Sub(run.Started), transit})
		}
	}
	return out
}
