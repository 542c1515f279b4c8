package node

import (
	"fmt"
	"testing"

	"github.com/spotserve/spotserve/core/topology"
)

// TestAnswersDoNotDependOnTheCluster: requests go on through one configuration
// after the other, and nothing is computed twice.
func TestAnswersDoNotDependOnTheCluster(t *testing.T) {
	for _, gpus := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d devices a node", gpus), func(t *testing.T) {
			s := newSite(t, tiny())
			for i := range 8 {
				s.start(fmt.Sprintf("node-%d", i))
			}
			all := s.ask(10)
			s.reshape(shape(1, 1, 1), devices(0, gpus, 1))
			s.decode(3)
			for i, c := range []topology.ParallelConfig{
				shape(1, 1, 2), shape(1, 2, 1), shape(1, 2, 2), shape(2, 1, 2), shape(1, 4, 1), shape(1, 1, 4), shape(2, 2, 2), shape(4, 1, 1), shape(1, 3, 2),
			} {
				s.reshape(c, devices(i%2, gpus, c.Devices()))
				s.decode(2)
			}
			s.decode(20)
			if s.recomputed != 0 {
				t.Errorf("%d positions were computed again, though all nodes lived", s.recomputed)
			}
			s.mustBeRight(all)
		})
	}
}
