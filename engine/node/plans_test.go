package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/topology"
)

// TestWhatIsKept: the context of this plan and of the one before, and nothing else.
func TestWhatIsKept(t *testing.T) {
	s := newSite(t, tiny())
	for i := range 4 {
		s.start(fmt.Sprintf("node-%d", i))
	}
	all := s.ask(3)
	holds := func(node string, weights, cache bool) {
		t.Helper()
		stats := s.nodes[node].Stats()
		if (stats.WeightBytes > 0) != weights || (stats.CacheBytes > 0) != cache {
			t.Errorf("epoch %d: %s holds %+v, wanted: weights %t, cache %t", s.epoch, node, stats, weights, cache)
		}
	}
	s.reshape(shape(1, 2, 1), devices(0, 1, 2))
	s.decode(3)
	holds("node-0", true, true)
	holds("node-2", false, false)
	s.reshape(shape(1, 2, 1), devices(2, 1, 2))
	holds("node-0", true, true) // others may still fetch from it
	s.decode(1)
	s.reshape(shape(1, 2, 1), devices(2, 1, 2))
	s.settled("node-0")
	holds("node-0", false, false)
	if stats := s.nodes["node-2"].Stats(); stats.WeightBytes != s.half(0) {
		t.Errorf("node-2 holds %d bytes of weights, its stage has %d", stats.WeightBytes, s.half(0))
	}
	s.decode(30)
	s.mustBeRight(all)
	s.nodes["node-2"].Do(engineop.Clear{})
	for s.nodes["node-2"].Stats().UsedBytes > 0 {
		time.Sleep(time.Millisecond)
	}
}

// settled waits until a node has all of the present plan.
func (s *site) settled(name string) {
	s.t.Helper()
	s.await(name+" has its context", func(f fact) bool {
		b, ok := f.body.(engineop.ContextLanded)
		return ok && f.node == name && b.Epoch == s.at()
	})
}

// half is the weights of a stage of two.
func (s *site) half(stage int) (n int64) {
	g := s.geometry()
	for id := range cells(g.Region(shape(1, 2, 1), topology.DevicePosition{Pipeline: stage})) {
		n += s.config.BlobBytes(id)
	}
	return n
}
