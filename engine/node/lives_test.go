package node

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/topology"
)

// TestRandomLives: whatever the order in which nodes die, come back and are placed,
// the answers are the same, and nothing that a living node has is computed again.
func TestRandomLives(t *testing.T) {
	seeds, rounds := 3, 8
	if os.Getenv("SPOTSERVE_EXACTNESS") != "" {
		seeds, rounds = 40, 25
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { live(t, seed, rounds) })
	}
}

func live(t *testing.T, seed uint64, rounds int) {
	s := newSite(t, tiny())
	draws := uint64(0)
	below := func(n int) int {
		draws++
		return int(draw.Number(seed, "lives", draws) % uint64(n))
	}
	gpus := 1 + below(2)
	var all []topology.Device
	for i := range 6 {
		s.start(fmt.Sprintf("node-%d", i))
		all = append(all, devices(i, gpus, gpus)...)
	}
	shapes := []topology.ParallelConfig{
		shape(1, 1, 1), shape(1, 1, 2), shape(1, 1, 4), shape(1, 2, 1), shape(1, 2, 2), shape(1, 4, 1), shape(2, 1, 1), shape(2, 2, 1), shape(2, 1, 2), shape(1, 3, 2), shape(3, 1, 2), shape(1, 8, 1), shape(2, 2, 2),
	}
	requests := s.ask(4 + below(4))
	for range rounds {
		var dead []string
		for len(dead) < 2 && s.epoch > 0 && below(3) == 0 {
			name := fmt.Sprintf("node-%d", below(6))
			if s.nodes[name] == nil {
				continue
			}
			s.kill(name)
			if dead = append(dead, name); below(2) == 0 {
				s.start(name)
			}
		}
		alive := slices.DeleteFunc(slices.Clone(all), func(d topology.Device) bool { return s.nodes[d.Node] == nil })
		c := shapes[below(len(shapes))]
		for c.Devices() > len(alive) {
			c = shapes[below(len(shapes))]
		}
		for i := range alive { // in any order
			k := i + below(len(alive)-i)
			alive[i], alive[k] = alive[k], alive[i]
		}
		before := s.recomputed
		s.reshape(c, alive[:c.Devices()])
		if len(dead) == 0 && s.recomputed != before {
			t.Errorf("epoch %d: %d positions are computed again, and nobody had died", s.epoch, s.recomputed-before)
		}
		s.decode(1 + below(3))
		for _, name := range dead {
			if s.nodes[name] == nil {
				s.start(name)
			}
		}
	}
	s.decode(40)
	s.mustBeRight(requests)
}
