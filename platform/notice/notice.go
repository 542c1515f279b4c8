// Package notice is how a worker learns that its instance will go: from its
// cloud's metadata service (notice/metadata), from a file, or by a call over
// HTTP (notice/local).
//
// A Source tells what it sees, again and again where its cloud repeats itself. A
// Board makes one state of it: what stands for an instance now.
package notice

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Kind is what a notice says.
type Kind string

// The kinds of notices.
const (
	// Preemption: the instance goes at the deadline.
	Preemption Kind = "preemption"
	// Rebalance: the instance is more likely to go than others, at no known time.
	Rebalance Kind = "rebalance"
	// Cancelled: the instance stays after all.
	Cancelled Kind = "cancelled"
)

// Notice is one telling of a source.
type Notice struct {
	Instance string // the node's name in SpotServe
	Kind     Kind
	Deadline time.Time // of a preemption; else zero
	ID       string    // the cloud's own, for the log; may be empty
}

// Source watches for notices about one instance.
type Source interface {
	// Watch hands every notice to emit, in order, until the context ends; then
	// it returns nil. Failures that may pass are logged and waited out. An error
	// is one that no waiting mends.
	Watch(ctx context.Context, emit func(Notice)) error
	// String names the source as its flag does, "aws" for example.
	String() string
}

// Standing is what is known of one instance.
type Standing struct {
	Deadline time.Time // when the instance goes; zero if it stays
	AtRisk   bool      // a rebalance was recommended
}

// apart is how far two tellings of one deadline may lie apart: sources round to
// seconds, and one that is told "in 30 s" again counts from then.
const apart = 2 * time.Second

// After is what stands when n has been told at now, and whether that is news.
// The earliest deadline counts until it is cancelled or has passed. IDs decide
// nothing, as some clouds repeat a notice under a new one.
func (s Standing) After(n Notice, now time.Time) (next Standing, news bool) {
	switch n.Kind {
	case Preemption:
		passed := func(at time.Time) bool { return now.After(at.Add(apart)) }
		switch {
		case n.Deadline.IsZero():
		case s.Deadline.IsZero(), !passed(n.Deadline) && (n.Deadline.Before(s.Deadline.Add(-apart)) || passed(s.Deadline)):
			s.Deadline, news = n.Deadline, true
		}
	case Rebalance:
		s.AtRisk, news = true, !s.AtRisk
	case Cancelled:
		news = !s.Deadline.IsZero()
		s.Deadline = time.Time{}
	}
	return s, news
}

// Board keeps what stands for each instance. It is safe for concurrent use; the
// zero value is not usable, use NewBoard.
type Board struct {
	log      *slog.Logger
	mu       sync.Mutex
	standing map[string]Standing
	changed  chan struct{} // closed at the next news
}

// NewBoard returns a board that nothing stands on. News are logged.
func NewBoard(log *slog.Logger) *Board {
	return &Board{log: log, standing: make(map[string]Standing), changed: make(chan struct{})}
}

// Post takes a notice of the source named from.
func (b *Board) Post(from string, n Notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next, news := b.standing[n.Instance].After(n, time.Now())
	if !news {
		b.log.Debug("notice again", "source", from, "instance", n.Instance, "kind", n.Kind, "deadline", n.Deadline, "id", n.ID)
		return
	}
	b.log.Info("notice", "source", from, "instance", n.Instance, "kind", n.Kind, "deadline", n.Deadline, "id", n.ID)
	b.standing[n.Instance] = next
	close(b.changed)
	b.changed = make(chan struct{})
}

// Standing returns what stands for an instance, and a channel that is closed
// when anything on the board changes.
func (b *Board) Standing(instance string) (Standing, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.standing[instance], b.changed
}
