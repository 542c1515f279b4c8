package serve_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// naive is the request manager as its rules read: it sorts the queue and looks
// at every pool for every assignment.
type naive struct {
	policy serve.Policy
	room   serve.Room
	queue  []event.RequestID
	pools  map[int][]event.RequestID // of pipelines that accept
	need   map[event.RequestID]int
}

func (n *naive) dispatch() []serve.Assignment {
	var out []serve.Assignment
	give := func(pipeline, count int) []event.RequestID {
		slices.Sort(n.queue) // the ids follow the arrivals
		ids := slices.Clone(n.queue[:count])
		n.queue = n.queue[count:]
		n.pools[pipeline] = append(n.pools[pipeline], ids...)
		return ids
	}
	for len(n.queue) > 0 {
		ready := make([]int, 0, len(n.pools))
		for p := range n.pools {
			ready = append(ready, p)
		}
		if len(ready) == 0 {
			break
		}
		slices.Sort(ready)
		if n.policy.Batching == experiment.Continuous {
			best := slices.MinFunc(ready, func(a, b int) int {
				return cmp.Or(cmp.Compare(n.waiting(a), n.waiting(b)), cmp.Compare(n.tokens(a), n.tokens(b)))
			})
			if w := n.waiting(best); w > 0 && w >= n.policy.PoolDepth {
				break
			}
			ids := give(best, 1)
			if at := slices.IndexFunc(out, func(a serve.Assignment) bool { return a.Pipeline == best }); at >= 0 {
				out[at].Requests = append(out[at].Requests, event.AssignedRequest{Request: ids[0]})
				continue
			}
			out = append(out, assignment(best, ids))
			continue
		}
		best := slices.MinFunc(ready, func(a, b int) int { return cmp.Compare(len(n.pools[a]), len(n.pools[b])) })
		size := len(n.pools[best])
		if size > 0 && (n.policy.Batching == experiment.IdleOnly || size >= n.policy.PoolDepth*n.room.Limit) {
			break
		}
		out = append(out, assignment(best, give(best, serve.PowerOfTwo(min(len(n.queue), n.room.Limit)))))
	}
	return out
}

func assignment(pipeline int, ids []event.RequestID) serve.Assignment {
	a := serve.Assignment{Pipeline: pipeline}
	for _, id := range ids {
		a.Requests = append(a.Requests, event.AssignedRequest{Request: id})
	}
	return a
}

func (n *naive) tokens(pipeline int) (sum int) {
	for _, id := range n.pools[pipeline] {
		sum += n.need[id]
	}
	return sum
}

// waiting is how many of a pool do not fit beside those before them.
func (n *naive) waiting(pipeline int) int {
	tokens := 0
	for i, id := range n.pools[pipeline] {
		tokens += n.need[id]
		if i > 0 && (i >= n.room.Limit || tokens > n.room.KVTokens) {
			return len(n.pools[pipeline]) - i
		}
	}
	return 0
}

// TestDispatchAgreesWithItsNaiveTwin lets requests come, be answered and lose
// their pipelines at random. Answers come in the order of the pool or out of
// order, as they do from a static batch and a continuous one.
func TestDispatchAgreesWithItsNaiveTwin(t *testing.T) {
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 7))
		policy := serve.Policy{
			Batching:  []experiment.Batching{experiment.Pooled, experiment.IdleOnly, experiment.Continuous}[seed%3],
			PoolDepth: 1 + r.IntN(3),
		}
		room := serve.Room{Limit: 1 + r.IntN(9), KVTokens: 50 + r.IntN(400)}
		m := serve.NewManager(policy)
		n := &naive{policy: policy, room: room, pools: make(map[int][]event.RequestID), need: make(map[event.RequestID]int)}
		next := event.RequestID(0)
		for step := range 300 {
			switch r.IntN(8) {
			case 0, 1, 2: // arrivals
				for range 1 + r.IntN(6) {
					e := event.RequestArrived{Request: next, PromptTokens: 1 + r.IntN(60), OutputTokens: 1 + r.IntN(30)}
					m.Arrive(e, vtime.Time(next))
					n.queue, n.need[next] = append(n.queue, next), e.PromptTokens+e.OutputTokens
					next++
				}
			case 3: // a pipeline comes, or goes with all it had
				p := r.IntN(5)
				if pool, ok := n.pools[p]; ok {
					m.Requeue(m.Close(p))
					n.queue = append(n.queue, pool...)
					delete(n.pools, p)
					break
				}
				m.Open(p, topology.ParallelConfig{}, room)
				m.Accept(p)
				n.pools[p] = nil
			default: // an answer
				p := r.IntN(5)
				if len(n.pools[p]) == 0 {
					break
				}
				i := 0
				if policy.Batching == experiment.Continuous {
					i = r.IntN(len(n.pools[p]) - n.waiting(p))
				}
				if _, ok := m.Complete(p, n.pools[p][i], 0, vtime.Time(next)); !ok {
					t.Fatalf("seed %d, step %d: request %d cannot complete", seed, step, n.pools[p][i])
				}
				n.pools[p] = slices.Delete(n.pools[p], i, i+1)
			}
			if got, want := printed(m.Dispatch()), printed(n.dispatch()); got != want {
				t.Fatalf("seed %d, step %d, %s: assigned %s, want %s", seed, step, fmt.Sprintf("%+v %+v", policy, room), got, want)
			}
		}
	}
}
