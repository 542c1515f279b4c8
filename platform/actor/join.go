package actor

import (
	"context"
	"errors"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// Joining is a worker process's place in a run. The zero value is that of the
// first one, which was there when the run started.
type Joining struct {
	incarnation uint64
	seq         uint64 // of its joining in the stream; 0 for the first one
}

// Incarnation counts the processes that joined the run in progress for this
// node.
func (j Joining) Incarnation() uint64 { return j.incarnation }

// Join lets this process stand for a node of a run in progress, at the instant
// now. Of two that join at once the one that comes later in the stream counts.
func Join(ctx context.Context, b LeadBus, r Started, node string, now vtime.Time) (Joining, error) {
	for {
		m, found, err := b.Newest(ctx, bus.Runs, wire.JoinFilter(r.Run, node))
		if err != nil {
			return Joining{}, err
		}
		j := Joining{incarnation: 1}
		if found {
			before, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
			if err != nil {
				return j, err
			}
			j.incarnation += before.Incarnation()
		}
		ev := event.Event{
			Run: r.Run, Source: node, Seq: event.FirstSeq(j.incarnation), Time: max(0, now), Watermark: max(0, now),
			Version: r.Start.Schema, Body: event.WorkerJoined{},
		}
		j.seq, err = appendEvent(ctx, b, ev, m.Seq)
		if !errors.Is(err, bus.ErrTaken) {
			return j, err
		}
	}
}
