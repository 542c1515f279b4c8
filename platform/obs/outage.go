package obs

import (
	"context"
	"log/slog"
	"time"
)

// Outage logs what fails again and again: once when it begins, and once when it is
// over. What comes between is of level debug, but for another reason, which is told
// twice a minute at most. The zero value is no outage. It is for one goroutine.
type Outage struct {
	since    time.Time
	failures int
	told     time.Time
	reason   string
}

// anotherReason is the least time between two lines about one outage.
const anotherReason = 30 * time.Second

// Failed says that it has failed, once more or for the first time.
func (o *Outage) Failed(log *slog.Logger, text string, err error, args ...any) {
	now := time.Now()
	if o.failures++; o.failures == 1 {
		o.since = now
	}
	level, reason := slog.LevelDebug, err.Error()
	if o.failures == 1 || reason != o.reason && now.Sub(o.told) >= anotherReason {
		level, o.told, o.reason = slog.LevelWarn, now, reason
	}
	log.Log(context.Background(), level, text, append(args, "error", err)...)
}

// Over says that it works, if it did not before.
func (o *Outage) Over(log *slog.Logger, text string, args ...any) {
	if o.failures > 0 {
		log.Info(text, append(args, "after", time.Since(o.since).Round(time.Millisecond), "failures", o.failures)...)
	}
	*o = Outage{}
}
