package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
)

// TestInsist: a call is made again for as long as the bus is away, after pauses
// that grow up to a limit, and never for another reason.
func TestInsist(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		fails  int // times that the bus is away
		then   error
		passed time.Duration
	}{
		"at once":             {0, nil, 0},
		"an error at once":    {0, broken, 0},
		"after a while":       {3, nil, (500 + 1000 + 2000) * time.Millisecond},
		"and then an error":   {1, broken, 500 * time.Millisecond},
		"after a long while":  {8, nil, (500+1000+2000+4000+8000)*time.Millisecond + 3*10*time.Second},
		"until the bus ends":  {2, bus.ErrClosed, 1500 * time.Millisecond},
		"another's place":     {1, bus.ErrTaken, 500 * time.Millisecond},
		"the caller has gone": {1, context.Canceled, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, calls := time.Now(), 0
				err := bus.Insist(t.Context(), slog.New(slog.DiscardHandler), func(context.Context) error {
					if calls++; calls <= c.fails {
						return fmt.Errorf("follow: %w", bus.ErrAway)
					}
					return c.then
				})
				if err != c.then || calls != c.fails+1 || time.Since(began) != c.passed { //nolint:errorlint // it is handed on as it is
					t.Errorf("%v after %d calls and %s, want %v after %d and %s", err, calls, time.Since(began), c.then, c.fails+1, c.passed)
				}
			})
		})
	}
}

// TestInsistEndsWithItsContext, also in a pause.
func TestInsistEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := bus.Insist(ctx, slog.New(slog.DiscardHandler), func(context.Context) error { return bus.ErrAway })
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, bus.ErrAway) {
			t.Errorf("it ends with %v", err)
		}
	})
}
