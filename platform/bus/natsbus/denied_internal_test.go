package natsbus

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/spotserve/spotserve/platform/bus"
)

// TestARefusedSignalIsTriedAgain: the next one is told, and the one after it is sent:
// the server may have taken new rights.
func TestARefusedSignalIsTriedAgain(t *testing.T) {
	const subject = "spot.signal.heartbeat.worker.n"
	c := &conn{options: Options{URL: "nats://here", Log: slog.New(slog.DiscardHandler)}, denials: newDenials()}
	for range 2 {
		c.refused(errors.New(`nats: Permissions Violation for Publish to "` + subject + `"`))
		if err := c.wasDenied(publishes, subject); !errors.Is(err, bus.ErrDenied) {
			t.Errorf("the next one: %v, want a refusal", err)
		}
		if err := c.wasDenied(publishes, subject); err != nil {
			t.Errorf("the one after it: %v", err)
		}
	}
}

// TestARefusalIsOfItsSubject: no call fails for what another one may not do.
func TestARefusalIsOfItsSubject(t *testing.T) {
	c := &conn{options: Options{URL: "nats://here", Log: slog.New(slog.DiscardHandler)}, denials: newDenials()}
	for _, tt := range []struct {
		subjects []string
		denied   bool
	}{
		{nil, false},
		{[]string{"spot.run.r.other"}, false},
		{[]string{"spot.run.r.other", "spot.run.*.fact"}, true},
	} {
		err := c.guarded(t.Context(), tt.subjects, func(ctx context.Context) error {
			c.refused(errors.New(`nats: Permissions Violation for Publish to "spot.run.r.fact"`))
			return ctx.Err()
		})
		if errors.Is(err, bus.ErrDenied) != tt.denied || !tt.denied && err != nil {
			t.Errorf("a call of %q: %v, want a refusal: %t", tt.subjects, err, tt.denied)
		}
	}
}
