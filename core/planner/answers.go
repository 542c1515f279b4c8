package planner

import (
	"fmt"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/topology"
)

// bounded is an arrival in a run that computes tokens, with the most tokens that
// its prompt and its answer can have: a text has no more tokens than bytes, and
// two that frame it.
func (m *MetaContextManager) bounded(b event.RequestArrived) event.RequestArrived {
	if b.OutputTokens == 0 {
		b.OutputTokens = m.spec.OutputTokens
	}
	switch p := b.Prompt; {
	case p == nil:
	case len(p.Tokens) > 0:
		b.PromptTokens = len(p.Tokens)
	case b.PromptTokens == 0 && p.Text != "":
		b.PromptTokens = min(len(p.Text)+2, max(m.spec.LongestPrompt, m.spec.PromptTokens))
	case p.Text == "":
		b.PromptTokens = max(b.PromptTokens, m.spec.PromptTokens)
	}
	return b
}

// flaw is what only a run that computes tokens can have against a request.
func (m *MetaContextManager) flaw(b event.RequestArrived) string {
	p := b.Prompt
	switch {
	case !m.spec.Measured() && p != nil:
		return "the run computes no tokens: a request of one's own needs a run with a transformer"
	case !m.spec.Measured():
		return ""
	case b.OutputTokens > event.MaxOutputTokens:
		return fmt.Sprintf("%d output tokens are asked for: allowed are at most %d", b.OutputTokens, event.MaxOutputTokens)
	case b.PromptTokens > event.MaxPromptTokens:
		return fmt.Sprintf("the prompt has %d tokens: allowed are at most %d", b.PromptTokens, event.MaxPromptTokens)
	case p == nil:
		return ""
	case p.Flaw != "":
		return p.Flaw
	case len(p.Text) > event.MaxPromptBytes:
		return fmt.Sprintf("the prompt has %d bytes: allowed are at most %d", len(p.Text), event.MaxPromptBytes)
	}
	return ""
}

// hear takes what a pipeline tells of its answers.
func (m *MetaContextManager) hear(p *pipeline, generated []event.Generated) {
	for _, g := range generated {
		if !m.requests.Tell(p.index, g) {
			m.totals.changed++
		}
	}
}

// send hands requests to a pipeline, in as many commands as the bus needs.
func (m *MetaContextManager) send(p *pipeline, requests []event.AssignedRequest) {
	for len(requests) > 0 {
		n := 1
		for size := requests[0].Size(); n < len(requests); n++ {
			if size += requests[n].Size(); size > event.MaxContentBytes {
				break
			}
		}
		m.command(p.leader, event.AssignRequests{Epoch: p.epoch, Pipeline: p.index, Requests: requests[:n:n]})
		requests = requests[n:]
	}
}

// sendable is how many of the first of an interrupted batch's requests go into the
// command that starts their new pipeline, beside those of the node's other
// pipelines.
func (m *MetaContextManager) sendable(ids []event.RequestID, config topology.ParallelConfig) int {
	if !m.spec.Measured() {
		return len(ids)
	}
	room := event.MaxContentBytes / max(1, min(config.Data, m.spec.Instance.GPUs))
	n := 0
	for n < len(ids) {
		if room -= m.requests.Size(ids[n]); room < 0 {
			break
		}
		n++
	}
	return n
}

// servePolicy is how requests are handed out in this run.
func servePolicy(s experiment.Spec) serve.Policy {
	p := serve.Policy{Batching: s.Batching, PoolDepth: s.PoolDepth, Tokens: s.Measured(), Stateful: s.Stateful()}
	if p.Tokens && p.Stateful {
		p.Uncommitted = s.CommitInterval
	}
	return p
}

// leavesOf is how many parts a layer is cut into.
func leavesOf(s experiment.Spec, l *cost.LatencyModel) int {
	if s.Measured() && s.Transformer != nil && s.Transformer.Shape.Leaves > 0 {
		return s.Transformer.Shape.Leaves
	}
	return l.MaxTensor()
}

// withoutContent is a batch as the nodes of a pipeline get it that do not lead it.
func withoutContent(requests []event.AssignedRequest) []event.AssignedRequest {
	out := make([]event.AssignedRequest, len(requests))
	for i, r := range requests {
		r.Prompt, r.Output = nil, nil
		out[i] = r
	}
	return out
}

// forced is the configuration that a test of the engine wants on gpus GPUs: the
// next of the list that fits, one for every change of the fleet. ok is false if
// none fits.
func (m *MetaContextManager) forced(gpus int) (c topology.ParallelConfig, ok bool) {
	list := m.spec.Forced
	for i := range list {
		c = list[(m.changes+i)%len(list)]
		if c.Devices() <= gpus && !c.IsZero() {
			return c, true
		}
	}
	return topology.ParallelConfig{}, false
}
