package draw_test

import (
	"math"
	"testing"

	"github.com/spotserve/spotserve/core/draw"
)

func TestStreamDependsOnSeedAndPurposeAlone(t *testing.T) {
	first := draw.Stream(7, "jitter/1")
	a := []uint64{first.Uint64(), first.Uint64()}
	// Draws for other purposes in between shift nothing.
	draw.Normal(7, "jitter/2")
	draw.Stream(8, "jitter/1").Uint64()
	second := draw.Stream(7, "jitter/1")
	for i, want := range a {
		if got := second.Uint64(); got != want {
			t.Errorf("draw %d is %x, then %x", i, want, got)
		}
	}
	if draw.Normal(7, "jitter/1") != draw.Normal(7, "jitter/1") {
		t.Error("the same draw differs")
	}
}

// TestStreamIsPinned: logs of the same seed are equal across versions only while
// the draws are.
func TestStreamIsPinned(t *testing.T) {
	for _, tt := range []struct {
		seed    uint64
		purpose string
		want    uint64
	}{
		{0, "", 0x774bcacf78345581},
		{1, "arrivals", 0xbbe4e44c8afab3cd},
		{1, "jitter/1.1/0/1", 0x51cbcd8041c362af},
		{2, "jitter/1.1/0/1", 0x404b4b3a239f59b9},
	} {
		if got := draw.Stream(tt.seed, tt.purpose).Uint64(); got != tt.want {
			t.Errorf("(%d, %q) draws %#x, want %#x", tt.seed, tt.purpose, got, tt.want)
		}
	}
}

// TestNeighboursAreUnrelated draws for neighbouring seeds and purposes: mean 0,
// deviation 1, and no correlation between a draw and its neighbours'.
func TestNeighboursAreUnrelated(t *testing.T) {
	const n = 20_000
	var sum, squares, bySeed, byPurpose float64
	for i := range uint64(n) {
		x := draw.Normal(i, "p")
		sum += x
		squares += x * x
		bySeed += x * draw.Normal(i+1, "p")
		byPurpose += x * draw.Normal(i, "q")
	}
	// Four standard errors of a mean of n draws.
	tolerance := 4 / math.Sqrt(n)
	for what, got := range map[string]float64{
		"mean": sum / n, "variance less 1": (squares/n - 1) / math.Sqrt2,
		"correlation of neighbouring seeds": bySeed / n, "correlation of purposes": byPurpose / n,
	} {
		if math.Abs(got) > tolerance {
			t.Errorf("%s is %.4f, want 0 within %.4f", what, got, tolerance)
		}
	}
}

// TestNumberedDraws are pinned and unrelated like the others.
func TestNumberedDraws(t *testing.T) {
	const n = 20_000
	var sum, squares, byFirst, byLast, bySeed float64
	for i := range uint64(n) {
		x := draw.NormalAt(1, "p", i, 7)
		sum += x
		squares += x * x
		byFirst += x * draw.NormalAt(1, "p", i+1, 7)
		byLast += x * draw.NormalAt(1, "p", i, 8)
		bySeed += x * draw.NormalAt(2, "p", i, 7)
	}
	tolerance := 4 / math.Sqrt(n)
	for what, got := range map[string]float64{
		"mean": sum / n, "variance less 1": (squares/n - 1) / math.Sqrt2,
		"correlation by the first number": byFirst / n, "by the last": byLast / n, "by the seed": bySeed / n,
	} {
		if math.Abs(got) > tolerance {
			t.Errorf("%s is %.4f, want 0 within %.4f", what, got, tolerance)
		}
	}
	for _, other := range []float64{
		draw.NormalAt(1, "q", 3, 7), draw.NormalAt(1, "p", 7, 3), draw.NormalAt(1, "p", 3), draw.NormalAt(1, "p", 3, 7, 0),
	} {
		if other == draw.NormalAt(1, "p", 3, 7) {
			t.Error("draws for different purposes are equal")
		}
	}
}

// TestNumberedDrawsArePinned, as the streams are.
func TestNumberedDrawsArePinned(t *testing.T) {
	if got := draw.NormalAt(1, "stretch", 1, 2, 0, 3); got != 0.09454166968857466 {
		t.Errorf("the draw is %v", got)
	}
	if got := draw.NormalAt(0, ""); got != 0.5469604317240203 {
		t.Errorf("the draw without numbers is %v", got)
	}
}
