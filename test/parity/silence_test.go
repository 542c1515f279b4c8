package parity

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/invariant"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/services/planner"
)

// TestRunGoesOnWithoutSilentWorker: a worker that leads a pipeline falls silent
// half a wall minute after the run's start. What it says from then on reaches
// the stream seconds later, or never.
func TestRunGoesOnWithoutSilentWorker(t *testing.T) {
	for name, silence := range map[string]time.Duration{
		"for a while": 8 * time.Second,
		"for good":    24 * time.Hour,
	} {
		for _, approach := range catalog.Approaches() {
			t.Run(name+" "+approach, func(t *testing.T) {
				t.Parallel()
				start := scene{model: "20B", trace: "As", seed: 1, timeScale: 20}.start(approach)
				whole := simulate(t, "e2e-1", start)
				silent := leader(t, whole)
				c := cast{workers: oneEach(t, start), over: func(b bus.Bus, _ string, nodes []string) bus.Bus {
					if slices.Contains(nodes, silent) {
						return &mutedBus{Bus: b, after: 30 * time.Second, length: silence}
					}
					return b
				}}
				events, took := c.play(t, start)
				totals := finished(t, events)
				if silence < time.Hour && totals.LateFacts == 0 {
					t.Error("what a worker says after its silence counts as being in time")
				}
				if totals.Lost != 0 || totals.Duplicated != 0 || totals.Accepted != totals.Completed+totals.UnfinishedAtEnd {
					t.Errorf("%d accepted, %d completed, %d unfinished, %d lost, %d duplicated",
						totals.Accepted, totals.Completed, totals.UnfinishedAtEnd, totals.Lost, totals.Duplicated)
				}
				if arrived := finished(t, whole).Accepted; totals.Accepted != arrived || totals.Completed == 0 {
					t.Errorf("%d requests arrived, %d were accepted, %d completed", arrived, totals.Accepted, totals.Completed)
				}
				// 1320 s at this scale, and the waits: one for each time that the
				// worker falls silent.
				if took > 66*time.Second+3*planner.DefaultReorderWait {
					t.Errorf("the run took %s", took)
				}
				check := invariant.NewChecker()
				for _, ev := range events {
					check.Take(ev)
				}
				if err := check.Err(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// leader names a node that leads a pipeline of a run's first configuration.
func leader(t *testing.T, events []event.Event) string {
	t.Helper()
	for _, ev := range events {
		if chosen, ok := ev.Body.(event.ConfigChosen); ok {
			return chosen.Pipelines[0].Leader
		}
	}
	t.Fatal("the run has no configuration")
	return ""
}

// mutedBus keeps what is published to it from the stream for a stretch of wall
// time that begins after the first message.
type mutedBus struct {
	bus.Bus
	after, length time.Duration

	mu    sync.Mutex
	first time.Time
	held  []bus.Outgoing
}

func (b *mutedBus) Publish(ctx context.Context, m bus.Outgoing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first.IsZero() {
		b.first = time.Now()
	}
	b.held = append(b.held, m)
	if muted := time.Since(b.first) - b.after; 0 <= muted && muted < b.length {
		if len(b.held) == 1 {
			time.AfterFunc(b.length-muted, func() {
				b.mu.Lock()
				defer b.mu.Unlock()
				_ = b.letGo(ctx) // fails when the run is over
			})
		}
		return nil
	}
	return b.letGo(ctx)
}

// letGo publishes what is held, in order.
func (b *mutedBus) letGo(ctx context.Context) error {
	for len(b.held) > 0 {
		if err := b.Bus.Publish(ctx, b.held[0]); err != nil {
			return err
		}
		b.held = b.held[1:]
	}
	return nil
}
