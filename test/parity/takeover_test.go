package parity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// TestPlannerIsReplacedAnywhere: a planner dies after any number of messages,
// often with only a part of what one step said, and then its successor does.
// The last one finishes the run, and nothing tells it from a run with one
// planner.
func TestPlannerIsReplacedAnywhere(t *testing.T) {
	for _, approach := range catalog.Approaches() {
		start := scenes[0].start(approach)
		said := plannerMessages(t, start)
		for i := range 8 {
			first := 1 + said*i/8
			second := 1 + (said-first)*(i%3)/3
			t.Run(fmt.Sprintf("%s after %d and %d", approach, first, second), func(t *testing.T) {
				t.Parallel()
				mustEqualVirtual(t, cast{planners: []func(bus.Bus) bus.Bus{dies(first), dies(second), lives}}, start)
			})
		}
	}
}

// TestPlannerThatWakesUpIsVoid: a planner is stopped in the midst of a message
// until long after another was elected, and then says what it had to say.
func TestPlannerThatWakesUpIsVoid(t *testing.T) {
	start := scenes[0].start("spotserve")
	said := plannerMessages(t, start)
	for i := range 8 {
		after := 1 + said*i/8
		t.Run(fmt.Sprintf("after %d", after), func(t *testing.T) {
			t.Parallel()
			mustEqualVirtual(t, cast{planners: []func(bus.Bus) bus.Bus{sleeps(after), lives}}, start)
		})
	}
}

// plannerMessages counts what a planner publishes in a run.
func plannerMessages(t *testing.T, start event.StartExperiment) (n int) {
	t.Helper()
	for _, ev := range simulate(t, "e2e-1", start) {
		if subject, err := wire.Subject(ev); err == nil && (bus.Match(wire.PlanFilter("e2e-1"), subject) ||
			bus.Match(wire.CommandFilter("e2e-1", "*"), subject) || bus.Match(wire.TimerFilter("e2e-1"), subject)) {
			n++
		}
	}
	return n
}

func lives(b bus.Bus) bus.Bus { return b }

var errDead = errors.New("this process is dead")

// dies lets n messages through; then nothing more.
func dies(n int) func(bus.Bus) bus.Bus {
	return func(b bus.Bus) bus.Bus { return &mortalBus{Bus: b, left: n} }
}

type mortalBus struct {
	bus.Bus
	mu   sync.Mutex
	left int
}

// spend is called for each message.
func (b *mortalBus) spend(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left <= 0 {
		return errDead
	}
	b.left -= n
	return nil
}

func (b *mortalBus) Publish(ctx context.Context, m bus.Outgoing) error {
	if err := b.spend(1); err != nil {
		return err
	}
	return b.Bus.Publish(ctx, m)
}

func (b *mortalBus) PublishWait(ctx context.Context, m bus.Outgoing) (uint64, error) {
	if err := b.spend(1); err != nil {
		return 0, err
	}
	return b.Bus.PublishWait(ctx, m)
}

func (b *mortalBus) Append(ctx context.Context, m bus.Outgoing, last uint64) (uint64, error) {
	if err := b.spend(0); err != nil {
		return 0, err
	}
	return b.Bus.Append(ctx, m, last)
}

func (b *mortalBus) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := b.spend(0); err != nil {
		return 0, err
	}
	return b.Bus.Put(ctx, key, value, revision)
}

func (b *mortalBus) Signal(ctx context.Context, subject string, data []byte) error {
	if err := b.spend(0); err != nil {
		return err
	}
	return b.Bus.Signal(ctx, subject, data)
}

// sleeps lets n messages through. The next one takes 20 s of wall time, and so
// does all else that the process does meanwhile.
func sleeps(n int) func(bus.Bus) bus.Bus {
	return func(b bus.Bus) bus.Bus { return &sleepyBus{Bus: b, left: n, awake: make(chan struct{}, 1)} }
}

type sleepyBus struct {
	bus.Bus
	awake chan struct{} // full while it sleeps; a bubble's time stands still for a mutex
	left  int
}

func (b *sleepyBus) nap(n int) {
	b.awake <- struct{}{}
	if b.left -= n; b.left == 0 && n > 0 {
		time.Sleep(20 * time.Second)
	}
	<-b.awake
}

func (b *sleepyBus) Publish(ctx context.Context, m bus.Outgoing) error {
	b.nap(1)
	return b.Bus.Publish(context.WithoutCancel(ctx), m)
}

func (b *sleepyBus) PublishWait(ctx context.Context, m bus.Outgoing) (uint64, error) {
	b.nap(1)
	return b.Bus.PublishWait(context.WithoutCancel(ctx), m)
}

func (b *sleepyBus) Append(ctx context.Context, m bus.Outgoing, last uint64) (uint64, error) {
	b.nap(1)
	return b.Bus.Append(context.WithoutCancel(ctx), m, last)
}

func (b *sleepyBus) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	b.nap(0)
	return b.Bus.Put(ctx, key, value, revision)
}

func (b *sleepyBus) Signal(ctx context.Context, subject string, data []byte) error {
	b.nap(0)
	return b.Bus.Signal(ctx, subject, data)
}
