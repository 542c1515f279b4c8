package natsbus

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
)

// away wraps the error of a call with this context in bus.ErrAway, unless it is
// the context's, or trying again is of no use.
func away(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || isFinal(err) {
		return err
	}
	return fmt.Errorf("%w: %w", bus.ErrAway, err)
}

// isFinal reports whether trying again is of no use.
func isFinal(err error) bool {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, errPosition), errors.Is(err, bus.ErrClosed):
		return true
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject), errors.Is(err, jetstream.ErrInvalidKey):
		return true
	}
	return errors.As(err, &api) && !isBusy(api) && api.Code >= http.StatusBadRequest && api.Code < http.StatusInternalServerError
}

// isBusy reports whether nobody can do what was asked for at the moment: there
// is no leader, or its queue is full.
func isBusy(err *jetstream.APIError) bool {
	return err.Code == http.StatusServiceUnavailable || err.Code == http.StatusTooManyRequests
}
