package natsbus

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
)

// TestAway: what a caller may try again, and what it may not.
func TestAway(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		away bool
	}{
		{"success", t.Context(), nil, false},
		{"no answer in time", t.Context(), context.DeadlineExceeded, true},
		{"no answer in time, by the client", t.Context(), nats.ErrTimeout, true},
		{"nobody answers for the stream", t.Context(), jetstream.ErrNoStreamResponse, true},
		{"nobody answers", t.Context(), nats.ErrNoResponders, true},
		{"no leader", t.Context(), &jetstream.APIError{Code: 503, ErrorCode: 10008}, true},
		{"a queue is full", t.Context(), &jetstream.APIError{Code: 429, ErrorCode: 10167}, true},
		{"the same message is in process", t.Context(), &jetstream.APIError{Code: 409, ErrorCode: 10158}, true},
		{"another message is in process", t.Context(), &jetstream.APIError{Code: 400, ErrorCode: 10164}, true},
		{"too many consumers", t.Context(), &jetstream.APIError{Code: 400, ErrorCode: 10026}, true},
		{"no room", t.Context(), &jetstream.APIError{Code: 500, ErrorCode: 10047}, true},
		{"the connection breaks", t.Context(), nats.ErrConnectionClosed, true},
		{"the caller has gone", over, context.Canceled, false},
		{"the caller has gone, and there is no answer", over, nats.ErrTimeout, false},
		{"no such stream", t.Context(), &jetstream.APIError{Code: 404, ErrorCode: 10059}, false},
		{"a bad consumer", t.Context(), &jetstream.APIError{Code: 400, ErrorCode: 10012}, false},
		{"another one was there first", t.Context(), &jetstream.APIError{Code: 400, ErrorCode: jetstream.JSErrCodeStreamWrongLastSequence}, false},
		{"a message too large", t.Context(), nats.ErrMaxPayload, false},
		{"replicas without a cluster", t.Context(), &jetstream.APIError{Code: 500, ErrorCode: 10074}, false},
		{"a bad subject", t.Context(), nats.ErrBadSubject, false},
		{"a bad key", t.Context(), jetstream.ErrInvalidKey, false},
		{"the stream was made anew", t.Context(), errPosition, false},
		{"the bus is closed", t.Context(), bus.ErrClosed, false},
	} {
		err := tt.err
		if err != nil {
			err = fmt.Errorf("state of stream: %w", err)
		}
		got := away(tt.ctx, err)
		if errors.Is(got, bus.ErrAway) != tt.away || !errors.Is(got, tt.err) {
			t.Errorf("%s: got %v, which is to be %v and away: %t", tt.name, got, tt.err, tt.away)
		}
	}
}
