package llm

import (
	"context"
	"fmt"
)

// Comm joins the ranks of one stage. All of them call the same methods in the same
// order with vectors of the same length.
type Comm interface {
	Rank() int
	// Size is a power of two.
	Size() int
	// Sum replaces x on every rank by the sum over the ranks' x, element by
	// element in the order of the binary tree over ranks, ((0+1)+(2+3))+....
	Sum(ctx context.Context, x []float32) error
	// Gather puts the ranks' parts one after the other into out, on every rank.
	// Parts may differ in length; out is as long as all of them.
	Gather(ctx context.Context, out, part []float32) error
}

// Alone is the Comm of a stage of one rank.
type Alone struct{}

// Rank is 0.
func (Alone) Rank() int { return 0 }

// Size is 1.
func (Alone) Size() int { return 1 }

// Sum leaves x as it is.
func (Alone) Sum(context.Context, []float32) error { return nil }

// Gather copies part.
func (Alone) Gather(_ context.Context, out, part []float32) error {
	if len(out) != len(part) {
		return fmt.Errorf("llm: a part of %d elements is all that is gathered, not %d", len(part), len(out))
	}
	copy(out, part)
	return nil
}
