package idset_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/spotserve/spotserve/core/internal/idset"
)

// TestSetAgreesWithAMap adds numbers from far and near, some twice.
func TestSetAgreesWithAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s idset.Set
	twin := make(map[uint64]bool)
	for range 20_000 {
		id := r.Uint64N(10_000)
		if r.IntN(4) == 0 {
			id = math.MaxUint64 - r.Uint64N(1<<uint(r.IntN(40)))
		}
		if got := s.Has(id); got != twin[id] {
			t.Fatalf("Has(%d) is %t", id, got)
		}
		if r.IntN(5) == 0 {
			s.Remove(id)
			delete(twin, id)
		}
		if r.IntN(2) == 0 {
			if got := s.Add(id); got == twin[id] {
				t.Fatalf("Add(%d) says that it is new: %t", id, got)
			}
			twin[id] = true
		}
	}
}
