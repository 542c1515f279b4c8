package dataplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// pings is how often a link that is idle says that its sender lives, in a timeout.
const pings = 3

// link sends from a device here to one of another node. It is connected when it is
// first used, and again after it broke.
type link struct {
	mesh   *Mesh
	device int
	to     Peer

	turn chan struct{} // holds one token: who has it may use what follows
	wire *wire         // nil: not connected
	last time.Time     // of the last frame
	body []byte
}

func (m *Mesh) link(device int, to Peer) *link {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := linkName{device, to}
	l := m.links[name]
	if l == nil {
		l = &link{mesh: m, device: device, to: to, turn: make(chan struct{}, 1)}
		l.turn <- struct{}{}
		if !m.closed {
			m.links[name] = l
		}
	}
	return l
}

// send writes a message. A link that it leaves half-written is closed.
func (l *link) send(ctx context.Context, h stepHead, head []byte, rows []float32) error {
	return l.use(ctx, func(w *wire) error {
		l.body = h.append(l.body[:0])
		return w.send(frameStep, 0, l.body, head, bytesOf(rows))
	})
}

// tell writes that a step was given up.
func (l *link) tell(ctx context.Context, s Step, reason string) error {
	return l.use(ctx, func(w *wire) error { return w.send(frameAbort, 0, abortBytes(s, reason)) })
}

func (l *link) use(ctx context.Context, write func(*wire) error) error {
	select {
	case <-l.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.mesh.ctx.Done():
		return ErrClosed
	}
	defer func() { l.turn <- struct{}{} }()
	if l.wire == nil {
		if err := l.connect(ctx); err != nil {
			return l.failure(ctx, err)
		}
	}
	w := l.wire
	stop := context.AfterFunc(ctx, func() { _ = w.conn.Close() })
	err := write(w)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		w.fail(err) // its watcher tells the mesh
		l.wire = nil
	}
	if err != nil {
		return l.failure(ctx, err)
	}
	l.last = time.Now()
	return nil
}

// failure is what to say of an error of this link.
func (l *link) failure(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case l.mesh.ctx.Err() != nil:
		return ErrClosed
	default:
		return fmt.Errorf("%w: %s: %w", ErrPeer, l.to, err)
	}
}

// connect opens the link. It needs the turn.
func (l *link) connect(ctx context.Context) error {
	o := l.mesh.server.options
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.mesh.ctx, cancel)()
	conn, err := o.dial(ctx, l.to.Node)
	if err != nil {
		return err
	}
	w := newWire(conn, o.Timeout)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	join := joinRequest{run: l.mesh.run, epoch: l.mesh.epoch, from: l.mesh.local(l.device), to: l.to}
	err = w.send(frameJoin, 0, join.bytes())
	if err == nil {
		_, err = w.answer(frameJoined, o.Timeout)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil && !l.mesh.spawn(func() { l.watch(w) }) {
		err = ErrClosed
	}
	if err != nil {
		_ = conn.Close()
		return err
	}
	l.wire, l.last = w, time.Now()
	return nil
}

// watch pings, and finds out when the link breaks.
func (l *link) watch(w *wire) {
	defer context.AfterFunc(l.mesh.ctx, func() { _ = w.conn.Close() })()
	for {
		_, err := w.answer(frameJoined, w.timeout/pings)
		if errors.Is(err, os.ErrDeadlineExceeded) && l.ping(w) {
			continue
		}
		if err == nil {
			err = fmt.Errorf("%w: joined twice", ErrFrame)
		}
		w.fail(err)
		break
	}
	l.mesh.lost(l.device, l.to, w.failure())
	<-l.turn
	if l.wire == w {
		l.wire = nil
	}
	l.turn <- struct{}{}
}

// ping reports whether the link is still good. Who holds the turn is sending, which
// is as good as a ping.
func (l *link) ping(w *wire) bool {
	select {
	case <-l.turn:
	default:
		return true
	}
	defer func() { l.turn <- struct{}{} }()
	if l.wire != w {
		return false
	}
	if time.Since(l.last) < w.timeout/pings {
		return true
	}
	l.last = time.Now()
	err := w.send(framePing, 0)
	if err != nil {
		w.fail(err)
	}
	return err == nil
}

// inbound is a link from a device of another node.
type inbound struct {
	wire *wire
	done chan struct{} // closed when nothing more comes from it

	mu sync.Mutex // of sending
}

// end tells the sender why, and closes the connection.
func (in *inbound) end(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err != nil {
		_ = in.wire.refuse(err)
	}
	_ = in.wire.conn.Close()
}

// receive takes what comes over a link to device until that ends.
func (m *Mesh) receive(w *wire, from Peer, device int) error {
	if !m.connected(from, m.local(device)) {
		return w.refuse(fmt.Errorf("%w: %s and %s have no pipeline in common in epoch %s", ErrFrame, from, m.local(device), m.epoch))
	}
	in := &inbound{wire: w, done: make(chan struct{})}
	defer close(in.done)
	if err := m.replace(linkName{device, from}, in); err != nil {
		return w.refuse(err)
	}
	w.in = bufio.NewReaderSize(w.conn, 64<<10)
	in.mu.Lock()
	err := w.send(frameJoined, 0)
	in.mu.Unlock()
	for err == nil {
		err = m.next(w, from, device)
	}
	if errors.Is(err, ErrFrame) || errors.Is(err, ErrChecksum) || errors.Is(err, ErrVersion) || errors.Is(err, ErrOverflow) {
		in.end(err)
	}
	m.forget(linkName{device, from}, in)
	m.lost(device, from, err)
	return err
}

// replace makes in the link of that name, once nothing more comes over the one
// before it: a peer that connects again has given that one up.
func (m *Mesh) replace(name linkName, in *inbound) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		old := m.inbound[name]
		switch {
		case m.closed:
			return fmt.Errorf("%w: epoch %s of run %s is over", ErrEpoch, m.epoch, m.run)
		case old == nil:
			m.inbound[name] = in
			return nil
		}
		m.mu.Unlock()
		old.end(nil)
		<-old.done
		m.mu.Lock()
	}
}

func (m *Mesh) forget(name linkName, in *inbound) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inbound[name] == in {
		delete(m.inbound, name)
	}
}

// next takes one frame of a link.
func (m *Mesh) next(w *wire, from Peer, device int) error {
	h, err := w.next(w.timeout)
	if err != nil {
		return err
	}
	switch {
	case h.kind == frameStep:
		return m.nextStep(w, h, from, device)
	case h.kind == frameAbort:
		b, err := w.control(h, maxAbort)
		if err != nil {
			return err
		}
		step, reason, err := parseAbort(b)
		if err == nil {
			err = m.check(device, step, from)
		}
		if err == nil {
			m.inbox.abort(device, step, fmt.Errorf("%w by %s: %s", ErrAborted, from, reason))
		}
		return err
	case h.kind == framePing && h.length == 0:
		return nil
	default:
		return fmt.Errorf("%w: %s of %d bytes on a link", ErrFrame, h.kind, h.length)
	}
}

func (m *Mesh) nextStep(w *wire, h header, from Peer, device int) error {
	if limit := m.server.options.MaxMessage; h.length < stepBytes || int(h.length-stepBytes) > limit {
		return fmt.Errorf("%w: a step of %d bytes, allowed are %d to %d", ErrFrame, h.length, stepBytes, stepBytes+limit)
	}
	size := cost(int(h.length - stepBytes))
	if err := m.inbox.take(size); err != nil {
		return err
	}
	msg, err := w.message(h, from)
	if err == nil {
		err = m.check(device, msg.Step, from)
	}
	if err != nil {
		m.inbox.give(size)
		return err
	}
	m.inbox.deliver(device, msg)
	return nil
}
