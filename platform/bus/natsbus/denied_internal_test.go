package natsbus

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/spotserve/spotserve/platform/bus"
)

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
