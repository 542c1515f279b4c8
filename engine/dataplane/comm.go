package dataplane

import (
	"context"
	"errors"
	"fmt"
)

// directBytes is up to which size all ranks send their vectors to all others: one
// trip instead of log2(ranks), for more bytes.
const directBytes = 64 << 10

// Comm is the collective communication of the ranks of a stage in one step. What
// it adds up has the same bits on every rank and however the ranks are placed: the
// sum is that of a binary tree over rank numbers, (0+1)+(2+3)+....
type Comm struct {
	mesh  *Mesh
	ranks []Peer
	rank  int
	step  Step
	next  uint32 // number of the next message
}

// Rank is this device's place among the ranks.
func (c *Comm) Rank() int { return c.rank }

// Size is the number of ranks.
func (c *Comm) Size() int { return len(c.ranks) }

// Sum replaces x on every rank by the sum of all ranks' x, which have the same
// length. Errors are those of Mesh.Recv, and ErrLength, which aborts the step.
func (c *Comm) Sum(ctx context.Context, x []float32) error {
	var err error
	switch {
	case len(c.ranks) == 1 || len(x) == 0:
		return nil
	case 4*len(x) <= directBytes:
		err = c.direct(ctx, x)
	default:
		err = c.doubling(ctx, x)
	}
	return c.failed("sum", err)
}

// direct exchanges all vectors and adds them up here.
func (c *Comm) direct(ctx context.Context, x []float32) error {
	parts, err := c.exchange(ctx, sum, x)
	defer release(parts)
	if err != nil {
		return err
	}
	vectors := make([][]float32, len(parts))
	for r, m := range parts {
		if r == c.rank {
			vectors[r] = x
			continue
		}
		if len(m.Rows) != len(x) {
			return fmt.Errorf("%w: rank %d adds %d values to %d", ErrLength, r, len(m.Rows), len(x))
		}
		vectors[r] = m.Rows
	}
	for stride := 1; stride < len(vectors); stride *= 2 {
		for r := 0; r < len(vectors); r += 2 * stride {
			c.add(vectors[r], vectors[r+stride])
		}
	}
	if c.rank != 0 {
		copy(x, vectors[0])
	}
	return nil
}

// doubling adds up pairs, then pairs of pairs, and so on. A rank has the sum of its
// subtree after each round.
func (c *Comm) doubling(ctx context.Context, x []float32) error {
	for stride := 1; stride < len(c.ranks); stride *= 2 {
		other, number := c.rank^stride, c.take()
		if err := c.send(ctx, other, sum, number, x); err != nil {
			return err
		}
		m, err := c.recv(ctx, other, sum, number)
		if err != nil {
			return err
		}
		if len(m.Rows) != len(x) {
			m.Release()
			return fmt.Errorf("%w: rank %d adds %d values to %d", ErrLength, other, len(m.Rows), len(x))
		}
		c.add(x, m.Rows)
		m.Release()
	}
	return nil
}

// add adds src to dst. a+b and b+a have the same bits, so the order of the tree's
// branches does not matter, only its shape.
func (c *Comm) add(dst, src []float32) { c.mesh.server.options.Add(dst, src) }

// Add adds src to dst, of the same length: the default of Options.Add.
func Add(dst, src []float32) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] += src[i]
	}
}

// Gather fills out with the parts of all ranks in their order; together they are
// as long as out. Errors are those of Sum.
func (c *Comm) Gather(ctx context.Context, out, part []float32) error {
	parts, err := c.exchange(ctx, gather, part)
	defer release(parts)
	if err != nil {
		return c.failed("gather", err)
	}
	at := 0
	for r, m := range parts {
		p := part
		if r != c.rank {
			p = m.Rows
		}
		if len(p) > len(out)-at {
			return c.failed("gather", fmt.Errorf("%w: rank %d has %d values, %d of %d are left", ErrLength, r, len(p), len(out)-at, len(out)))
		}
		at += copy(out[at:], p)
	}
	if at != len(out) {
		return c.failed("gather", fmt.Errorf("%w: %d values for %d", ErrLength, at, len(out)))
	}
	return nil
}

// exchange sends x to all other ranks and receives theirs, by rank.
func (c *Comm) exchange(ctx context.Context, tag Tag, x []float32) ([]*Message, error) {
	number := c.take()
	parts := make([]*Message, len(c.ranks))
	for r := range c.ranks {
		if r != c.rank {
			if err := c.send(ctx, r, tag, number, x); err != nil {
				return parts, err
			}
		}
	}
	for r := range c.ranks {
		if r != c.rank {
			m, err := c.recv(ctx, r, tag, number)
			if err != nil {
				return parts, err
			}
			parts[r] = m
		}
	}
	return parts, nil
}

func release(parts []*Message) {
	for _, m := range parts {
		if m != nil {
			m.Release()
		}
	}
}

func (c *Comm) take() uint32 {
	c.next++
	return c.next - 1
}

func (c *Comm) send(ctx context.Context, to int, tag Tag, number uint32, x []float32) error {
	return c.mesh.send(ctx, c.ranks[c.rank].Device, c.ranks[to], stepHead{step: c.step, tag: tag, number: number}, nil, x)
}

func (c *Comm) recv(ctx context.Context, from int, tag Tag, number uint32) (*Message, error) {
	return c.mesh.recv(ctx, address{c.ranks[c.rank].Device, c.ranks[from], c.step, tag, number})
}

// failed says where err came from. Ranks that disagree about lengths wait for each
// other for ever, unless the step is given up.
func (c *Comm) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s among %d ranks: %w", what, len(c.ranks), err)
	if errors.Is(err, ErrLength) {
		_ = c.mesh.Abort(c.ranks[c.rank].Device, c.step, err)
	}
	return err
}
