package natsbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/spotserve/spotserve/platform/bus"
)

// Append implements bus.Appender.
func (b *Bus) Append(ctx context.Context, m bus.Outgoing, last uint64) (seq uint64, err error) {
	if err := b.usable(ctx); err != nil {
		return 0, err
	}
	if _, err := bus.StreamOf(m.Subject); err != nil {
		return 0, err
	}
	msg := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: make(nats.Header)}
	putTrace(msg.Header, m.TraceContext)
	id := m.ID
	if id == "" {
		// A message whose answer was lost with its connection is sent again;
		// its ID gets it the answer that it had.
		id = nuid.Next()
	}
	err = b.link.do(ctx, b.open, []string{m.Subject}, func(ctx context.Context, c *conn) error {
		ack, err := c.js.PublishMsg(ctx, msg, jetstream.WithMsgID(id), jetstream.WithExpectLastSequencePerSubject(last))
		if err == nil {
			seq = ack.Sequence
		}
		return err
	})
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return seq, nil
	case errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return 0, fmt.Errorf("%w: %s, expected was sequence %d", bus.ErrTaken, m.Subject, last)
	}
	return 0, fmt.Errorf("bus: append %s: %w", m.Subject, err)
}
