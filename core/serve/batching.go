package serve

import (
	"math/bits"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// Policy is how requests are handed to pipelines.
type Policy struct {
	Batching experiment.Batching
	// PoolDepth c lets the pooled policy top up a pool that is below c*B. With
	// continuous batching c requests wait in a pool beyond those that run, so that
	// one joins without a round trip when another leaves.
	PoolDepth int
	// Tokens keeps prompts and answers: the run computes tokens. Stateful counts as
	// committed what a pipeline tells of an answer before it is whole; else it is
	// forgotten when the pipeline stops.
	Tokens, Stateful bool
	// Uncommitted is the most tokens of one request that a pipeline can have computed
	// and not committed; 0 where nothing bounds them.
	Uncommitted int
}

// Assignment is what one pipeline gets.
type Assignment struct {
	Pipeline int
	Requests []event.AssignedRequest
}

// Dispatch hands queued requests to the pipelines that accept them, until the
// policy wants no more; ties go to the lower pipeline.
//
// With the static policies nothing joins a running batch. An idle pipeline gets
// the largest power of two that is queued, up to its batch limit. Under the
// pooled policy the pipeline with the smallest pool below c*B then gets as many
// by the same rule.
//
// With continuous batching each request goes to the pipeline with the fewest
// requests waiting, then with the fewest tokens, of prompts and outputs, in its
// pool. It runs if the KV memory takes it, else it waits there.
func (m *Manager) Dispatch() []Assignment {
	if m.policy.Batching == experiment.Continuous {
		return m.dispatchContinuous()
	}
	var out []Assignment
	for m.queue.Len() > 0 && len(m.accepting.pools) > 0 {
		p := m.accepting.pools[0]
		if size := len(p.requests); size > 0 && (m.policy.Batching == experiment.IdleOnly || size >= m.policy.PoolDepth*p.room.Limit) {
			break
		}
		n := PowerOfTwo(min(m.queue.Len(), p.room.Limit))
		assigned := make([]event.AssignedRequest, n)
		for i := range assigned {
			assigned[i] = m.assign(p, m.queue.pop())
		}
		out = append(out, Assignment{p.pipeline, assigned})
	}
	return out
}

func (m *Manager) dispatchContinuous() []Assignment {
	var out []Assignment
	for m.queue.Len() > 0 && len(m.accepting.pools) > 0 {
		p := m.accepting.pools[0]
		if len(p.waiting) > 0 && len(p.waiting) >= m.policy.PoolDepth {
			break
		}
		i := 0
		for i < len(out) && out[i].Pipeline != p.pipeline {
			i++
		}
		if i == len(out) {
			out = append(out, Assignment{Pipeline: p.pipeline})
		}
		out[i].Requests = append(out[i].Requests, m.assign(p, m.queue.pop()))
	}
	return out
}

// PowerOfTwo is the largest power of two that is at most n, and 0 for n < 1.
func PowerOfTwo(n int) int {
	if n < 1 {
		return 0
	}
	return 1 << (bits.Len(uint(n)) - 1)
}
