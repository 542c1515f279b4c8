package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

// proxy stands between a node and those that fetch from it.
type proxy struct {
	to    string
	cut   atomic.Int64 // bytes that it lets pass towards the fetcher before it breaks, each time; 0: all
	flip  atomic.Bool  // changes a bit of every long piece
	conns atomic.Int64
}

// through puts a proxy before a node.
func (s *site) through(name string) *proxy {
	s.t.Helper()
	p := &proxy{to: s.addresses[name]}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Add(1)
			all.Go(func() { p.serve(ctx, c) })
		}
	})
	s.t.Cleanup(func() {
		cancel()
		_ = l.Close()
		all.Wait()
	})
	s.mu.Lock()
	s.addresses[name] = l.Addr().String()
	s.mu.Unlock()
	return p
}

func (p *proxy) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer up.Close()
	defer context.AfterFunc(ctx, func() { _, _ = c.Close(), up.Close() })()
	var there sync.WaitGroup
	there.Go(func() { _, _ = io.Copy(up, c); _ = up.Close() })
	defer there.Wait()
	defer c.Close()
	left, buffer := p.cut.Load(), make([]byte, 32<<10)
	for {
		n, err := up.Read(buffer)
		if err != nil {
			return
		}
		if p.flip.Load() && n > 1000 {
			buffer[n/2] ^= 1
		}
		if p.cut.Load() > 0 {
			if left -= int64(n); left <= 0 {
				return
			}
		}
		if _, err := c.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// TestNodesDieWithoutNotice: what only they had is computed again, everything else
// is found elsewhere, and the answers are the same.
func TestNodesDieWithoutNotice(t *testing.T) {
	s := newSite(t, tiny())
	for i := range 6 {
		s.start(fmt.Sprintf("node-%d", i))
	}
	all := s.ask(6)
	s.reshape(shape(1, 2, 2), devices(0, 1, 4))
	s.decode(4)
	s.kill("node-1")
	s.reshape(shape(1, 1, 2), devices(4, 1, 2)) // the plan takes context from node-1 too
	if s.recomputed == 0 {
		t.Error("nothing was computed again, though a quarter of the cache is gone")
	}
	s.decode(3)
	s.recomputed = 0
	s.start("node-1") // the next process holds nothing
	s.reshape(shape(2, 2, 1), devices(0, 1, 4))
	if s.recomputed != 0 {
		t.Errorf("%d positions were computed again, though all holders lived", s.recomputed)
	}
	s.decode(30)
	s.mustBeRight(all)
}

// TestSourcesThatFail: a source that breaks in the middle of each piece, or sends
// other bytes, costs time; what it cannot give comes from elsewhere.
func TestSourcesThatFail(t *testing.T) {
	for _, c := range []struct {
		name string
		how  func(*proxy)
		most int64 // connections; 0: any
	}{
		{"cut", func(p *proxy) { p.cut.Store(3000) }, 0}, // each brings something
		// Each fetch that is on its way tries twice; then the node counts as lost.
		{"changed", func(p *proxy) { p.flip.Store(true) }, 4 * fetches},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, tiny())
			for i := range 3 {
				s.start(fmt.Sprintf("node-%d", i))
			}
			all := s.ask(3)
			s.reshape(shape(1, 2, 1), devices(0, 1, 2))
			s.decode(4)
			p := s.through("node-0")
			c.how(p)
			s.reshape(shape(1, 1, 1), devices(2, 1, 1))
			if n := p.conns.Load(); n == 0 || c.most > 0 && n > c.most {
				t.Errorf("%d connections to a source that fails, wanted are at most %d", n, c.most)
			}
			stats := s.nodes["node-2"].Stats()
			if stats.Recovered == 0 || stats.LoadedBytes == 0 || stats.ReceivedBytes == 0 {
				t.Errorf("what node-0 could not give was not taken from elsewhere: %+v", stats)
			}
			s.decode(30)
			s.mustBeRight(all)
		})
	}
}

// TestSourceDiesInTheMiddle: a node that goes while it is read from.
func TestSourceDiesInTheMiddle(t *testing.T) {
	s := newSite(t, tiny())
	for i := range 4 {
		s.start(fmt.Sprintf("node-%d", i))
	}
	all := s.ask(6)
	s.reshape(shape(1, 2, 1), devices(0, 1, 2))
	s.decode(4)
	p := s.through("node-1")
	p.cut.Store(20000)
	s.begin(shape(1, 1, 2), devices(2, 1, 2))
	for p.conns.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	s.kill("node-1")
	s.up()
	s.decode(30)
	s.mustBeRight(all)
}

// TestMemoryIsShort: a node drops what it kept for others before it fails; what
// does not fit at all is an error that ends with the next plan.
func TestMemoryIsShort(t *testing.T) {
	config := tiny()
	s := newSite(t, config)
	half := config.WeightBytes() * 5 / 8
	for i := range 4 {
		s.start(fmt.Sprintf("node-%d", i), func(o *Options) { o.Memory = half + 1<<19 })
	}
	all := s.ask(4)
	s.reshape(shape(1, 2, 1), devices(0, 1, 2))
	s.decode(3)
	for i := range 6 {
		s.reshape(shape(1, 2-i%2, 1+i%2), devices(i%3, 1, 2))
		s.decode(1)
	}
	for _, n := range s.nodes {
		if stats := n.Stats(); stats.PeakBytes > half+1<<19 {
			t.Errorf("%s took %d bytes, allowed were %d", n.Name, stats.PeakBytes, half+1<<19)
		}
	}
	s.begin(shape(1, 1, 1), devices(3, 1, 1)) // does not fit
	time.Sleep(300 * time.Millisecond)
	for _, f := range s.waiting {
		if up, ok := f.body.(engineop.StageUp); ok && up.Epoch == s.at() {
			t.Error("a node is up that has no room")
		}
	}
	s.reshape(shape(1, 2, 1), devices(1, 1, 2))
	s.decode(30)
	s.mustBeRight(all)
}

// TestStepsThatCannotBe: a step that no model can compute fails on all devices, and
// the next one does not know of it.
func TestStepsThatCannotBe(t *testing.T) {
	s := newSite(t, tiny())
	for i := range 4 {
		s.start(fmt.Sprintf("node-%d", i))
	}
	all := s.ask(2)
	s.reshape(shape(1, 2, 2), devices(0, 1, 4))
	s.decode(2)
	leader := s.nodes["node-0"]
	for i, c := range []struct {
		what string
		q    engineop.Sequence
		want string
	}{
		{"beyond the context", engineop.Sequence{Request: 90, Start: 127, Tokens: []int32{1, 2}}, "0 to 127"},
		{"token out of the vocabulary", engineop.Sequence{Request: 91, Tokens: []int32{97}}, "0 to 96"},
		{"after a gap", engineop.Sequence{Request: 92, Start: 5, Tokens: []int32{1}}, "missing"},
		{"no token", engineop.Sequence{Request: 93}, "no tokens"},
	} {
		leader.Do(engineop.Compute{Epoch: s.at(), Pipeline: 0, Group: 3, Step: uint64(i), Sequences: []engineop.Sequence{c.q}})
		f := s.await(c.what, func(f fact) bool { _, ok := f.body.(engineop.ComputeFailed); return ok })
		if failed := f.body.(engineop.ComputeFailed); failed.Step != uint64(i) || failed.Group != 3 || !strings.Contains(failed.Reason, c.want) {
			t.Errorf("%s: %+v", c.what, failed)
		}
		s.decode(1)
	}
	leader.Do(engineop.Compute{Epoch: event.Epoch{Term: 1}, Pipeline: 0})
	f := s.await("a step of no plan fails", func(f fact) bool { _, ok := f.body.(engineop.ComputeFailed); return ok })
	if failed := f.body.(engineop.ComputeFailed); !strings.Contains(failed.Reason, "does not lead") {
		t.Errorf("%+v", failed)
	}
	s.decode(30)
	s.mustBeRight(all)
}

// TestAPeerDiesInAStep: the step fails, soon, and the pipeline is replaced.
func TestAPeerDiesInAStep(t *testing.T) {
	for _, dies := range []string{"node-1", "node-2", "node-3"} {
		t.Run(dies, func(t *testing.T) {
			s := newSite(t, tiny())
			for i := range 5 {
				s.start(fmt.Sprintf("node-%d", i))
			}
			all := s.ask(4)
			s.reshape(shape(1, 2, 2), devices(0, 1, 4))
			s.decode(3)
			s.kill(dies)
			s.nodes["node-0"].Do(engineop.Compute{Epoch: s.at(), Pipeline: 0, Group: 0, Step: 1000, Sequences: []engineop.Sequence{
				{Request: all[0].id, Start: all[0].cached, Tokens: all[0].tokens()[all[0].cached:], Sample: true, Sampling: all[0].sampling},
			}})
			s.await("the step fails", func(f fact) bool {
				failed, ok := f.body.(engineop.ComputeFailed)
				return ok && failed.Step == 1000
			})
			left := slices.DeleteFunc(devices(0, 1, 5), func(d topology.Device) bool { return d.Node == dies })
			s.reshape(shape(2, 2, 1), left)
			s.decode(30)
			s.mustBeRight(all)
		})
	}
}

// TestWhoComputesGoesFirst: what is kept for a node that does not come for it makes
// room for the cache of a step.
func TestWhoComputesGoesFirst(t *testing.T) {
	config := tiny()
	s := newSite(t, config)
	memory := config.WeightBytes() + 1<<17 // of pages, too
	s.start("node-0", func(o *Options) { o.Memory = memory })
	s.start("node-1")
	all := s.ask(6)
	s.reshape(shape(2, 1, 1), devices(0, 1, 2))
	s.begin(shape(1, 2, 1), devices(0, 1, 2), func(node string, part *event.ApplyMigration) {
		for layer := config.Layers / 2; layer < config.Layers && node == "node-0"; layer++ {
			part.Steps = append(part.Steps, migrate.Step{
				Kind: migrate.ModelContext, Layer: layer, Leaves: 1<<config.Leaves - 1, From: topology.Device{Node: node}, To: topology.Device{Node: "nobody"},
			})
		}
	})
	s.up()
	s.decode(30)
	s.mustBeRight(all)
	if left := s.nodes["node-0"].Stats().WeightBytes; left >= config.WeightBytes() {
		t.Errorf("%d bytes of weights are left: memory was not short, which proves nothing", left)
	}
}

// TestWeightsThatNobodyComesFor do not keep a plan from being carried out for long.
func TestWeightsThatNobodyComesFor(t *testing.T) {
	config := tiny()
	s := newSite(t, config)
	s.start("node-0", func(o *Options) { o.Memory = config.WeightBytes()*5/8 + 1<<19 })
	s.start("node-1")
	all := s.ask(2)
	there, back := devices(0, 1, 2), []topology.Device{{Node: "node-1"}, {Node: "node-0"}}
	s.reshape(shape(1, 2, 1), there)
	s.decode(2)
	s.begin(shape(1, 2, 1), back, func(node string, part *event.ApplyMigration) {
		for layer := 0; layer < config.Layers/2 && node == "node-0"; layer++ {
			part.Steps = append(part.Steps, migrate.Step{
				Kind: migrate.ModelContext, Layer: layer, Leaves: 1<<config.Leaves - 1, From: topology.Device{Node: node}, To: topology.Device{Node: "nobody"},
			})
		}
	})
	s.up()
	s.decode(30)
	s.mustBeRight(all)
}
