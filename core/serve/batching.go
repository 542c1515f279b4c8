package serve

import (
	"math/bits"
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// Policy is how requests are handed to pipelines. Both policies are static:
// nothing joins a running batch.
type Policy struct {
	Batching experiment.Batching
	// PoolDepth c lets the pooled policy top up a pool that is below c*B.
	PoolDepth int
}

// Assignment is what one pipeline gets.
type Assignment struct {
	Pipeline int
	Requests []event.AssignedRequest
}

// Dispatch hands queued requests to the pipelines of ready, in that order on
// ties, until the policy wants no more. An idle pipeline gets the largest power
// of two that is queued, up to its batch limit. Under the pooled policy the
// pipeline with the smallest pool below c*B then gets as many by the same rule.
func (m *Manager) Dispatch(policy Policy, ready []int) []Assignment {
	var out []Assignment
	for m.queue.Len() > 0 {
		pipeline, ok := m.next(policy, ready)
		if !ok {
			break
		}
		n := PowerOfTwo(min(m.queue.Len(), m.pools[pipeline].limit))
		ids := make([]event.RequestID, n)
		for i := range ids {
			ids[i] = m.queue.pop().id
		}
		out = append(out, Assignment{pipeline, m.assign(pipeline, ids)})
	}
	return out
}

func (m *Manager) next(policy Policy, ready []int) (pipeline int, ok bool) {
	if len(ready) == 0 {
		return 0, false
	}
	smallest := slices.MinFunc(ready, func(a, b int) int { return len(m.pools[a].ids) - len(m.pools[b].ids) })
	size := len(m.pools[smallest].ids)
	switch {
	case size == 0:
		return smallest, true
	case policy.Batching == experiment.IdleOnly:
		return 0, false
	default:
		return smallest, size < policy.PoolDepth*m.pools[smallest].limit
	}
}

// PowerOfTwo is the largest power of two that is at most n, and 0 for n < 1.
func PowerOfTwo(n int) int {
	if n < 1 {
		return 0
	}
	return 1 << (bits.Len(uint(n)) - 1)
}
