package parity

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
)

// slowly makes every delivery to a follower late by up to the given wall time,
// drawn for the seed. Each follower keeps its order.
func slowly(seed uint64, upTo time.Duration) func(bus.Bus, string, []string) bus.Bus {
	return func(b bus.Bus, service string, nodes []string) bus.Bus {
		return slowBus{Bus: b, seed: seed, name: fmt.Sprint(service, nodes), upTo: upTo}
	}
}

type slowBus struct {
	bus.Bus
	seed uint64
	name string
	upTo time.Duration
}

func (b slowBus) Follow(ctx context.Context, s bus.Stream, from bus.Position, filters ...string) (bus.Subscription, error) {
	inner, err := b.Bus.Follow(ctx, s, from, filters...)
	if err != nil {
		return nil, err
	}
	name := fnv.New64a()
	fmt.Fprint(name, b.name, filters)
	out := &slowSubscription{Subscription: inner, c: make(chan bus.Message)}
	go out.run(ctx, rand.New(rand.NewPCG(b.seed, name.Sum64())), b.upTo)
	return out, nil
}

type slowSubscription struct {
	bus.Subscription
	c chan bus.Message
}

func (s *slowSubscription) C() <-chan bus.Message { return s.c }

// late is a message that is on its way until due.
type late struct {
	bus.Message
	due time.Time
}

// run hands messages on. Many are on their way at once: what delays one does
// not add up behind it.
func (s *slowSubscription) run(ctx context.Context, draw *rand.Rand, upTo time.Duration) {
	defer close(s.c)
	var way []late
	in := s.Subscription.C()
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for in != nil || len(way) > 0 {
		var out chan<- bus.Message
		var next bus.Message
		if len(way) > 0 {
			next = way[0].Message
			if wait := time.Until(way[0].due); wait > 0 {
				wake.Reset(wait)
			} else {
				out = s.c
			}
		}
		select {
		case m, ok := <-in:
			if !ok {
				in = nil // an ended bus hands over what it delivered before
				if ctx.Err() != nil {
					return
				}
				continue
			}
			// Half of them are quick, so that readers are apart, not only late.
			delay := time.Duration(max(0, draw.Int64N(2*int64(upTo))-int64(upTo)))
			way = append(way, late{m, time.Now().Add(delay)})
		case out <- next:
			way = way[1:]
		case <-wake.C:
		case <-ctx.Done():
			return
		}
	}
}
