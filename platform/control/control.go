// Package control publishes the messages that start and stop experiments and
// answer to that.
package control

import (
	"context"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// Publish stores a control message and returns its sequence.
func Publish(ctx context.Context, p bus.Publisher, body event.Body) (uint64, error) {
	subject, err := wire.ControlSubject(body)
	if err != nil {
		return 0, err
	}
	data, err := wire.EncodeControl(body)
	if err != nil {
		return 0, err
	}
	return p.PublishWait(ctx, bus.Outgoing{Subject: subject, Data: data})
}
