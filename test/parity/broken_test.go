package parity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/invariant"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/worker"
)

var errAway = errors.New("nobody stored it in time")

// loses has the nth message, and those behind it in the window, not stored, as a
// bus does whose server is away for too long. Then it works again.
func loses(n, window int) func(bus.Bus) bus.Bus {
	return func(b bus.Bus) bus.Bus { return &lossyBus{Bus: b, until: n, window: window} }
}

type lossyBus struct {
	bus.Bus
	mu            sync.Mutex
	until, window int
	failed        error // that nobody was told of
}

func (b *lossyBus) Publish(ctx context.Context, m bus.Outgoing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until--
	if b.until < 0 && b.until >= -b.window {
		b.failed = errAway
		if b.until > -b.window {
			return nil
		}
	}
	if err := b.failed; err != nil {
		b.until, b.failed = -b.window-1, nil
		return err
	}
	return b.Bus.Publish(ctx, m)
}

func (b *lossyBus) Flush(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failed; err != nil {
		b.until, b.failed = -b.window-1, nil
		return err
	}
	return b.Bus.Flush(ctx)
}

// TestPlannerLeadsAnew: what it said last is not stored, and nothing tells the
// run from one where it was.
func TestPlannerLeadsAnew(t *testing.T) {
	start := scenes[0].start("spotserve")
	said := plannerMessages(t, start)
	for i := range 6 {
		after := 1 + said*i/6
		t.Run(fmt.Sprintf("after %d", after), func(t *testing.T) {
			t.Parallel()
			mustEqualVirtual(t, cast{planners: []func(bus.Bus) bus.Bus{loses(after, 1+i%3)}}, start)
		})
	}
}

// TestWorkersJoinAgainWhenTheyAreCutOff: the last facts of a process are not
// stored, of one node or of all those that it stands for. They come back with
// nothing, and no request is lost.
func TestWorkersJoinAgainWhenTheyAreCutOff(t *testing.T) {
	start := scene{model: "20B", trace: "As", seed: 1, timeScale: 20}.start("spotserve")
	node := leader(t, simulate(t, "e2e-1", start))
	for name, c := range map[string]cast{
		"one after 3":         {workers: oneEach(t, start), over: of(node, loses(3, 2))},
		"one after 60":        {workers: oneEach(t, start), over: of(node, loses(60, 2))},
		"all after 300":       {over: of(worker.AllNodes, loses(300, 8))},
		"all after 900":       {over: of(worker.AllNodes, loses(900, 12))},
		"all after 901, many": {over: of(worker.AllNodes, loses(901, 40))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, _ := c.play(t, start)
			totals := finished(t, events)
			if totals.Lost != 0 || totals.Duplicated != 0 || totals.Accepted != totals.Completed+totals.UnfinishedAtEnd {
				t.Errorf("%+v", totals)
			}
			if totals.Completed < totals.Accepted*3/4 {
				t.Errorf("of %d requests only %d are completed", totals.Accepted, totals.Completed)
			}
			check, joined := invariant.NewChecker(), false
			for _, ev := range events {
				check.Take(ev)
				_, again := ev.Body.(event.WorkerJoined)
				joined = joined || again && ev.Source == node
			}
			if err := check.Err(); err != nil {
				t.Error(err)
			}
			if !joined {
				t.Errorf("%s has not joined again", node)
			}
		})
	}
}

// TestPlannerIsDeposedByOneWithoutLease: a planner is stopped between its lease
// and its election, until long after another one leads, and has itself elected
// all the same. The one with the lease leads anew.
func TestPlannerIsDeposedByOneWithoutLease(t *testing.T) {
	dozes := func(b bus.Bus) bus.Bus { return &dozingBus{Bus: b, asleep: make(chan struct{}, 1)} }
	mustEqualVirtual(t, cast{planners: []func(bus.Bus) bus.Bus{dozes, lives}}, scene{model: "20B", trace: "As", seed: 1, timeScale: 20}.start("spotserve"))
}

// dozingBus sleeps before the first look for an election, and heeds no context
// until it has had itself elected.
type dozingBus struct {
	bus.Bus
	asleep         chan struct{} // full while it sleeps
	slept, elected atomic.Bool
}

func (b *dozingBus) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	b.asleep <- struct{}{}
	defer func() { <-b.asleep }()
	return b.Bus.Put(ctx, key, value, revision)
}

func (b *dozingBus) Newest(ctx context.Context, s bus.Stream, filter string) (bus.Message, bool, error) {
	if filter == wire.ElectionFilter("e2e-1") && b.slept.CompareAndSwap(false, true) {
		b.asleep <- struct{}{}
		time.Sleep(20 * time.Second)
		<-b.asleep
		ctx = context.WithoutCancel(ctx)
	}
	return b.Bus.Newest(ctx, s, filter)
}

func (b *dozingBus) Append(ctx context.Context, m bus.Outgoing, last uint64) (uint64, error) {
	if b.elected.CompareAndSwap(false, true) {
		ctx = context.WithoutCancel(ctx)
	}
	return b.Bus.Append(ctx, m, last)
}
