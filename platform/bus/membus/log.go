package membus

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/internal/feed"
)

// log is one stream.
type log struct {
	window  time.Duration // of deduplication
	ackWait time.Duration

	mu sync.Mutex
	// messages ascend by Seq. Readers hold parts of this slice without the
	// lock: what is in it never changes, append adds behind it, and purge
	// makes a new one.
	messages []bus.Message
	first    uint64 // sequence of the first message ever
	next     uint64 // sequence of the next message
	seen     map[string]uint64
	ids      []seenID // what is in seen, oldest first
	wakes    map[wake]struct{}
	durables map[string]*durable
}

type seenID struct {
	id string
	at time.Time
}

// wake tells a reader that there may be something new. It holds one signal, so
// that none is lost between a reader's look at the log and its wait.
type wake chan struct{}

func newLog(o Options) *log {
	return &log{
		window:   o.DuplicateWindow,
		ackWait:  o.AckWait,
		first:    o.FirstSeq,
		next:     o.FirstSeq,
		seen:     map[string]uint64{},
		wakes:    map[wake]struct{}{},
		durables: map[string]*durable{},
	}
}

// append stores m and returns its sequence, or that of the message whose ID it
// repeats.
func (l *log) append(m bus.Outgoing) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.store(m)
}

// appendAfter stores m if last is the sequence of the newest message of its
// subject.
func (l *log) appendAfter(m bus.Outgoing, last uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if newest, _ := l.newest(m.Subject); newest.Seq != last {
		return 0, fmt.Errorf("%w: the newest of %s has sequence %d, expected was %d", bus.ErrTaken, m.Subject, newest.Seq, last)
	}
	return l.store(m), nil
}

// newest is called with the lock held.
func (l *log) newest(filter string) (m bus.Message, found bool) {
	for _, m := range slices.Backward(l.messages) {
		if bus.Match(filter, m.Subject) {
			return m, true
		}
	}
	return bus.Message{}, false
}

// store is called with the lock held.
func (l *log) store(m bus.Outgoing) uint64 {
	now := time.Now()
	if m.ID != "" {
		for len(l.ids) > 0 && now.Sub(l.ids[0].at) >= l.window {
			delete(l.seen, l.ids[0].id)
			l.ids = l.ids[1:]
		}
		if seq, ok := l.seen[m.ID]; ok {
			return seq
		}
		l.seen[m.ID] = l.next
		l.ids = append(l.ids, seenID{m.ID, now})
	}
	seq := l.next
	l.next++
	l.messages = append(l.messages, bus.Message{
		Subject: m.Subject, Data: m.Data, Seq: seq, Published: now, TraceContext: m.Bounded(),
	})
	l.wakeAll()
	return seq
}

func (l *log) last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == l.first {
		return 0
	}
	return l.next - 1
}

func (l *log) purge(gone func(bus.Message) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := make([]bus.Message, 0, len(l.messages))
	for _, m := range l.messages {
		if !gone(m) {
			kept = append(kept, m)
		}
	}
	l.messages = kept
}

// attach returns the sequence at which a reader starts, and what wakes it.
func (l *log) attach(from bus.Position) (uint64, wake) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := make(wake, 1)
	l.wakes[w] = struct{}{}
	if from.New {
		return l.next, w
	}
	return from.Seq, w
}

func (l *log) detach(w wake) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.wakes, w)
}

// wakeAll is called with the lock held.
func (l *log) wakeAll() {
	for w := range l.wakes {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// from returns the messages from next on. They must not be changed.
func (l *log) from(next uint64) []bus.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.messages[l.index(next):]
}

// index is the place of the first message at or after seq. It is called with
// the lock held.
func (l *log) index(seq uint64) int {
	i, _ := slices.BinarySearchFunc(l.messages, seq, func(m bus.Message, seq uint64) int { return cmp.Compare(m.Seq, seq) })
	return i
}

// follow feeds a reader until it wants no more.
func (l *log) follow(f *feed.Feed[bus.Message], next uint64, w wake, filters []string) {
	for {
		for _, m := range l.from(next) {
			next = m.Seq + 1
			if bus.MatchAny(filters, m.Subject) && !f.Send(m) {
				return
			}
		}
		select {
		case <-w:
		case <-f.Context().Done():
			return
		}
	}
}
