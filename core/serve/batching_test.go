package serve_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

func TestPowerOfTwo(t *testing.T) {
	for n, want := range map[int]int{-1: 0, 0: 0, 1: 1, 2: 2, 3: 2, 4: 4, 7: 4, 8: 8, 1023: 512} {
		if got := serve.PowerOfTwo(n); got != want {
			t.Errorf("PowerOfTwo(%d) = %d, want %d", n, got, want)
		}
	}
}

// arrive queues n requests, numbered from first, one nanosecond apart.
func arrive(m *serve.Manager, first, n int) {
	for i := first; i < first+n; i++ {
		m.Arrive(event.RequestArrived{Request: event.RequestID(i), PromptTokens: 100, OutputTokens: 10}, vtime.Time(i))
	}
}

// printed shows assignments as pipeline:requests, for example 0:[0 1] 1:[2].
func printed(assignments []serve.Assignment) string {
	var out []string
	for _, a := range assignments {
		out = append(out, fmt.Sprintf("%d:%v", a.Pipeline, requests(a.Requests)))
	}
	return strings.Join(out, " ")
}

func requests(assigned []event.AssignedRequest) []event.RequestID {
	out := make([]event.RequestID, len(assigned))
	for i, r := range assigned {
		out[i] = r.Request
	}
	return out
}

func TestDispatch(t *testing.T) {
	pooled := func(depth int) serve.Policy { return serve.Policy{Batching: experiment.Pooled, PoolDepth: depth} }
	idle := serve.Policy{Batching: experiment.IdleOnly, PoolDepth: 9}
	for _, tt := range []struct {
		name   string
		policy serve.Policy
		pools  []int // in each pipeline's pool before; a pipeline has B = 4
		queued int
		want   string
	}{
		{"nothing queued", pooled(1), []int{0, 0}, 0, ""},
		{"no pipeline", pooled(1), nil, 5, ""},
		{"one", pooled(1), []int{0, 0}, 1, "0:[0]"},
		{"the largest power of two", pooled(1), []int{0}, 3, "0:[0 1] 0:[2]"},
		{"up to B, then the next pipeline", pooled(1), []int{0, 0}, 6, "0:[0 1 2 3] 1:[4 5]"},
		{"an idle pipeline before a smaller number", pooled(1), []int{2, 0}, 2, "1:[0 1]"},
		{"the smallest pool below B is topped up", pooled(1), []int{3, 2}, 1, "1:[0]"},
		{"topping up may pass B", pooled(1), []int{3}, 4, "0:[0 1 2 3]"},
		{"a pool of B is full", pooled(1), []int{4}, 1, ""},
		{"unless it is deeper", pooled(2), []int{4}, 9, "0:[0 1 2 3]"},
		{"idle-only: an idle pipeline", idle, []int{1, 0}, 9, "1:[0 1 2 3]"},
		{"idle-only: no top-up", idle, []int{1, 2}, 9, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := serve.NewManager()
			var ready []int
			for p, n := range tt.pools {
				m.Open(p, topology.ParallelConfig{}, 4)
				ready = append(ready, p)
				// Earlier requests; their numbers are beside the point.
				var ids []event.RequestID
				for i := range n {
					ids = append(ids, event.RequestID(1000+10*p+i))
				}
				for _, id := range ids {
					m.Arrive(event.RequestArrived{Request: id, PromptTokens: 1, OutputTokens: 1}, 0)
				}
				take(t, m, p, ids)
			}
			arrive(m, 0, tt.queued)
			if got := printed(m.Dispatch(tt.policy, ready)); got != tt.want {
				t.Errorf("assigned %q, want %q", got, tt.want)
			}
		})
	}
}

// take moves ids, the only queued requests, into a pipeline's pool.
func take(t *testing.T, m *serve.Manager, pipeline int, ids []event.RequestID) {
	t.Helper()
	var got []event.RequestID
	for _, a := range m.Dispatch(serve.Policy{Batching: experiment.Pooled, PoolDepth: 100}, []int{pipeline}) {
		got = append(got, requests(a.Requests)...)
	}
	if !slices.Equal(got, ids) {
		t.Fatalf("pool of %d got %v, want %v", pipeline, got, ids)
	}
}

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	m := serve.NewManager()
	m.Open(0, topology.ParallelConfig{}, 1)
	policy := serve.Policy{Batching: experiment.Pooled, PoolDepth: 100}
	arrive(m, 0, 3)
	if got := printed(m.Dispatch(policy, []int{0})); got != "0:[0] 0:[1] 0:[2]" {
		t.Fatalf("assigned %s", got)
	}
	arrive(m, 3, 1)
	m.Close(0)
	m.Open(0, topology.ParallelConfig{}, 1)
	// 2 and 0 come back and stand before 3, where their arrivals belong.
	m.Requeue([]event.RequestID{2, 0})
	if got := printed(m.Dispatch(policy, []int{0})); got != "0:[0] 0:[2] 0:[3]" {
		t.Errorf("assigned %s", got)
	}
	// Arrivals of the same instant go by number.
	for _, id := range []event.RequestID{12, 11} {
		m.Arrive(event.RequestArrived{Request: id, PromptTokens: 1, OutputTokens: 1}, 99)
	}
	if got := printed(m.Dispatch(policy, []int{0})); got != "0:[11] 0:[12]" {
		t.Errorf("assigned %s", got)
	}
}
