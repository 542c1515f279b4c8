// Package alarm says what is wrong just now, to whoever listens.
//
// An alarm is repeated for as long as it is true, and nobody keeps it: who does
// not hear it any more knows that it is over, or that whoever sounded it is gone.
package alarm

import (
	"context"
	"log/slog"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
)

// StoreAway says that the store does not take the collector's rows.
const StoreAway = "spot.signal.alarm.store_away"

// The pause between two sounds, and how long one holds, in wall time.
const (
	Every = time.Second
	holds = 3 * Every
)

// Sound repeats the alarm while it is on, until the context ends. Its error is
// always nil: an alarm that nobody can hear is lost.
func Sound(ctx context.Context, b bus.Signaller, log *slog.Logger, alarm string, on func() bool) error {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		if on() {
			if err := b.Signal(ctx, alarm, nil); err != nil && ctx.Err() == nil {
				log.Debug("alarm lost", "alarm", alarm, "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Listen tells when the alarm begins, true, and when it was not heard any more,
// false. The channel is closed when the context or the bus ends.
func Listen(ctx context.Context, b bus.Signaller, alarm string) (<-chan bool, error) {
	sub, err := b.Listen(ctx, alarm)
	if err != nil {
		return nil, err
	}
	out := make(chan bool)
	go func() {
		defer close(out)
		defer sub.Stop()
		over := time.NewTimer(holds)
		defer over.Stop()
		on := false
		for {
			now := true
			select {
			case _, ok := <-sub.C():
				if !ok {
					return
				}
				over.Reset(holds)
			case <-over.C:
				now = false
			}
			if now == on {
				continue
			}
			on = now
			select {
			case out <- on:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}
