// Package heartbeat tells which workers are alive.
//
// A worker process beats while it lives; a process that is stopped or cut off
// does not. Nobody can tell a slow worker from a dead one, so silence is a
// verdict, not a fact: whoever passes it makes sure that a worker that was only
// slow does no harm (platform/actor).
package heartbeat

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
)

// Every is the time between two beats of a worker, in wall time.
const Every = time.Second

// The subjects of heartbeats. The watch beats too: who does not hear itself
// hears nobody.
const (
	workers = "spot.signal.heartbeat.worker"
	watches = "spot.signal.heartbeat.watch"
)

// allNodes stands for every node of a run, as for a worker.
const allNodes = "*"

// Beat says that the workers of nodes live, until the context ends.
func Beat(ctx context.Context, b bus.Signaller, log *slog.Logger, nodes []string) error {
	beat(ctx, b, log, workers, strings.Join(nodes, " "))
	return ctx.Err()
}

func beat(ctx context.Context, b bus.Signaller, log *slog.Logger, subject, text string) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		if err := b.Signal(ctx, subject, []byte(text)); err != nil && ctx.Err() == nil {
			log.Debug("heartbeat lost", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Watch hears the heartbeats.
type Watch struct {
	bus   bus.Signaller
	log   *slog.Logger
	after time.Duration
	name  string

	mu    sync.Mutex
	heard map[string]time.Time // last, by node
	own   time.Time            // last beat of this watch that it heard
	deaf  time.Time            // until when it has not heard itself for long enough
}

// NewWatch returns a watch that finds a worker silent after the given wall time
// without a beat. name tells it from other watches.
func NewWatch(b bus.Signaller, log *slog.Logger, name string, after time.Duration) *Watch {
	return &Watch{bus: b, log: log, name: name, after: after, heard: make(map[string]time.Time), deaf: time.Now()}
}

// Run hears heartbeats until the context ends.
func (w *Watch) Run(ctx context.Context) error {
	return bus.Insist(ctx, w.log, w.listen)
}

func (w *Watch) listen(ctx context.Context) error {
	sub, err := w.bus.Listen(ctx, "spot.signal.heartbeat.>")
	if err != nil {
		return err
	}
	defer sub.Stop()
	var beating sync.WaitGroup
	defer beating.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	beating.Go(func() { beat(ctx, w.bus, w.log, watches, w.name) })
	for m := range sub.C() {
		w.take(m)
	}
	return sub.Err()
}

func (w *Watch) take(m bus.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if m.Subject == workers {
		for node := range strings.FieldsSeq(string(m.Data)) {
			w.heard[node] = now
		}
		return
	}
	if string(m.Data) != w.name {
		return
	}
	if now.Sub(w.own) > w.after/2 {
		// It was cut off, or has just begun: everybody gets the full time anew.
		w.deaf = now
	}
	w.own = now
}

// Silent lists those of nodes, watched since the given times, that nobody has
// heard of for too long.
func (w *Watch) Silent(nodes map[string]time.Time) (silent []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if now.Sub(w.own) > w.after/2 {
		return nil // not even itself
	}
	for node, since := range nodes {
		last := latest(since, w.deaf, w.heard[node], w.heard[allNodes])
		if now.Sub(last) > w.after {
			silent = append(silent, node)
		}
	}
	return silent
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}
