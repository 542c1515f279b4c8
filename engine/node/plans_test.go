package node

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
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

// TestWhatNobodyGoesOnWith: the cache of a request that no plan names, and no step,
// is kept for one plan more.
func TestWhatNobodyGoesOnWith(t *testing.T) {
	s := newSite(t, tiny())
	n := s.start("node-0")
	s.ask(2)
	s.reshape(shape(1, 1, 1), devices(0, 1, 1))
	s.decode(2)
	s.pipelines[0] = s.pipelines[0][:1] // the other one is nobody's any more
	for plan, want := range [][]uint64{{0, 1}, {0}} {
		s.reshape(shape(1, 1, 1), devices(0, 1, 1))
		if got := n.cache.Sequences(); !slices.Equal(got, want) {
			t.Errorf("%d plans later there is cache of %v, want %v", plan+1, got, want)
		}
	}
}

// TestPipelinesThatRunOn keep their mesh, their cache and their place in memory
// while another one is replaced.
func TestPipelinesThatRunOn(t *testing.T) {
	s := newSite(t, tiny())
	for i := range 6 {
		s.start(fmt.Sprintf("node-%d", i))
	}
	all := s.ask(4)
	s.reshape(shape(2, 2, 1), devices(0, 1, 4))
	s.decode(3)
	first := s.at()
	for n := range 3 {
		// Pipeline 1 moves to and fro; pipeline 0 goes on under its first epoch.
		s.replace(1, devices(4-2*(n%2), 1, 2))
		for range 2 {
			s.step++
			for pipeline, epoch := range map[int]event.Epoch{0: first, 1: s.at()} {
				s.advance(pipeline, epoch)
			}
		}
	}
	for s.open() != nil {
		s.step++
		s.advance(0, first)
		s.advance(1, s.at())
	}
	if s.recomputed != 0 {
		t.Errorf("%d positions were computed again", s.recomputed)
	}
	s.mustBeRight(all)
}

// replace moves one pipeline of two to other devices, and keeps the other.
func (s *site) replace(pipeline int, to []topology.Device) {
	s.t.Helper()
	s.epoch++
	g, old := s.geometry(), s.devices
	s.devices = slices.Clone(old)
	copy(s.devices[pipeline*2:], to)
	parts := make(map[string]*event.ApplyMigration)
	for name := range s.nodes {
		parts[name] = &event.ApplyMigration{Epoch: s.at(), Config: s.shape}
	}
	start := event.PipelineStart{Pipeline: pipeline}
	for rank, d := range s.devices {
		p := topology.Placement{Device: d, Position: topology.PositionOf(s.shape, rank)}
		part := parts[d.Node]
		part.Placements = append(part.Placements, p)
		if p.Position.Data != pipeline {
			part.Keep = append(part.Keep, p.Position.Data)
			continue
		}
		start.Devices = append(start.Devices, p)
		for cell := range cells(g.Region(s.shape, p.Position)) {
			for _, from := range holding(g, s.shape, old, cell)[:1] {
				part.Steps = append(part.Steps, migrate.Step{Kind: migrate.ModelContext, Layer: cell.Layer, Leaves: 1 << cell.Leaf, From: from, To: d})
			}
		}
		for _, from := range old[pipeline*2 : pipeline*2+2] {
			part.Steps = append(part.Steps, migrate.Step{Kind: migrate.CacheContext, Pipeline: pipeline, Layer: -1, From: from, To: d})
		}
	}
	for _, r := range s.pipelines[pipeline] {
		if !r.done() {
			start.Resume = append(start.Resume, event.AssignedRequest{Request: r.id, PromptTokens: len(r.prompt), Committed: len(r.output)})
		}
	}
	for i, d := range to {
		mine := start
		mine.Leader = i == 0
		parts[d.Node].Pipelines = append(parts[d.Node].Pipelines, mine)
	}
	for name, n := range s.nodes {
		n.Do(engineop.Reshape{Part: *parts[name]})
	}
	s.opened(pipeline)
}

// advance gets every open request of a pipeline a token.
func (s *site) advance(pipeline int, epoch event.Epoch) {
	s.t.Helper()
	op := engineop.Compute{Epoch: epoch, Pipeline: pipeline, Step: s.step}
	var members []*request
	for _, r := range s.pipelines[pipeline] {
		if !r.done() {
			members = append(members, r)
			op.Sequences = append(op.Sequences, engineop.Sequence{
				Request: r.id, Start: r.cached, Tokens: r.tokens()[r.cached:], Sample: true, Sampling: r.sampling,
			})
		}
	}
	if len(members) == 0 {
		return
	}
	s.nodes[s.devices[pipeline*s.shape.DevicesPerPipeline()].Node].Do(op)
	f := s.await("a step is computed", func(f fact) bool {
		b, ok := f.body.(engineop.Computed)
		return ok && b.Epoch == epoch && b.Pipeline == pipeline && b.Step == s.step
	})
	for i, token := range f.body.(engineop.Computed).Tokens {
		members[i].cached = len(members[i].tokens())
		members[i].output = append(members[i].output, token)
	}
}

// TestFetchedAhead: what is prepared does not move when the plan comes, but for the
// cache that was computed meanwhile; what does not come to pass is dropped.
func TestFetchedAhead(t *testing.T) {
	s := newSite(t, tiny())
	for i := range 4 {
		s.start(fmt.Sprintf("node-%d", i))
	}
	all := s.ask(2)
	s.reshape(shape(1, 1, 1), devices(0, 1, 1))
	s.decode(2)
	ahead := event.PrepareMigration{
		Config:     shape(1, 1, 1),
		Placements: []topology.Placement{{Device: topology.Device{Node: "node-1"}}},
		Resume:     []event.PreparedPipeline{{Requests: []event.RequestID{0, 1}}},
	}
	for layer := range s.config.Layers {
		ahead.Steps = append(ahead.Steps, migrate.Step{
			Kind: migrate.ModelContext, Layer: layer, Leaves: 1<<s.config.Leaves - 1, From: topology.Device{Node: "node-0"}, To: topology.Device{Node: "node-1"},
		})
	}
	ahead.Steps = append(ahead.Steps, migrate.Step{Kind: migrate.CacheContext, Layer: -1, From: topology.Device{Node: "node-0"}, To: topology.Device{Node: "node-1"}})
	for _, name := range []string{"node-1", "node-2"} {
		part := ahead
		part.Placements = []topology.Placement{{Device: topology.Device{Node: name}}}
		part.Steps = slices.Clone(ahead.Steps)
		for i := range part.Steps {
			part.Steps[i].To.Node = name
		}
		s.nodes[name].Do(engineop.Prepare{Part: part})
		for s.nodes[name].Stats().WeightBytes < s.config.WeightBytes() {
			time.Sleep(time.Millisecond)
		}
	}
	before := s.nodes["node-1"].Stats()
	if before.CacheBytes == 0 || before.LoadedBytes != 0 {
		t.Errorf("ahead came %+v", before)
	}
	s.decode(1)
	s.reshape(shape(1, 1, 1), devices(1, 1, 1))
	if after := s.nodes["node-1"].Stats().ReceivedBytes - before.ReceivedBytes; after == 0 || after > 2*s.config.KVBytesPerToken() {
		t.Errorf("%d bytes came with the plan, the cache of 2 tokens is %d", after, 2*s.config.KVBytesPerToken())
	}
	s.settled("node-2")
	if stats := s.nodes["node-2"].Stats(); stats.WeightBytes != 0 {
		t.Errorf("node-2 keeps %d bytes that no plan has there", stats.WeightBytes)
	}
	s.decode(30)
	if s.recomputed != 0 {
		t.Errorf("%d positions were computed again", s.recomputed)
	}
	s.mustBeRight(all)
}

// TestHalt: nothing is answered any more, the cache stays.
func TestHalt(t *testing.T) {
	s := newSite(t, tiny())
	for i := range 3 {
		s.start(fmt.Sprintf("node-%d", i))
	}
	all := s.ask(4)
	s.reshape(shape(1, 1, 2), devices(0, 1, 2))
	s.decode(3)
	op := engineop.Compute{Epoch: s.at(), Step: 1000}
	for _, r := range all {
		op.Sequences = append(op.Sequences, engineop.Sequence{Request: r.id, Start: r.cached, Tokens: r.tokens()[r.cached:], Sample: true})
	}
	s.nodes["node-0"].Do(op)
	s.nodes["node-0"].Do(engineop.Halt{Epoch: s.at()})
	s.reshape(shape(1, 2, 1), devices(1, 1, 2))
	if s.recomputed != 0 {
		t.Errorf("%d positions were computed again", s.recomputed)
	}
	s.decode(30)
	for _, f := range s.waiting {
		if b, ok := f.body.(engineop.ComputeFailed); ok {
			t.Errorf("%+v", b)
		}
	}
	s.mustBeRight(all)
}

// TestLateNodes: a pipeline opens when its last node has heard of the plan, and a
// plan that is older than the last is nobody's.
func TestLateNodes(t *testing.T) {
	s := newSite(t, tiny())
	for i := range 3 {
		s.start(fmt.Sprintf("node-%d", i))
	}
	all := s.ask(2)
	late := make(chan func(), 1)
	s.begin(shape(1, 1, 2), devices(0, 1, 2), func(node string, part *event.ApplyMigration) {
		if node == "node-1" {
			told := *part
			late <- func() { s.nodes["node-1"].Do(engineop.Reshape{Part: told}) }
			*part = event.ApplyMigration{} // older than any
		}
	})
	s.await("node-0 is up", func(f fact) bool { _, up := f.body.(engineop.StageUp); return up && f.node == "node-0" })
	time.Sleep(100 * time.Millisecond)
	for _, f := range s.waiting {
		if _, opens := f.body.(engineop.CacheLanded); opens {
			t.Error("the pipeline opens without its second rank")
		}
	}
	(<-late)()
	s.up()
	s.decode(3)
	for _, name := range []string{"node-0", "node-1"} {
		s.nodes[name].Do(engineop.Reshape{Part: event.ApplyMigration{Epoch: event.Epoch{N: 9}}}) // of a term before
	}
	s.decode(30)
	s.mustBeRight(all)
}

// TestRelease: the cache of requests that have ended goes on every rank, with the
// next step.
func TestRelease(t *testing.T) {
	s := newSite(t, tiny())
	for i := range 4 {
		s.start(fmt.Sprintf("node-%d", i))
	}
	all := s.ask(3)
	s.reshape(shape(1, 2, 2), devices(0, 1, 4))
	s.decode(30)
	last := &request{id: 9, prompt: []int32{1}, most: 1}
	s.nodes["node-0"].Do(engineop.Compute{
		Epoch: s.at(), Step: 1000, Release: []event.RequestID{0, 1, 2},
		Sequences: []engineop.Sequence{{Request: last.id, Tokens: last.prompt, Sample: true}},
	})
	f := s.await("the step is computed", func(f fact) bool { b, ok := f.body.(engineop.Computed); return ok && b.Step == 1000 })
	last.output = f.body.(engineop.Computed).Tokens
	for name, n := range s.nodes {
		if left := n.cache.Sequences(); !slices.Equal(left, []uint64{uint64(last.id)}) {
			t.Errorf("%s has cache of %v", name, left)
		}
	}
	s.mustBeRight(append(all, last))
}
