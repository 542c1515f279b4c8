package dataplane

import (
	"context"
	"fmt"
	"sync"
)

// address is where a message goes: what Recv waits for.
type address struct {
	device int
	from   Peer
	step   Step
	tag    Tag
	number uint32
}

// group is a micro-batch as a device sees it.
type group struct {
	device, pipeline, group int
}

// progress is what is known of the steps of a group.
type progress struct {
	newest  uint64 // the newest step that the device has dealt with
	aborted bool   // that step, and those before it, were given up
	reason  error
}

type result struct {
	message *Message
	err     error
}

// inbox holds what has arrived for the devices of a mesh until somebody takes it.
type inbox struct {
	limit int64

	mu      sync.Mutex
	closed  error
	bytes   int64
	arrived map[address]*Message
	waiting map[address]chan result
	groups  map[group]*progress
	work    map[int][]*Message    // by device, in the order of arrival
	workers map[int]chan struct{} // by device: signalled when there is work
}

func newInbox(limit int64) *inbox {
	return &inbox{
		limit:   limit,
		arrived: map[address]*Message{},
		waiting: map[address]chan result{},
		groups:  map[group]*progress{},
		work:    map[int][]*Message{},
		workers: map[int]chan struct{}{},
	}
}

// take counts n bytes that are about to arrive. Errors: ErrOverflow.
func (b *inbox) take(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes+int64(n) > b.limit {
		return fmt.Errorf("%w: %d bytes are waiting, %d more came, allowed are %d", ErrOverflow, b.bytes, n, b.limit)
	}
	b.bytes += int64(n)
	return nil
}

func (b *inbox) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= int64(n)
}

// messageBytes is what a message takes besides its buffer, about.
const messageBytes = 320

// cost is what a message with a head and rows of n bytes takes while it waits.
func cost(n int) int { return messageBytes + bufferBytes(n) }

func (m *Message) size() int { return messageBytes + 4*len(m.buffer.memory) }

// discard forgets a message that take has counted.
func (b *inbox) discard(m *Message) {
	b.bytes -= int64(m.size())
	m.Release()
}

// deliver gives m, which take has counted, to whoever waits for it, or keeps it.
func (b *inbox) deliver(device int, m *Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.groups[group{device, m.Step.Pipeline, m.Step.Group}]
	if b.closed != nil || at != nil && (m.Step.Number < at.newest || m.Step.Number == at.newest && at.aborted) {
		b.discard(m)
		return
	}
	if m.Tag == Work {
		b.work[device] = append(b.work[device], m)
		b.signal(device)
		return
	}
	to := address{device, m.From, m.Step, m.Tag, m.number}
	if w := b.waiting[to]; w != nil {
		delete(b.waiting, to)
		b.bytes -= int64(m.size())
		w <- result{message: m}
		return
	}
	if old := b.arrived[to]; old != nil {
		b.discard(old)
	}
	b.arrived[to] = m
}

func (b *inbox) bell(device int) chan struct{} {
	if b.workers[device] == nil {
		b.workers[device] = make(chan struct{}, 1)
	}
	return b.workers[device]
}

func (b *inbox) signal(device int) {
	select {
	case b.bell(device) <- struct{}{}:
	default:
	}
}

// begin notes that device deals with step: earlier ones of its group are over.
// Errors: ErrAborted if step itself is over.
func (b *inbox) begin(device int, step Step) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.beginLocked(device, step)
}

func (b *inbox) beginLocked(device int, step Step) error {
	if b.closed != nil {
		return b.closed
	}
	key := group{device, step.Pipeline, step.Group}
	at := b.groups[key]
	if at == nil {
		at = &progress{newest: step.Number}
		b.groups[key] = at
	}
	switch {
	case step.Number < at.newest:
		return fmt.Errorf("%w: %s is over, step %d has begun", ErrAborted, step, at.newest)
	case step.Number > at.newest:
		*at = progress{newest: step.Number}
		b.drop(key, step.Number, fmt.Errorf("%w: step %d of the group has begun", ErrAborted, step.Number))
	case at.aborted:
		return at.reason
	}
	return nil
}

// drop forgets what arrived for the steps of a group below number, and ends who
// waits for it with err.
func (b *inbox) drop(g group, number uint64, err error) {
	old := func(device int, s Step) bool {
		return group{device, s.Pipeline, s.Group} == g && s.Number < number
	}
	for to, m := range b.arrived {
		if old(to.device, to.step) {
			delete(b.arrived, to)
			b.discard(m)
		}
	}
	for to, w := range b.waiting {
		if old(to.device, to.step) {
			delete(b.waiting, to)
			w <- result{err: err}
		}
	}
	kept := b.work[g.device][:0]
	for _, m := range b.work[g.device] {
		if old(g.device, m.Step) {
			b.discard(m)
		} else {
			kept = append(kept, m)
		}
	}
	clear(b.work[g.device][len(kept):])
	b.work[g.device] = kept
}

// abort gives up step, and those of its group before it.
func (b *inbox) abort(device int, step Step, reason error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := group{device, step.Pipeline, step.Group}
	at := b.groups[key]
	if at == nil {
		at = &progress{}
		b.groups[key] = at
	}
	if at.newest > step.Number || at.newest == step.Number && at.aborted {
		return
	}
	*at = progress{newest: step.Number, aborted: true, reason: reason}
	b.drop(key, step.Number+1, reason)
}

// current lists the newest steps of a pipeline that device has dealt with.
func (b *inbox) current(device, pipeline int) []Step {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Step
	for g, at := range b.groups {
		if g.device == device && g.pipeline == pipeline && !at.aborted {
			out = append(out, Step{Pipeline: pipeline, Group: g.group, Number: at.newest})
		}
	}
	return out
}

// recv waits for the message at to.
func (b *inbox) recv(ctx context.Context, to address) (*Message, error) {
	b.mu.Lock()
	if err := b.beginLocked(to.device, to.step); err != nil {
		b.mu.Unlock()
		return nil, err
	}
	if m := b.arrived[to]; m != nil {
		delete(b.arrived, to)
		b.bytes -= int64(m.size())
		b.mu.Unlock()
		return m, nil
	}
	if b.waiting[to] != nil {
		b.mu.Unlock()
		return nil, fmt.Errorf("%w: somebody waits for this message already", ErrFrame)
	}
	w := make(chan result, 1)
	b.waiting[to] = w
	b.mu.Unlock()
	select {
	case r := <-w:
		return r.message, r.err
	case <-ctx.Done():
	}
	b.mu.Lock()
	if b.waiting[to] == w {
		delete(b.waiting, to)
	}
	b.mu.Unlock()
	select {
	case r := <-w: // it came meanwhile
		return r.message, r.err
	default:
		return nil, context.Cause(ctx)
	}
}

// accept waits for work of device, and begins its step.
func (b *inbox) accept(ctx context.Context, device int) (*Message, error) {
	for {
		m, bell, err := b.nextWork(device)
		if m != nil || err != nil {
			return m, err
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (b *inbox) nextWork(device int) (*Message, <-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.work[device]) > 0 {
		m := b.work[device][0]
		b.work[device][0] = nil
		b.work[device] = b.work[device][1:]
		if err := b.beginLocked(device, m.Step); err != nil {
			b.discard(m)
			continue
		}
		b.bytes -= int64(m.size())
		if len(b.work[device]) > 0 {
			b.signal(device) // for another goroutine that accepts
		}
		return m, nil, nil
	}
	if b.closed != nil {
		b.signal(device)
		return nil, nil, b.closed
	}
	return nil, b.bell(device), nil
}

// end fails everyone who waits, now and later, and forgets what arrived.
func (b *inbox) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed != nil {
		return
	}
	b.closed = err
	for to, w := range b.waiting {
		delete(b.waiting, to)
		w <- result{err: err}
	}
	for to, m := range b.arrived {
		delete(b.arrived, to)
		b.discard(m)
	}
	for device, work := range b.work {
		for _, m := range work {
			b.discard(m)
		}
		delete(b.work, device)
	}
	for device := range b.workers {
		b.signal(device)
	}
}
