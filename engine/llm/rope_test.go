package llm

import (
	"math"
	"testing"

	"github.com/spotserve/spotserve/engine/model"
)

// TestRopeTables against the standard library, to the rounding of float32.
func TestRopeTables(t *testing.T) {
	for _, c := range []model.Config{
		{HeadDim: 64, Rope: model.Rope{Theta: 10000}},
		{HeadDim: 128, Rope: model.Rope{Theta: 500000}},
		{HeadDim: 6, Rope: model.Rope{Theta: 1}},
	} {
		r := newRope(c)
		r.extend(ropeBlock + 1)
		if len(r.cos) != 2 {
			t.Fatalf("%d blocks for %d positions", len(r.cos), ropeBlock+1)
		}
		for _, position := range []int{0, 1, 255, 256, 511} {
			cos, sin := r.at(position)
			for i := range c.HeadDim / 2 {
				s, k := math.Sincos(float64(position) * math.Pow(c.Rope.Theta, -2*float64(i)/float64(c.HeadDim)))
				if math.Abs(s-float64(sin[i])) > 1e-7 || math.Abs(k-float64(cos[i])) > 1e-7 {
					t.Errorf("theta %g, position %d, pair %d: (%g, %g), want (%g, %g)", c.Rope.Theta, position, i, cos[i], sin[i], k, s)
				}
			}
		}
	}
}

// TestRopeIsPinned: the tables are the same on every platform.
func TestRopeIsPinned(t *testing.T) {
	c := model.Config{HeadDim: 64, Rope: model.Rope{Theta: 500000, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 64}}
	r := newRope(c)
	r.extend(1000)
	h := uint64(0)
	for block := range r.cos {
		for i := range r.cos[block] {
			h = mix(h ^ uint64(math.Float32bits(r.cos[block][i]))<<32 ^ uint64(math.Float32bits(r.sin[block][i])))
		}
	}
	if h != 0x3eb1995cc5ae9349 {
		t.Errorf("the tables hash to %#x", h)
	}
}
