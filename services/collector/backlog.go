package collector

import (
	"context"
	"time"

	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/alarm"
	"github.com/spotserve/spotserve/platform/bus"
)

// The pauses, in wall time, between looks at what waits in the streams, and
// between log lines about it.
const (
	backlogLook = 15 * time.Second
	backlogSay  = time.Minute
)

// alarm says that the store is away to whoever follows a run.
func (s *service) alarm(ctx context.Context) error {
	return alarm.Sound(ctx, s.Bus, s.Log, alarm.StoreAway, s.away.Load)
}

// backlog counts the messages that wait in the streams for their rows to be
// stored, and says so each minute while the store is away. It looks from
// outside: whoever waits for the store cannot count.
func (s *service) backlog(ctx context.Context) error {
	look := time.NewTicker(backlogLook)
	defer look.Stop()
	var said time.Time
	for {
		var waiting uint64
		var failed error
		for stream, durable := range map[bus.Stream]string{bus.Runs: access.CollectorRuns.Name, bus.Control: access.CollectorControl.Name} {
			n, err := s.Bus.Waiting(ctx, stream, durable)
			if err != nil {
				failed = err
			}
			waiting += n
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case failed != nil:
			s.Log.Debug("what waits in the streams is not known", "error", failed)
		default:
			s.metrics.lag.Set(float64(waiting))
			if away := s.away.Load(); away && time.Since(said) >= backlogSay {
				said = time.Now()
				s.Log.Warn("the store is away; messages wait in the streams", "messages", waiting)
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}
