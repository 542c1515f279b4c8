package sim

import (
	"testing"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestScheduleAgreesWithItsNaiveTwin: a search through all actors.
func TestScheduleAgreesWithItsNaiveTwin(t *testing.T) {
	r := draw.Stream(1, "schedule")
	for n := 1; n <= 20; n++ {
		s := newSchedule(n)
		for step := range 500 {
			first := 0
			for i, due := range s.due {
				if due < s.due[first] {
					first = i
				}
			}
			if got := s.first(); got != first {
				t.Fatalf("%d actors, step %d: %d is first, want %d of %v", n, step, got, first, s.due)
			}
			due := vtime.Time(r.IntN(2 * n))
			if r.IntN(5) == 0 {
				due = vtime.Never
			}
			s.set(r.IntN(n), due)
		}
	}
}
