package sim_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// fakeEngine stands for the engines of all nodes. The token at a position is a
// hash of all tokens before it, so a wrong, missing or repeated token anywhere
// changes all that follow. It keeps what each node has in its cache, and loses,
// cuts and fails as its seed says. It keeps the first thing that a core does
// wrong.
type fakeEngine struct {
	seed  uint64
	spec  experiment.Spec
	asked map[event.RequestID]event.RequestArrived

	unreliable bool // steps fail, pipelines break, caches are cut
	step       time.Duration
	cache      map[string]map[event.RequestID][]int32 // by node
	pipelines  map[fakeName]*fakePipeline
	answers    map[event.RequestID][]int32
	broken     int // pipelines that never compute
	prepared   int // requests whose cache was fetched ahead
	recomputed int // tokens of cache that were there before, somewhere
	err        error
}

type fakeName struct {
	epoch event.Epoch
	index int
}

type fakePipeline struct {
	nodes   []string
	flights map[int]fakeFlight // by group
	resumes []event.RequestID
	halted  bool
	breaks  bool
}

type fakeFlight struct {
	until    vtime.Time
	requests []event.RequestID
}

func newFakeEngine(seed uint64, spec experiment.Spec, t experiment.Timeline) *fakeEngine {
	e := &fakeEngine{
		seed: seed, spec: spec, step: 40 * time.Millisecond, asked: make(map[event.RequestID]event.RequestArrived),
		answers: make(map[event.RequestID][]int32), cache: make(map[string]map[event.RequestID][]int32), pipelines: make(map[fakeName]*fakePipeline),
	}
	for i, a := range t.Arrivals {
		e.asked[event.RequestID(i)] = event.RequestArrived{
			Request: event.RequestID(i), PromptTokens: a.PromptTokens, OutputTokens: a.OutputTokens, Prompt: a.Prompt,
		}
	}
	return e
}

func (e *fakeEngine) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

// chance is a share of what is told apart by numbers.
func (e *fakeEngine) chance(what string, numbers ...uint64) float64 {
	return float64(draw.Number(e.seed, what, numbers...)>>11) / (1 << 53)
}

// prompt is what a request's sequence begins with.
func (e *fakeEngine) prompt(id event.RequestID) []int32 {
	a := e.asked[id]
	if a.Prompt != nil && len(a.Prompt.Tokens) > 0 {
		return a.Prompt.Tokens
	}
	n := a.PromptTokens
	if n == 0 {
		n = e.spec.PromptTokens
	}
	return engineop.DrawPrompt(e.spec.Transformer, id, n)
}

// nextToken is the model: what follows tokens.
func (e *fakeEngine) nextToken(tokens []int32, s experiment.Sampling) int32 {
	numbers := make([]uint64, len(tokens)+1)
	numbers[0] = s.Seed
	for i, t := range tokens {
		numbers[i+1] = uint64(t)
	}
	return int32(draw.Number(7, "token", numbers...) % uint64(e.spec.Transformer.Shape.Vocab))
}

// answer is what an uninterrupted run makes of a request.
func (e *fakeEngine) answer(id event.RequestID) []int32 {
	if known := e.answers[id]; known != nil {
		return known
	}
	a := e.asked[id]
	most := a.OutputTokens
	if most == 0 {
		most = e.spec.OutputTokens
	}
	tokens := slices.Clone(e.prompt(id))
	prompt := len(tokens)
	sampling := engineop.SamplingOf(e.spec.Transformer, id, a.Prompt)
	for len(tokens)-prompt < most {
		next := e.nextToken(tokens, sampling)
		tokens = append(tokens, next)
		if engineop.Stops(e.spec.Transformer, a.Prompt, next) {
			break
		}
	}
	e.answers[id] = tokens[prompt:]
	return tokens[prompt:]
}

// Do implements sim.Engine.
func (e *fakeEngine) Do(now vtime.Time, node string, op engineop.Op) []sim.EngineEvent {
	switch op := op.(type) {
	case engineop.Reshape:
		return e.reshape(now, node, op.Part)
	case engineop.Compute:
		return e.compute(now, node, op)
	case engineop.Halt:
		if p := e.pipelines[fakeName{op.Epoch, op.Pipeline}]; p != nil {
			p.halted = true
		}
	case engineop.Clear, engineop.GiveUp:
		delete(e.cache, node)
	case engineop.Prepare:
		e.prepare(node, op.Part)
	}
	return nil
}

// prepare fetches the cache that there is so far.
func (e *fakeEngine) prepare(node string, part event.PrepareMigration) {
	for _, p := range part.Resume {
		for _, id := range p.Requests {
			e.prepared++
			e.hold(node, id, e.longest(id))
		}
	}
}

// longest is the most cache of a request that any node has; all are prefixes of
// one.
func (e *fakeEngine) longest(id event.RequestID) (best []int32) {
	for _, held := range e.cache {
		if len(held[id]) > len(best) {
			best = held[id]
		}
	}
	return best
}

// up is how long a node takes to come up in a plan.
func (e *fakeEngine) up(node string, epoch event.Epoch) time.Duration {
	return time.Duration(e.chance("up "+node, epoch.N) * float64(4*time.Second))
}

func (e *fakeEngine) reshape(now vtime.Time, node string, part event.ApplyMigration) []sim.EngineEvent {
	out := []sim.EngineEvent{{Node: node, At: now.Add(e.up(node, part.Epoch)), Body: engineop.ContextLanded{Epoch: part.Epoch, Bytes: 1}}}
	for _, s := range part.Pipelines {
		name := fakeName{part.Epoch, s.Pipeline}
		p := e.pipelines[name]
		if p == nil {
			p = &fakePipeline{flights: make(map[int]fakeFlight)}
			for _, d := range s.Devices {
				if !slices.Contains(p.nodes, d.Device.Node) {
					p.nodes = append(p.nodes, d.Device.Node)
				}
			}
			p.breaks = e.unreliable && e.broken < 2 && e.chance("breaks", part.Epoch.N, uint64(s.Pipeline)) < 0.1
			if p.breaks {
				e.broken++
			}
			p.resumes = requestsOf(s.Resume)
			e.pipelines[name] = p
		}
		if got := requestsOf(s.Resume); !slices.Equal(got, p.resumes) {
			e.fail("%s resumes %v with pipeline %d of %s, other nodes %v", node, got, s.Pipeline, part.Epoch, p.resumes)
		}
		if !slices.Contains(p.nodes, node) {
			e.fail("pipeline %d of %s starts on %s, which is not among its devices %v", s.Pipeline, part.Epoch, node, s.Devices)
		}
		out = append(out, sim.EngineEvent{Node: node, At: now.Add(e.up(node, part.Epoch)), Body: engineop.StageUp{Epoch: part.Epoch, Pipeline: s.Pipeline}})
		if s.Leader {
			out = append(out, e.land(now, node, part.Epoch, s, p))
		}
	}
	return out
}

func requestsOf(requests []event.AssignedRequest) []event.RequestID {
	out := make([]event.RequestID, len(requests))
	for i, r := range requests {
		out[i] = r.Request
	}
	return out
}

// land moves the cache of a pipeline's batch to its nodes, as far as it gets.
func (e *fakeEngine) land(now vtime.Time, node string, epoch event.Epoch, s event.PipelineStart, p *fakePipeline) sim.EngineEvent {
	landed := engineop.CacheLanded{Epoch: epoch, Pipeline: s.Pipeline}
	at := now
	for _, n := range p.nodes {
		at = max(at, now.Add(e.up(n, epoch)))
	}
	for _, r := range s.Resume {
		best := e.longest(r.Request)
		least := len(best)
		for i, n := range p.nodes {
			got := len(best)
			switch x := e.chance("cut", epoch.N, uint64(r.Request), uint64(i)); {
			case !e.unreliable || x < 0.5:
			case x < 0.6:
				got = 0
			default:
				got = int(x * float64(got))
			}
			got = max(got, len(e.cache[n][r.Request]))
			e.hold(n, r.Request, best[:got])
			least = min(least, got)
		}
		e.recomputed += max(0, len(e.prompt(r.Request))+r.Committed-1-least)
		if least > 0 {
			landed.Cached = append(landed.Cached, engineop.Cached{Request: r.Request, Tokens: least})
		}
	}
	return sim.EngineEvent{Node: node, At: at, Body: landed}
}

func (e *fakeEngine) hold(node string, id event.RequestID, tokens []int32) {
	if e.cache[node] == nil {
		e.cache[node] = make(map[event.RequestID][]int32)
	}
	e.cache[node][id] = slices.Clone(tokens)
}

func (e *fakeEngine) compute(now vtime.Time, node string, op engineop.Compute) []sim.EngineEvent {
	p := e.pipelines[fakeName{op.Epoch, op.Pipeline}]
	if p == nil || p.halted || p.nodes[0] != node {
		e.fail("%s computes for pipeline %d of %s, which it does not lead", node, op.Pipeline, op.Epoch)
		return nil
	}
	e.checkFlights(now, p, op)
	took := e.step + time.Duration(e.chance("took", op.Epoch.N, uint64(op.Group), op.Step)*float64(e.step))
	fate := e.chance("fate", op.Epoch.N, uint64(op.Pipeline), uint64(op.Group), op.Step)
	failed := func(reason string) []sim.EngineEvent {
		delete(p.flights, op.Group)
		return []sim.EngineEvent{{Node: node, At: now.Add(took), Body: engineop.ComputeFailed{
			Epoch: op.Epoch, Pipeline: op.Pipeline, Group: op.Group, Step: op.Step, Reason: reason,
		}}}
	}
	if p.breaks || e.unreliable && fate < 0.05 {
		return failed("a peer does not answer")
	}
	answer := engineop.Computed{Epoch: op.Epoch, Pipeline: op.Pipeline, Group: op.Group, Step: op.Step}
	flight := fakeFlight{until: now.Add(took)}
	for _, s := range op.Sequences {
		flight.requests = append(flight.requests, s.Request)
		var tokens []int32
		for _, n := range p.nodes {
			held := e.cache[n][s.Request]
			if e.cache[n] == nil && s.Start > 0 {
				return failed("a peer has lost everything")
			}
			if len(held) < s.Start {
				e.fail("request %d is computed from position %d, and %s has the cache of %d", s.Request, s.Start, n, len(held))
				return nil
			}
			tokens = slices.Concat(held[:s.Start], s.Tokens)
			e.hold(n, s.Request, tokens)
		}
		want := slices.Concat(e.prompt(s.Request), e.answer(s.Request))
		if len(tokens) > len(want) || !slices.Equal(tokens, want[:len(tokens)]) {
			e.fail("request %d is computed from %v (%d at %d), want %v", s.Request, tail(tokens), len(tokens), s.Start, tail(want))
		}
		if s.Sample {
			answer.Tokens = append(answer.Tokens, e.nextToken(tokens, s.Sampling))
		}
	}
	if e.unreliable && fate > 0.99 {
		answer.Tokens = append(answer.Tokens, 1) // one too many: no answer at all
	}
	p.flights[op.Group] = flight
	return []sim.EngineEvent{{Node: node, At: flight.until, Body: answer}}
}

// checkFlights: one step of a group at a time, no request in two of them, and none
// released that is in one.
func (e *fakeEngine) checkFlights(now vtime.Time, p *fakePipeline, op engineop.Compute) {
	if chunk := e.spec.Transformer.PrefillChunk; chunk > 0 {
		n := 0
		for _, s := range op.Sequences {
			if len(s.Tokens) > 1 {
				n += len(s.Tokens)
			}
		}
		if n > chunk {
			e.fail("a step has %d tokens of prompts, allowed are %d", n, chunk)
		}
	}
	for number, f := range p.flights {
		if f.until <= now {
			continue
		}
		if number == op.Group {
			e.fail("group %d of pipeline %d has two steps in flight", op.Group, op.Pipeline)
		}
		for _, s := range op.Sequences {
			if slices.Contains(f.requests, s.Request) {
				e.fail("request %d is in two steps in flight", s.Request)
			}
		}
		for _, id := range op.Release {
			if slices.Contains(f.requests, id) {
				e.fail("request %d is released in mid-step", id)
			}
		}
	}
	for _, id := range op.Release {
		if slices.ContainsFunc(op.Sequences, func(s engineop.Sequence) bool { return s.Request == id }) {
			e.fail("request %d is computed and released", id)
		}
		for _, n := range p.nodes {
			delete(e.cache[n], id)
		}
	}
}

// tail is the end of a sequence, for messages.
func tail(tokens []int32) []int32 { return tokens[max(0, len(tokens)-8):] }
