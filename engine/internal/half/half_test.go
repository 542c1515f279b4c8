package half_test

import (
	"math"
	"testing"

	"github.com/spotserve/spotserve/engine/internal/half"
)

// TestHalf takes every half there is through both directions, and rounds what
// lies between.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		v := half.From(uint16(h))
		if v != v {
			if back := half.To(v); back&0x7c00 != 0x7c00 || back&0x3ff == 0 {
				t.Errorf("%#x is no number, %#x comes back", h, back)
			}
			continue
		}
		if back := half.To(v); back != uint16(h) {
			t.Errorf("%#x is %g, which is written as %#x", h, v, back)
		}
		next := half.From(uint16(h + 1))
		if h&0x7fff >= 0x7bff || next != next {
			continue
		}
		// Half way between neighbours, the even one is taken; a little off, the nearer.
		middle := (v + next) / 2
		even := uint16(h + h&1)
		if got := half.To(middle); got != even {
			t.Errorf("half way from %#x is written as %#x, want %#x", h, got, even)
		}
		if got := half.To(math.Nextafter32(middle, v)); got != uint16(h) {
			t.Errorf("just before half way from %#x is written as %#x", h, got)
		}
		if got := half.To(math.Nextafter32(middle, next)); got != uint16(h+1) {
			t.Errorf("just after half way from %#x is written as %#x", h, got)
		}
	}
	if half.From(0x3c00) != 1 || half.From(0xc000) != -2 || half.From(0x7bff) != 65504 || half.From(1) != 1.0/(1<<24) {
		t.Error("known halves are read wrongly")
	}
}
