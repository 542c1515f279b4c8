package model_test

import (
	"math"
	"testing"

	"github.com/spotserve/spotserve/engine/model"
)

func TestFrequenciesArePowers(t *testing.T) {
	for _, theta := range []float64{1, 10000, 500000, 1e6} {
		for _, dim := range []int{2, 6, 64, 80, 96, 128, 256} {
			for i, got := range (model.Rope{Theta: theta}).Frequencies(dim) {
				want := math.Pow(theta, -2*float64(i)/float64(dim))
				if math.Abs(got/want-1) > 1e-14 {
					t.Errorf("theta %g, dim %d, pair %d: %g, want %g", theta, dim, i, got, want)
				}
			}
		}
	}
}

// TestFrequenciesArePinned: a power that rounds otherwise somewhere would change
// tokens there.
func TestFrequenciesArePinned(t *testing.T) {
	f := (model.Rope{Theta: 500000}).Frequencies(128)
	for i, want := range map[int]uint64{0: 0x3ff0000000000000, 1: 0x3fea115829457fbe, 31: 0x3f5c7181f3d9f60b, 63: 0x3ec4985fec80a8cb} {
		if got := math.Float64bits(f[i]); got != want {
			t.Errorf("pair %d: %#x, want %#x", i, got, want)
		}
	}
}

// TestFrequenciesAreScaledAsInLlama31 recomputes them by wavelength, as the
// published description of the model does.
func TestFrequenciesAreScaledAsInLlama31(t *testing.T) {
	r := model.Rope{Theta: 500000, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 8192}
	plain := model.Rope{Theta: 500000}.Frequencies(128)
	kinds := [3]int{}
	for i, got := range r.Frequencies(128) {
		wave := 2 * math.Pi / plain[i]
		want := plain[i]
		switch {
		case wave < 8192.0/4:
			kinds[0]++
		case wave > 8192.0/1:
			want /= 8
			kinds[1]++
		default:
			blend := (8192/wave - 1) / (4 - 1)
			want = (1-blend)*want/8 + blend*want
			kinds[2]++
		}
		if math.Abs(got/want-1) > 1e-14 {
			t.Errorf("pair %d: %g, want %g", i, got, want)
		}
	}
	for i, n := range kinds {
		if n == 0 {
			t.Errorf("no pair of kind %d was tried", i)
		}
	}
}
