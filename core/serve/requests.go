// Package serve is the request manager: the queue, the pools of the pipelines,
// and what became of every request.
package serve

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// state is where a request is.
type state int

const (
	queued   state = iota
	assigned       // in a pool
	detached       // its pool is closed: nowhere until Requeue or Resume
	ended
)

// request is the manager's book page of one request.
type request struct {
	id        event.RequestID
	arrived   vtime.Time
	started   vtime.Time // of its first batch
	running   vtime.Time // of its current batch; vtime.Never outside one
	compute   time.Duration
	prompt    int
	output    int
	committed int // tokens kept, whether or not their KV cache is
	carried   int // tokens that were committed before the last batch began
	lost      int
	stopped   int
	pipeline  int
	config    topology.ParallelConfig
	state     state
}

// Manager owns every request from arrival to its end.
type Manager struct {
	requests  map[event.RequestID]*request
	queue     queue
	pools     map[int]*pool // by pipeline
	accepted  int
	completed int
	twice     int
}

// pool is what a pipeline was sent and has not answered.
type pool struct {
	config topology.ParallelConfig
	limit  int
	ids    []event.RequestID
}

// NewManager returns a manager without requests.
func NewManager() *Manager {
	return &Manager{requests: make(map[event.RequestID]*request), pools: make(map[int]*pool)}
}

// Arrive accepts a request. A request whose id is known already is refused and
// changes nothing.
func (m *Manager) Arrive(e event.RequestArrived, now vtime.Time) (accepted bool) {
	if _, known := m.requests[e.Request]; known {
		return false
	}
	r := &request{
		id: e.Request, arrived: now, started: vtime.Never, running: vtime.Never,
		prompt: e.PromptTokens, output: e.OutputTokens, pipeline: -1,
	}
	m.requests[e.Request] = r
	m.accepted++
	m.queue.push(r)
	return true
}

// Open gives a pipeline an empty pool, for batches of up to limit requests.
func (m *Manager) Open(pipeline int, c topology.ParallelConfig, limit int) {
	m.pools[pipeline] = &pool{config: c, limit: limit}
}

// Resume puts an interrupted batch into the pool of the pipeline that has
// inherited its KV cache. Only requests of closed pools can be.
func (m *Manager) Resume(pipeline int, ids []event.RequestID) []event.AssignedRequest {
	var moved []event.RequestID
	for _, id := range ids {
		if r := m.requests[id]; r != nil && r.state == detached {
			r.state = assigned // a second mention does not count
			moved = append(moved, id)
		}
	}
	return m.assign(pipeline, moved)
}

func (m *Manager) assign(pipeline int, ids []event.RequestID) []event.AssignedRequest {
	p := m.pools[pipeline]
	out := make([]event.AssignedRequest, 0, len(ids))
	for _, id := range ids {
		r := m.requests[id]
		r.state, r.pipeline, r.config = assigned, pipeline, p.config
		p.ids = append(p.ids, id)
		out = append(out, event.AssignedRequest{
			Request: id, PromptTokens: r.prompt, OutputTokens: r.output, Committed: r.committed,
		})
	}
	return out
}

// Close empties a pipeline's pool and takes it away. It returns what was in
// it; those requests are nowhere until Requeue or Resume.
func (m *Manager) Close(pipeline int) []event.RequestID {
	p := m.pools[pipeline]
	if p == nil {
		return nil
	}
	delete(m.pools, pipeline)
	for _, id := range p.ids {
		m.requests[id].state = detached
	}
	return p.ids
}

// Requeue puts requests of closed pools back to where their arrival time
// belongs.
func (m *Manager) Requeue(ids []event.RequestID) {
	for _, id := range ids {
		if r := m.requests[id]; r != nil && r.state == detached {
			r.state = queued
			m.queue.push(r)
		}
	}
}

// Started notes that a batch with these requests began to compute.
func (m *Manager) Started(ids []event.RequestID, at vtime.Time) {
	for _, id := range ids {
		if r := m.requests[id]; r != nil && r.state == assigned {
			r.started = min(r.started, at)
			r.running = at
			r.carried = r.committed
		}
	}
}

// Commit notes that a batch has generated tokens tokens since it began.
// Committed tokens never decrease.
func (m *Manager) Commit(ids []event.RequestID, tokens int) {
	for _, id := range ids {
		if r := m.requests[id]; r != nil && r.state == assigned {
			r.committed = max(r.committed, min(r.output, r.carried+tokens))
		}
	}
}

// CommitAt notes how far an interrupted request has come, over all batches.
func (m *Manager) CommitAt(id event.RequestID, committed int) {
	if r := m.requests[id]; r != nil && r.state == assigned {
		r.committed = max(r.committed, min(r.output, committed))
	}
}

// Interrupt notes that running requests were stopped at now; computed is how
// many tokens their batch had generated since it began. What was not committed
// is lost. It returns the tokens lost.
func (m *Manager) Interrupt(ids []event.RequestID, now vtime.Time, computed int) (lost int) {
	for _, id := range ids {
		r := m.requests[id]
		if r == nil || r.running == vtime.Never {
			continue
		}
		r.compute += now.Sub(r.running)
		r.running = vtime.Never
		r.stopped++
		missing := max(0, min(r.output, r.carried+computed)-r.committed)
		r.lost += missing
		lost += missing
	}
	return lost
}

// Complete ends a request of a pool with its answer. It returns false, and
// counts a duplicate, if the request is in no pool: it has ended before, or will
// be served elsewhere.
func (m *Manager) Complete(id event.RequestID, batchEnd, now vtime.Time) (event.RequestRecord, bool) {
	r := m.requests[id]
	if r == nil || r.state != assigned {
		m.twice++
		return event.RequestRecord{}, false
	}
	p := m.pools[r.pipeline]
	i := slices.Index(p.ids, id)
	p.ids = slices.Delete(p.ids, i, i+1)
	if r.running != vtime.Never {
		r.compute += batchEnd.Sub(r.running)
		r.running = vtime.Never
	}
	r.state = ended
	m.completed++
	return r.record(now), true
}

// EndUnfinished ends every request that has no answer yet, by id, and returns
// their records.
func (m *Manager) EndUnfinished(now vtime.Time) []event.RequestRecord {
	var open []*request
	for _, r := range m.requests {
		if r.state != ended {
			open = append(open, r)
		}
	}
	slices.SortFunc(open, func(a, b *request) int { return compareIDs(a.id, b.id) })
	out := make([]event.RequestRecord, len(open))
	for i, r := range open {
		if r.running != vtime.Never {
			r.compute += now.Sub(r.running)
			r.running = vtime.Never
		}
		r.state = ended
		out[i] = r.record(vtime.Never)
	}
	m.queue = queue{}
	return out
}

func (r *request) record(finished vtime.Time) event.RequestRecord {
	return event.RequestRecord{
		Request: r.id, Arrived: r.arrived, Started: r.started, Finished: finished, Compute: r.compute,
		PromptTokens: r.prompt, OutputTokens: r.output, Committed: r.carried, Recomputed: r.lost,
		Interrupted: r.stopped, Pipeline: r.pipeline, Config: r.config,
	}
}

// Totals are the manager's counts.
type Totals struct {
	Accepted   int
	Completed  int
	Duplicated int // second completions, dropped
	Queued     int
	Open       int // accepted and not ended
}

// Totals returns the counts so far.
func (m *Manager) Totals() Totals {
	return Totals{
		Accepted: m.accepted, Completed: m.completed, Duplicated: m.twice,
		Queued: m.queue.Len(), Open: m.accepted - m.completed,
	}
}

// CachedTokens is how many tokens of KV cache a batch of these requests keeps.
func (m *Manager) CachedTokens(ids []event.RequestID) int {
	n := 0
	for _, id := range ids {
		if r := m.requests[id]; r != nil {
			n += r.prompt + r.committed
		}
	}
	return n
}

// LongestPrefill is the longest prompt, with the tokens committed so far, of
// these requests.
func (m *Manager) LongestPrefill(ids []event.RequestID) int {
	n := 0
	for _, id := range ids {
		if r := m.requests[id]; r != nil {
			n = max(n, r.prompt+r.committed)
		}
	}
	return n
}
