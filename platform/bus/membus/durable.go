package membus

import (
	"context"
	"slices"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/internal/feed"
)

// maxPending is how many messages of one durable consumer may wait for their
// acknowledgement before it gets no new ones.
const maxPending = 10_000

// durable is the state of a durable consumer. The lock of its log protects it.
type durable struct {
	log     *log
	filters []string
	next    uint64 // first sequence that was never delivered
	pending map[uint64]lease
	again   []uint64 // sequences to deliver again; what is not pending was acknowledged
	due     []expiry // of all leases, soonest first; entries of ended leases stay until then
}

// lease is a delivery that was not acknowledged.
type lease struct {
	owner *feed.Feed[bus.Delivery] // nil: in again
	until time.Time
}

type expiry struct {
	seq uint64
	at  time.Time
}

// durable returns the consumer of this name and gives it new filters.
func (l *log) durable(name string, filters []string) *durable {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.durables[name]
	if d == nil {
		d = &durable{log: l, pending: map[uint64]lease{}}
		l.durables[name] = d
	}
	d.filters = filters
	return d
}

// work feeds a worker until it wants no more.
func (d *durable) work(open context.Context, f *feed.Feed[bus.Delivery], w wake) {
	for {
		m, ok, wait := d.take(f)
		if ok {
			if !f.Send(bus.Delivery{Message: m, Ack: d.acker(open, m.Seq)}) {
				return
			}
			continue
		}
		var expiry <-chan time.Time
		if wait > 0 {
			expiry = time.After(wait)
		}
		select {
		case <-w:
		case <-expiry:
		case <-f.Context().Done():
			return
		}
	}
}

// take leases the next message to f. Without one, it returns after how long the
// soonest lease expires, or 0 if there is none.
func (d *durable) take(f *feed.Feed[bus.Delivery]) (m bus.Message, ok bool, wait time.Duration) {
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	now := time.Now()
	d.expire(now)
	m, ok = d.takeAgain()
	if !ok {
		m, ok = d.takeNew()
	}
	if ok {
		until := now.Add(d.log.ackWait)
		d.pending[m.Seq] = lease{f, until}
		d.due = append(d.due, expiry{m.Seq, until})
		return m, true, 0
	}
	if len(d.due) > 0 {
		wait = d.due[0].at.Sub(now)
	}
	return bus.Message{}, false, wait
}

// expire moves leases that are over to again.
func (d *durable) expire(now time.Time) {
	for len(d.due) > 0 {
		e := d.due[0]
		l, ok := d.pending[e.seq]
		current := ok && l.owner != nil && l.until.Equal(e.at)
		if current && e.at.After(now) {
			return
		}
		d.due = d.due[1:]
		if current {
			d.giveBack(e.seq)
		}
	}
}

func (d *durable) giveBack(seq uint64) {
	d.pending[seq] = lease{}
	d.again = append(d.again, seq)
}

func (d *durable) takeAgain() (bus.Message, bool) {
	slices.Sort(d.again)
	for len(d.again) > 0 {
		seq := d.again[0]
		d.again = d.again[1:]
		if l, ok := d.pending[seq]; !ok || l.owner != nil {
			continue
		}
		if i := d.log.index(seq); i < len(d.log.messages) && d.log.messages[i].Seq == seq {
			return d.log.messages[i], true
		}
		delete(d.pending, seq) // purged
	}
	return bus.Message{}, false
}

func (d *durable) takeNew() (bus.Message, bool) {
	if len(d.pending) >= maxPending {
		return bus.Message{}, false
	}
	for _, m := range d.log.messages[d.log.index(d.next):] {
		d.next = m.Seq + 1
		if bus.MatchAny(d.filters, m.Subject) {
			return m, true
		}
	}
	return bus.Message{}, false
}

// waiting counts what is not delivered or not acknowledged under the name.
func (l *log) waiting(name string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.durables[name]
	if d == nil {
		return 0
	}
	n := uint64(len(d.pending))
	for _, m := range l.messages[l.index(d.next):] {
		if bus.MatchAny(d.filters, m.Subject) {
			n++
		}
	}
	return n
}

// acker returns the acknowledgement of seq.
func (d *durable) acker(open context.Context, seq uint64) func() error {
	return func() error {
		if open.Err() != nil {
			return bus.ErrClosed
		}
		d.log.mu.Lock()
		defer d.log.mu.Unlock()
		full := len(d.pending) >= maxPending
		delete(d.pending, seq)
		if full {
			d.log.wakeAll()
		}
		return nil
	}
}

// release hands on what f's reader did not acknowledge.
func (d *durable) release(f *feed.Feed[bus.Delivery]) {
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	for seq, l := range d.pending {
		if l.owner == f {
			d.giveBack(seq)
		}
	}
	d.log.wakeAll()
}
