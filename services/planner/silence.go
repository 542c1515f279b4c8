package planner

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/heartbeat"
)

// rollBook lists the nodes of a run whose workers are expected to beat.
type rollBook struct {
	mu    sync.Mutex
	since map[string]time.Time // wall time
}

func newRollBook() *rollBook { return &rollBook{since: make(map[string]time.Time)} }

// take follows the fleet as the planner's core sees it.
func (r *rollBook) take(ev event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch b := ev.Body.(type) {
	case event.InstanceAcquired:
		for _, i := range b.Instances {
			r.since[i.Node] = time.Now()
		}
	case event.WorkerJoined:
		r.since[ev.Source] = time.Now()
	case event.InstanceLost:
		for _, n := range b.Nodes {
			delete(r.since, n)
		}
	case event.WorkerSilent:
		for _, n := range b.Nodes {
			delete(r.since, n)
		}
	}
}

// expected lists the nodes, with when each was last known to be there.
func (r *rollBook) expected() map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.since)
}

// sayWhoIsSilent publishes the verdict on workers that do not beat. It acts when
// the planner reads it back. A verdict that is passed twice counts once.
func (s *service) sayWhoIsSilent(ctx context.Context, log *slog.Logger, r actor.Started, l actor.Leadership, pace clock.Clock, here *rollBook) {
	tick := time.NewTicker(heartbeat.Every)
	defer tick.Stop()
	for n := uint64(1); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		silent := s.watch.Silent(here.expected())
		if len(silent) == 0 {
			continue
		}
		slices.SortFunc(silent, topology.CompareNodes)
		log.Warn("go on without silent workers", "nodes", silent, "silent_after", s.SilentAfter)
		err := actor.Publish(ctx, stored{s.Bus}, event.Event{
			Run: r.Run, Source: event.SourcePlanner + "/watch", Seq: n, Time: max(0, pace.Now()), Version: r.Start.Schema,
			Term: l.Term(), Body: event.WorkerSilent{Nodes: silent},
		})
		if err != nil && ctx.Err() == nil {
			log.Warn("the verdict on silent workers is not published; it is passed again", "error", err)
		}
		n++
	}
}

// stored is a publisher that waits until each message is stored: its errors are
// of its own messages, and leave those of others to be heard by others.
type stored struct{ bus.Publisher }

// Publish implements bus.Publisher.
func (p stored) Publish(ctx context.Context, m bus.Outgoing) error {
	_, err := p.PublishWait(ctx, m)
	return err
}
