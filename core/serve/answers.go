package serve

import (
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// answer is what a run that computes tokens keeps of a request beside the counts.
type answer struct {
	prompt *experiment.Prompt
	Answer
}

// Answer is how far the answer to a request has come.
type Answer struct {
	Name    string // the user's id of the request
	Tokens  []int32
	Text    string // of the whole answer
	Done    bool   // nothing follows
	Refused string // why there is no answer
	// PromptTokens is the length of a prompt that came as text; 0 until the end.
	PromptTokens int
}

// Known reports whether a request has arrived, whatever became of it.
func (m *Manager) Known(id event.RequestID) bool {
	return m.requests[id] != nil || m.ended.Has(uint64(id))
}

// Reject notes a request that is refused at its arrival.
func (m *Manager) Reject(id event.RequestID) { m.ended.Add(uint64(id)) }

// Tell takes a part of an answer from the pipeline that has the request. It
// reports false, and takes nothing, if a token was told before with another value,
// or one before it was never told.
func (m *Manager) Tell(pipeline int, g event.Generated) (same bool) {
	r := m.requests[g.Request]
	if r == nil || r.answer == nil || r.state != assigned || r.pipeline != pipeline {
		return true // not its business any more
	}
	a := r.answer
	if g.From < 0 || g.From > len(a.Tokens) || r.output < g.From+len(g.Tokens) {
		return false
	}
	known := min(len(g.Tokens), len(a.Tokens)-g.From)
	if !slices.Equal(g.Tokens[:known], a.Tokens[g.From:g.From+known]) || a.Done && known < len(g.Tokens) {
		return false
	}
	a.Tokens = append(a.Tokens, g.Tokens[known:]...)
	if m.policy.Stateful {
		r.committed = len(a.Tokens)
	}
	if g.Done {
		a.Done, a.Text, a.Refused, a.PromptTokens = true, g.Text, g.Refused, g.PromptTokens
	}
	return true
}

// forget drops what a stateless approach does not keep when a pipeline stops.
func (m *Manager) forget(r *request) {
	if r.answer != nil && !m.policy.Stateful {
		r.answer.Answer = Answer{Name: r.answer.Name}
	}
}

// Of lists the requests in the pool of a pipeline.
func (m *Manager) Of(pipeline int) []event.RequestID {
	if p := m.pools[pipeline]; p != nil {
		return p.ids()
	}
	return nil
}

// Answer returns the answer to an open request, as far as it is there.
func (m *Manager) Answer(id event.RequestID) Answer {
	if r := m.requests[id]; r != nil && r.answer != nil {
		return r.answer.Answer
	}
	return Answer{}
}

// Size is an upper bound of what a request takes in a command, in bytes.
func (m *Manager) Size(id event.RequestID) int {
	r := m.requests[id]
	if r == nil || r.answer == nil {
		return 0
	}
	return event.AssignedRequest{Prompt: r.answer.prompt, Output: r.answer.Tokens}.Size()
}

// Refuse ends a request that turned out to have no answer. It counts as refused,
// not as accepted. It returns false if the request is not in the pipeline's pool.
func (m *Manager) Refuse(pipeline int, id event.RequestID, now vtime.Time) bool {
	if _, ok := m.Complete(pipeline, id, now, now); !ok {
		return false
	}
	m.accepted--
	m.completed--
	return true
}

// Names returns the users' ids of the open requests that have one.
func (m *Manager) Names() map[event.RequestID]string {
	out := make(map[event.RequestID]string)
	for id, r := range m.requests {
		if r.answer != nil && r.answer.Name != "" {
			out[id] = r.answer.Name
		}
	}
	return out
}
