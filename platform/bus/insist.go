package bus

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// The pauses of Insist, in wall time.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 10 * time.Second
)

// Insist calls f until its error is none that wraps ErrAway, and returns that
// one, or the context's. The pauses between the calls grow. The log has each
// reason to wait once.
func Insist(ctx context.Context, log *slog.Logger, f func(context.Context) error) error {
	said := ""
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := f(ctx)
		if !errors.Is(err, ErrAway) {
			return err
		}
		level := slog.LevelDebug
		if why := err.Error(); why != said { // once for each reason: a wait may be long
			level, said = slog.LevelWarn, why
		}
		log.Log(ctx, level, "the bus cannot do it now; it is tried again", "again_in", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
