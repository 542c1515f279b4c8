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
	case errors.Is(err, errPosition), errors.Is(err, bus.ErrClosed), errors.Is(err, bus.ErrDenied):
		return true
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject), errors.Is(err, jetstream.ErrInvalidKey):
		return true
	}
	if errors.As(err, &api) && api.ErrorCode == replicasAlone {
		return true
	}
	return errors.As(err, &api) && !isBusy(api) && api.Code >= http.StatusBadRequest && api.Code < http.StatusInternalServerError
}

// replicasAlone is the code of the answer of a server on its own that is asked
// for replicas.
const replicasAlone jetstream.ErrorCode = 10074

// inProcess is the code of an answer to a message that a cluster is about to
// store: it came before, under the same ID.
const inProcess jetstream.ErrorCode = 10158

// isBusy reports whether the server cannot do what was asked for at the moment:
// there is no leader, its queue is full, it deals with the same message or with
// another one of the same subject, or has as many consumers as it keeps, some of
// which it will forget.
func isBusy(err *jetstream.APIError) bool {
	switch err.ErrorCode {
	case inProcess, jetstream.JSErrCodeStreamWrongLastSequenceConstant, jetstream.JSErrCodeMaximumConsumersLimit:
		return true
	}
	return err.Code == http.StatusServiceUnavailable || err.Code == http.StatusTooManyRequests
}
