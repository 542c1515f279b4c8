package node

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
	"github.com/spotserve/spotserve/engine/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is far longer than anything here takes, also on a busy machine.
const patience = time.Minute

func tiny() model.Config {
	return model.Config{
		Name: "tiny", Layers: 8, Hidden: 48, Heads: 8, KVHeads: 4, HeadDim: 8, FFN: 64, Vocab: 97, Context: 128,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, DType: model.F32, Leaves: 4, BOS: -1,
	}
}

// request is what a user asked for, and the answer so far.
type request struct {
	id       event.RequestID
	prompt   []int32
	sampling experiment.Sampling
	most     int // tokens of the answer
	output   []int32
	cached   int // positions that all shards have
}

func (r *request) done() bool { return len(r.output) == r.most }

func (r *request) tokens() []int32 { return slices.Concat(r.prompt, r.output) }

// site is several nodes in this process, with the test as planner and as the core
// of each leader.
type site struct {
	t         *testing.T
	config    model.Config
	source    model.Source
	mu        sync.Mutex
	addresses map[string]string
	nodes     map[string]*Node
	facts     chan fact
	waiting   []fact

	epoch     uint64
	shape     topology.ParallelConfig
	devices   []topology.Device // by rank
	pipelines [][]*request
	step      uint64
	// recomputed counts positions that had been computed before a reshape and were
	// computed again after it.
	recomputed int
}

type fact struct {
	node string
	body event.Body
}

func newSite(t *testing.T, config model.Config) *site {
	t.Helper()
	source, err := model.Synthetic(config, 7)
	if err != nil {
		t.Fatal(err)
	}
	return &site{t: t, config: config, source: source, addresses: make(map[string]string), nodes: make(map[string]*Node), facts: make(chan fact, 1<<10)}
}

// start opens a node, or the next process of one.
func (s *site) start(name string, change ...func(*Options)) *Node {
	s.t.Helper()
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelWarn
	}
	o := Options{
		Name: name, Run: "test-1", Model: s.source, Resolve: s.resolve, Kernels: kernel.Options{Threads: 1},
		StepTimeout: 20 * time.Second, Links: dataplane.Options{Timeout: 2 * time.Second, Attempts: 2},
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", name),
	}
	for _, f := range change {
		f(&o)
	}
	n, err := Open(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.addresses[name] = n.Address()
	s.mu.Unlock()
	s.nodes[name] = n
	ctx, cancel := context.WithCancel(s.t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			select {
			case b := <-n.Events():
				s.facts <- fact{name, b}
			case <-ctx.Done():
				return
			}
		}
	})
	s.t.Cleanup(func() {
		cancel()
		reading.Wait()
		if s.nodes[name] == n {
			s.kill(name)
		}
	})
	return n
}

func (s *site) resolve(_ context.Context, node string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.addresses[node]; a != "" {
		return a, nil
	}
	return "", fmt.Errorf("nobody knows %s", node)
}

// kill ends a node with all it holds.
func (s *site) kill(name string) {
	s.t.Helper()
	n := s.nodes[name]
	delete(s.nodes, name)
	if err := n.Close(); err != nil {
		s.t.Error(err)
	}
	if used := n.arena.Used(); used != 0 {
		s.t.Errorf("node %s leaves %d bytes behind", name, used)
	}
}

// await returns the next fact that is wanted and keeps the others.
func (s *site) await(what string, want func(fact) bool) fact {
	s.t.Helper()
	for i, f := range s.waiting {
		if want(f) {
			s.waiting = slices.Delete(s.waiting, i, i+1)
			return f
		}
	}
	timeout := time.After(patience)
	for {
		select {
		case f := <-s.facts:
			if want(f) {
				return f
			}
			s.waiting = append(s.waiting, f)
		case <-timeout:
			s.t.Fatalf("%s: not within %v; there is %+v", what, patience, s.waiting)
		}
	}
}

// geometry cuts the model as a planner would.
func (s *site) geometry() migrate.Geometry {
	cells := int64(s.config.Layers) * int64(s.config.Leaves)
	return migrate.Geometry{
		Layers: s.config.Layers, Leaves: s.config.Leaves, CellBytes: s.config.WeightBytes() / cells,
		CacheCellBytes: float64(s.config.KVBytesPerToken()) / float64(cells),
	}
}

// begin tells all nodes a new configuration: device i of devices is at rank i.
// Requests that are not done go on, spread over the pipelines.
func (s *site) begin(c topology.ParallelConfig, devices []topology.Device, change ...func(node string, part *event.ApplyMigration)) {
	s.t.Helper()
	s.epoch++
	before := s.devices
	beforeShape := s.shape
	s.shape, s.devices = c, devices
	requests := s.open()
	s.pipelines = make([][]*request, c.Data)
	for i, r := range requests {
		s.pipelines[i%c.Data] = append(s.pipelines[i%c.Data], r)
	}
	parts := make(map[string]*event.ApplyMigration)
	part := func(node string) *event.ApplyMigration {
		if parts[node] == nil {
			parts[node] = &event.ApplyMigration{Epoch: s.at(), Config: c}
		}
		return parts[node]
	}
	for name := range s.nodes {
		part(name)
	}
	var placements []topology.Placement
	for rank, d := range devices {
		p := topology.Placement{Device: d, Position: topology.PositionOf(c, rank)}
		placements = append(placements, p)
		part(d.Node).Placements = append(part(d.Node).Placements, p)
	}
	g := s.geometry()
	for _, p := range placements {
		for cell := range cells(g.Region(c, p.Position)) {
			step := migrate.Step{Kind: migrate.ModelContext, Pipeline: p.Position.Data, Stage: p.Position.Pipeline, Layer: cell.Layer, Leaves: 1 << cell.Leaf, To: p.Device}
			holders := holding(g, beforeShape, before, cell)
			if slices.Contains(holders, p.Device) {
				continue
			}
			if len(holders) > 0 {
				step.From = holders[int(s.epoch)%len(holders)]
				part(step.From.Node).Steps = append(part(step.From.Node).Steps, step)
			}
			if step.From.Node != p.Device.Node {
				part(p.Device.Node).Steps = append(part(p.Device.Node).Steps, step)
			}
		}
		for _, d := range before {
			step := migrate.Step{Kind: migrate.CacheContext, Pipeline: p.Position.Data, Stage: p.Position.Pipeline, Layer: -1, From: d, To: p.Device}
			part(p.Device.Node).Steps = append(part(p.Device.Node).Steps, step)
		}
	}
	for d := range c.Data {
		members := slices.DeleteFunc(slices.Clone(placements), func(p topology.Placement) bool { return p.Position.Data != d })
		var resume []event.AssignedRequest
		for _, r := range s.pipelines[d] {
			if r.cached > 0 {
				resume = append(resume, event.AssignedRequest{Request: r.id, PromptTokens: len(r.prompt), OutputTokens: r.most, Committed: len(r.output)})
			}
		}
		told := make(map[string]bool)
		for i, m := range members {
			if !told[m.Device.Node] {
				told[m.Device.Node] = true
				part(m.Device.Node).Pipelines = append(part(m.Device.Node).Pipelines, event.PipelineStart{
					Pipeline: d, Leader: i == 0, Resume: resume, Devices: members,
				})
			}
		}
	}
	for name, n := range s.nodes {
		p := *parts[name]
		for _, f := range change {
			f(name, &p)
		}
		n.Do(engineop.Reshape{Part: p})
	}
}

func holding(g migrate.Geometry, c topology.ParallelConfig, devices []topology.Device, cell model.BlobID) (out []topology.Device) {
	for rank, d := range devices {
		r := g.Region(c, topology.PositionOf(c, rank))
		if r.FirstLayer <= cell.Layer && cell.Layer < r.EndLayer && r.FirstLeaf <= cell.Leaf && cell.Leaf < r.EndLeaf {
			out = append(out, d)
		}
	}
	return out
}

func (s *site) at() event.Epoch { return event.Epoch{Term: 1, N: s.epoch} }

// open lists the requests that are not done.
func (s *site) open() (out []*request) {
	for _, p := range s.pipelines {
		for _, r := range p {
			if !r.done() {
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b *request) int { return cmp.Compare(a.id, b.id) })
	return out
}

// up waits until all pipelines are open.
func (s *site) up() {
	s.t.Helper()
	for d := range s.shape.Data {
		s.opened(d)
	}
}

// opened waits until a pipeline of the newest plan is open.
func (s *site) opened(pipeline int) {
	s.t.Helper()
	f := s.await(fmt.Sprintf("pipeline %d of epoch %d opens", pipeline, s.epoch), func(f fact) bool {
		b, ok := f.body.(engineop.CacheLanded)
		return ok && b.Epoch == s.at() && b.Pipeline == pipeline
	})
	landed := f.body.(engineop.CacheLanded)
	for _, r := range s.pipelines[pipeline] {
		before := r.cached
		r.cached = 0
		for _, x := range landed.Cached {
			if x.Request == r.id {
				r.cached = min(x.Tokens, len(r.tokens())-1)
			}
		}
		s.recomputed += before - r.cached
	}
}

func (s *site) reshape(c topology.ParallelConfig, devices []topology.Device) {
	s.t.Helper()
	s.begin(c, devices)
	s.up()
}

// decode has every open request get n tokens more, or its last. Each pipeline's
// requests go through it in two micro-batches.
func (s *site) decode(n int) {
	s.t.Helper()
	for range n {
		s.step++
		type key struct{ pipeline, group int }
		flying := make(map[key][]*request)
		for d, requests := range s.pipelines {
			for i, r := range requests {
				if !r.done() {
					flying[key{d, i % 2}] = append(flying[key{d, i % 2}], r)
				}
			}
		}
		for k, requests := range flying {
			op := engineop.Compute{Epoch: s.at(), Pipeline: k.pipeline, Group: k.group, Step: s.step}
			for _, r := range requests {
				op.Sequences = append(op.Sequences, engineop.Sequence{
					Request: r.id, Start: r.cached, Tokens: r.tokens()[r.cached:], Sample: true, Sampling: r.sampling,
				})
			}
			s.nodes[s.devices[k.pipeline*s.shape.DevicesPerPipeline()].Node].Do(op)
		}
		for len(flying) > 0 {
			f := s.await("a step is computed", func(f fact) bool {
				switch b := f.body.(type) {
				case engineop.Computed:
					return b.Epoch == s.at()
				case engineop.ComputeFailed:
					return b.Epoch == s.at()
				}
				return false
			})
			b, ok := f.body.(engineop.Computed)
			if !ok {
				s.t.Fatalf("%+v", f.body)
			}
			k := key{b.Pipeline, b.Group}
			if len(b.Tokens) != len(flying[k]) {
				s.t.Fatalf("%d tokens for %d requests", len(b.Tokens), len(flying[k]))
			}
			for i, r := range flying[k] {
				r.cached = len(r.tokens())
				r.output = append(r.output, b.Tokens[i])
			}
			delete(flying, k)
		}
	}
}

// ask makes requests, greedy and sampled ones, and puts them into the pipelines.
func (s *site) ask(n int) []*request {
	all := make([]*request, n)
	for i := range all {
		r := &request{id: event.RequestID(i), most: 20 + i%5}
		for k := range 5 + 9*i%40 {
			r.prompt = append(r.prompt, int32((i*31+k*17+k*k)%s.config.Vocab))
		}
		if i%2 == 1 {
			r.sampling = experiment.Sampling{Temperature: 0.9, TopK: 40, TopP: 0.95, Seed: uint64(i)}
		}
		all[i] = r
		if len(s.pipelines) == 0 {
			s.pipelines = make([][]*request, 1)
		}
		s.pipelines[i%len(s.pipelines)] = append(s.pipelines[i%len(s.pipelines)], r)
	}
	return all
}

// mustBeRight compares answers with those of a model that was never cut.
func (s *site) mustBeRight(all []*request) {
	s.t.Helper()
	weights, err := cluster.Load(s.source)
	if err != nil {
		s.t.Fatal(err)
	}
	defer weights.Close()
	for _, r := range all {
		whole, err := cluster.New(cluster.Options{Config: s.config, Blob: weights.Blob, CPU: kernel.Options{Threads: 1}, KVBytes: 1 << 24})
		if err != nil {
			s.t.Fatal(err)
		}
		var want []int32
		tokens, from := slices.Clone(r.prompt), 0
		for len(want) < r.most {
			next, err := whole.Step(s.t.Context(), []llm.Sequence{{
				ID: 1, Start: from, Tokens: tokens[from:], Sample: true,
				Sampling: llm.Sampling{Temperature: r.sampling.Temperature, TopK: r.sampling.TopK, TopP: r.sampling.TopP, Seed: r.sampling.Seed},
			}})
			if err != nil {
				s.t.Fatal(err)
			}
			want = append(want, next[0])
			from = len(tokens)
			tokens = append(tokens, next[0])
		}
		whole.Close()
		if !slices.Equal(r.output, want) {
			s.t.Errorf("request %d: got %v, want %v", r.id, r.output, want)
		}
	}
}

// devices lists n devices, gpus of each node, beginning at node first.
func devices(first, gpus, n int) (out []topology.Device) {
	for i := range n {
		out = append(out, topology.Device{Node: "node-" + strconv.Itoa(first+i/gpus), GPU: i % gpus})
	}
	return out
}

func shape(d, p, m int) topology.ParallelConfig {
	return topology.ParallelConfig{Data: d, Pipeline: p, Tensor: m, Batch: 8}
}
