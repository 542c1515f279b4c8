package tracereplayer

import (
	"fmt"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// What users may publish to start and stop runs. They are generous: a person or a
// script that waits for its answers never meets them.
const (
	// MaxWaiting is how many starts may wait for their answer and runs for their
	// turn, together; more are refused.
	MaxWaiting = 1_000
	// StartsPerSecond and StartBurst bound the starts, by the times at which the
	// stream stored them.
	StartsPerSecond = 10
	StartBurst      = 1_000
	// MaxStopBytes bounds a stop.
	MaxStopBytes = 4 << 10
)

// limits are what is left of the above. They are a function of the stream, as the
// ledger is.
type limits struct {
	starts serve.Bucket
	told   serve.Bucket // what the log says of starts and stops that come to nothing
}

func newLimits() limits {
	b := serve.Bucket{PerSecond: StartsPerSecond, Burst: StartBurst}
	return limits{starts: b, told: b}
}

// Why a start is not looked at.
var (
	tooMany = fmt.Sprintf("%d starts and runs wait: that is as many as may, so stop some or send the start again later", MaxWaiting)
	tooFast = fmt.Sprintf("starts come faster than allowed: %d a second, %d at once, so send it again later", StartsPerSecond, StartBurst)
)

// start says why a start is not looked at; "" if it is. waiting is how many starts
// that were looked at, and runs, are not dealt with.
func (l *limits) start(m bus.Message, waiting int) string {
	switch {
	case waiting >= MaxWaiting:
		return tooMany
	case !l.starts.Take(stored(m)):
		return tooFast
	}
	return ""
}

// stored is when the stream stored a message, on a clock that begins anywhere.
func stored(m bus.Message) vtime.Time { return vtime.Time(m.Published.Sub(epoch)) }

// epoch keeps the times of two centuries apart by nanoseconds.
var epoch = time.Unix(0, 0)

// fits says whether the opening of a run goes into a message.
func fits(run string, start event.RunStarted) error {
	data, err := wire.Encode(event.Event{Run: run, Source: event.SourceReplayer, Seq: 1, Version: start.Schema, Body: start})
	if err != nil {
		return err
	}
	if most := bus.MaxMessage - bus.MaxHeaders; len(data) > most {
		return fmt.Errorf("the resolved experiment has %d bytes, of which one message carries %d: it has %d nodes, so give them shorter names or take fewer", len(data), most, len(start.Spec.Nodes))
	}
	return nil
}
