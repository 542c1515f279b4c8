package serve_test

import (
	"fmt"
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
			m := serve.NewManager(tt.policy)
			for p, n := range tt.pools {
				open(m, p, topology.ParallelConfig{}, 4)
				fill(m, p, n)
			}
			for p := range tt.pools {
				m.Accept(p)
			}
			arrive(m, 0, tt.queued)
			if got := printed(m.Dispatch()); got != tt.want {
				t.Errorf("assigned %q, want %q", got, tt.want)
			}
		})
	}
}

// open gives a pipeline batches of up to limit requests.
func open(m *serve.Manager, pipeline int, c topology.ParallelConfig, limit int) {
	m.Open(pipeline, c, serve.Room{Limit: limit, KVTokens: 1 << 20})
}

// fill gives a pipeline, past every policy, n requests: one of each of n
// pipelines that were closed. Their numbers are beside the point.
func fill(m *serve.Manager, pipeline, n int) {
	var ids []event.RequestID
	for i := range n {
		id := event.RequestID(1000*(pipeline+1) + i)
		m.Arrive(event.RequestArrived{Request: id, PromptTokens: 1, OutputTokens: 1}, 0)
		open(m, int(id), topology.ParallelConfig{}, 1)
		m.Accept(int(id))
		m.Dispatch()
		ids = append(ids, m.Close(int(id))...)
	}
	m.Resume(pipeline, ids)
}

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	m := serve.NewManager(serve.Policy{Batching: experiment.Pooled, PoolDepth: 100})
	reopen := func() {
		m.Close(0)
		open(m, 0, topology.ParallelConfig{}, 1)
		m.Accept(0)
	}
	reopen()
	arrive(m, 0, 3)
	if got := printed(m.Dispatch()); got != "0:[0] 0:[1] 0:[2]" {
		t.Fatalf("assigned %s", got)
	}
	arrive(m, 3, 1)
	reopen()
	// 2 and 0 come back and stand before 3, where their arrivals belong.
	m.Requeue([]event.RequestID{2, 0})
	if got := printed(m.Dispatch()); got != "0:[0] 0:[2] 0:[3]" {
		t.Errorf("assigned %s", got)
	}
	// Arrivals of the same instant go by number.
	for _, id := range []event.RequestID{12, 11} {
		m.Arrive(event.RequestArrived{Request: id, PromptTokens: 1, OutputTokens: 1}, 99)
	}
	if got := printed(m.Dispatch()); got != "0:[11] 0:[12]" {
		t.Errorf("assigned %s", got)
	}
}

func TestOnlyPipelinesThatAcceptGetRequests(t *testing.T) {
	m := serve.NewManager(serve.Policy{Batching: experiment.Pooled, PoolDepth: 1})
	open(m, 0, topology.ParallelConfig{}, 1)
	open(m, 1, topology.ParallelConfig{}, 1)
	arrive(m, 0, 3)
	m.Accept(1)
	m.Accept(7) // unknown
	if got := printed(m.Dispatch()); got != "1:[0]" {
		t.Errorf("assigned %s", got)
	}
	m.Accept(0)
	m.Accept(1) // again
	if got := printed(m.Dispatch()); got != "0:[1]" {
		t.Errorf("assigned %s", got)
	}
}
