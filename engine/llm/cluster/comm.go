package cluster

import (
	"context"
	"fmt"

	"github.com/spotserve/spotserve/engine/llm"
)

// Comms joins size ranks of this process, a power of two. After an error of one
// of them all are to be thrown away: what others had sent is still under way.
func Comms(size int) []llm.Comm {
	links := make([][]chan []float32, size) // [from][to]
	for from := range links {
		links[from] = make([]chan []float32, size)
		for to := range links[from] {
			links[from][to] = make(chan []float32, 1)
		}
	}
	out := make([]llm.Comm, size)
	for rank := range out {
		out[rank] = &comm{rank: rank, links: links, outbox: make([]outbox, size)}
	}
	return out
}

type comm struct {
	rank   int
	links  [][]chan []float32
	outbox []outbox // by peer
}

// outbox has two copies of what was sent: when the third is sent, the peer has
// answered the second, for which it was done with the first.
type outbox struct {
	copies [2][]float32
	turn   int
}

func (c *comm) Rank() int { return c.rank }
func (c *comm) Size() int { return len(c.links) }

// Sum exchanges with the rank that differs in one bit, lowest first: ranks of a
// subtree have its sum when they exchange with the subtree beside it.
func (c *comm) Sum(ctx context.Context, x []float32) error {
	for bit := 1; bit < c.Size(); bit *= 2 {
		peer := c.rank ^ bit
		if err := c.send(ctx, peer, x); err != nil {
			return err
		}
		other, err := c.receive(ctx, peer)
		if err != nil {
			return err
		}
		if len(other) != len(x) {
			return fmt.Errorf("cluster: rank %d sums %d elements, rank %d %d", c.rank, len(x), peer, len(other))
		}
		for i, v := range other {
			x[i] += v
		}
	}
	return nil
}

func (c *comm) Gather(ctx context.Context, out, part []float32) error {
	for peer := range c.Size() {
		if peer != c.rank {
			if err := c.send(ctx, peer, part); err != nil {
				return err
			}
		}
	}
	at := 0
	for peer := range c.Size() {
		theirs := part
		if peer != c.rank {
			var err error
			if theirs, err = c.receive(ctx, peer); err != nil {
				return err
			}
		}
		if at+len(theirs) > len(out) {
			return fmt.Errorf("cluster: rank %d gathers more than %d elements", c.rank, len(out))
		}
		at += copy(out[at:], theirs)
	}
	if at != len(out) {
		return fmt.Errorf("cluster: rank %d gathered %d elements, wants %d", c.rank, at, len(out))
	}
	return nil
}

func (c *comm) send(ctx context.Context, peer int, x []float32) error {
	box := &c.outbox[peer]
	copied := &box.copies[box.turn]
	*copied = append((*copied)[:0], x...)
	box.turn = 1 - box.turn
	select {
	case c.links[c.rank][peer] <- *copied:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *comm) receive(ctx context.Context, peer int) ([]float32, error) {
	select {
	case x := <-c.links[peer][c.rank]:
		return x, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
