// Package heartbeat tells which workers are alive.
//
// A worker process beats while it lives; a process that is stopped or cut off
// does not. Nobody can tell a slow worker from a dead one, so silence is a
// verdict, not a fact: whoever passes it makes sure that a worker that was only
// slow does no harm (platform/actor).
package heartbeat

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// Every is the time between two beats of a worker, in wall time.
const Every = time.Second

// The subjects of heartbeats: of a worker, one for each node that it stands for.
// Until version 2 of the schema one without a node named them all in its text. The
// watch beats too: who does not hear itself hears nobody.
const (
	workers = "spot.signal.heartbeat.worker"
	watches = "spot.signal.heartbeat.watch"
)

// Filter matches all heartbeats, and WatchSubject is where watches beat.
const (
	Filter       = "spot.signal.heartbeat.>"
	WatchSubject = watches
)

// Subject is where the worker of a node beats; "*" is every node.
func Subject(node string) string { return workers + "." + wire.NodeToken(node) }

// allNodes stands for every node of a run, as for a worker.
const allNodes = "*"

// Beat says that the workers of nodes live, until the context ends. Where old says
// so it beats in the way of version 1 too: a planner of that version hears no other.
func Beat(ctx context.Context, b bus.Signaller, log *slog.Logger, nodes []string, old func() bool) error {
	beat(ctx, func() error {
		var lost error
		for _, node := range nodes {
			lost = errors.Join(lost, b.Signal(ctx, Subject(node), nil))
		}
		if old() {
			lost = errors.Join(lost, b.Signal(ctx, workers, []byte(strings.Join(nodes, " "))))
		}
		return lost
	}, log)
	return ctx.Err()
}

func beat(ctx context.Context, once func() error, log *slog.Logger) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		if err := once(); err != nil && ctx.Err() == nil {
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
	sub, err := w.bus.Listen(ctx, Filter)
	if err != nil {
		return err
	}
	defer sub.Stop()
	var beating sync.WaitGroup
	defer beating.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	beating.Go(func() {
		beat(ctx, func() error { return w.bus.Signal(ctx, watches, []byte(w.name)) }, w.log)
	})
	for m := range sub.C() {
		w.take(m)
	}
	return sub.Err()
}

func (w *Watch) take(m bus.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if token, ok := strings.CutPrefix(m.Subject, workers+"."); ok {
		if node, ok := wire.NodeOfToken(token); ok {
			w.heard[node] = now
		}
		return
	}
	if m.Subject == workers {
		for node := range strings.FieldsSeq(string(m.Data)) {
			w.heard[node] = now
		}
		return
	}
	if m.Subject != watches || string(m.Data) != w.name {
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
