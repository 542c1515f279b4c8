package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/bits"
	"slices"
	"sync"

	"github.com/spotserve/spotserve/core/event"
)

// maxGroups is the most micro-batches of a pipeline that may be in flight.
const maxGroups = 1 << 12

// Mesh is what the devices of a node say to each other and to those of other nodes
// in one epoch of a run. It is safe for concurrent use.
//
// Once a link to or from a device of a pipeline breaks, or one of them gives a
// step up, the steps that the pipeline's devices are dealing with fail on all of
// them: nobody waits for what cannot come. The next step opens the link anew.
type Mesh struct {
	server    *Server
	run       string
	epoch     event.Epoch
	pipelines map[int][]Peer
	inbox     *inbox
	ctx       context.Context // until Close
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	links   map[linkName]*link
	inbound map[linkName]*inbound
}

// linkName is a device here and one at the other end.
type linkName struct {
	device int
	peer   Peer
}

// Join opens this node's mesh of an epoch. pipelines are all devices of those that
// devices of this node belong to. Epochs of a run grow; meshes of several may be
// open at once. Errors: ErrEpoch if a newer one was opened before, ErrClosed.
func (s *Server) Join(run string, epoch event.Epoch, pipelines map[int][]Peer) (*Mesh, error) {
	if err := checkNames(run); err != nil {
		return nil, err
	}
	m := &Mesh{
		server: s, run: run, epoch: epoch, pipelines: maps.Clone(pipelines),
		inbox: newInbox(s.options.InboxBytes),
		links: map[linkName]*link{}, inbound: map[linkName]*inbound{},
	}
	for number, members := range m.pipelines {
		if !slices.ContainsFunc(members, m.isLocal) {
			return nil, fmt.Errorf("join epoch %s: pipeline %d has no device of %s", epoch, number, s.options.Node)
		}
	}
	m.ctx, m.cancel = context.WithCancel(s.ctx)
	if m.ctx.Err() != nil {
		m.cancel()
		return nil, ErrClosed
	}
	if err := s.meshes.add(m); err != nil {
		m.cancel()
		return nil, err
	}
	if s.ctx.Err() != nil { // the server was closed meanwhile, and may not have seen it
		m.Close()
		return nil, ErrClosed
	}
	return m, nil
}

func (m *Mesh) isLocal(p Peer) bool { return p.Node == m.server.options.Node }

func (m *Mesh) local(device int) Peer { return Peer{m.server.options.Node, device} }

// Close ends the mesh: whoever waits in it gets ErrClosed, and peers that still
// send get ErrEpoch.
func (m *Mesh) Close() {
	m.mu.Lock()
	first := !m.closed
	m.closed = true
	inbound := m.inbound
	if first {
		m.links, m.inbound = nil, nil
	}
	m.mu.Unlock()
	if first {
		m.server.meshes.remove(m)
		m.cancel()
		m.inbox.end(ErrClosed)
		over := fmt.Errorf("%w: epoch %s of run %s is over at %s", ErrEpoch, m.epoch, m.run, m.server.options.Node)
		for _, in := range inbound {
			m.wg.Go(func() { in.end(over) }) // a peer that reads nothing holds up no other's
		}
	}
	m.wg.Wait()
}

// spawn runs f in a goroutine that Close waits for, unless the mesh is closed.
func (m *Mesh) spawn(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.wg.Go(f)
	return true
}

// check says whether device here may deal with step, with the other devices.
func (m *Mesh) check(device int, step Step, others ...Peer) error {
	members, ok := m.pipelines[step.Pipeline]
	if !ok {
		return fmt.Errorf("%w: %s has no pipeline %d in epoch %s", ErrFrame, m.server.options.Node, step.Pipeline, m.epoch)
	}
	if step.Group < 0 || step.Group >= maxGroups {
		return fmt.Errorf("%w: group %d, allowed are 0 to %d", ErrFrame, step.Group, maxGroups-1)
	}
	for _, p := range append([]Peer{m.local(device)}, others...) {
		if !slices.Contains(members, p) {
			return fmt.Errorf("%w: %s is not of pipeline %d in epoch %s", ErrFrame, p, step.Pipeline, m.epoch)
		}
	}
	return nil
}

// Send sends a message of a step from a device of this node. head and rows can be
// used again when it returns; the message may be on its way by then. Earlier steps
// of the group are over with it.
//
// Errors: ErrPeer, ErrEpoch, ErrAborted, ErrClosed, ErrOverflow of a device in this
// node, ErrLength, ctx's cause.
func (m *Mesh) Send(ctx context.Context, device int, to Peer, step Step, tag Tag, head []byte, rows []float32) error {
	if tag != Work && tag != Answer {
		return fmt.Errorf("%w: tag %d is not for messages", ErrFrame, tag)
	}
	return m.send(ctx, device, to, stepHead{step: step, tag: tag}, head, rows)
}

func (m *Mesh) send(ctx context.Context, device int, to Peer, h stepHead, head []byte, rows []float32) error {
	err := m.check(device, h.step, to)
	if n := len(head) + 4*len(rows); err == nil && n > m.server.options.MaxMessage {
		err = fmt.Errorf("%w: a message of %d bytes, allowed are %d", ErrLength, n, m.server.options.MaxMessage)
	}
	if err == nil {
		err = m.inbox.begin(device, h.step)
	}
	if err == nil {
		h.head = uint32(len(head))
		if m.isLocal(to) {
			err = m.pass(device, to.Device, h, head, rows)
		} else {
			err = m.link(device, to).send(ctx, h, head, rows)
		}
	}
	if err != nil {
		return fmt.Errorf("send %s from %s to %s: %w", h.step, m.local(device), to, err)
	}
	return nil
}

// pass gives a copy of a message to another device of this node.
func (m *Mesh) pass(from, to int, h stepHead, head []byte, rows []float32) error {
	if err := m.inbox.take(cost(len(head) + 4*len(rows))); err != nil {
		return err
	}
	msg := newMessage(m.local(from), h, len(rows))
	copy(msg.Head, head)
	copy(msg.Rows, rows)
	m.inbox.deliver(to, msg)
	return nil
}

func newMessage(from Peer, h stepHead, rows int) *Message {
	msg := &Message{From: from, Step: h.step, Tag: h.tag, number: h.number}
	msg.buffer = newBuffer(4*rows + int(h.head))
	msg.Rows, msg.Head = msg.buffer.split(rows, int(h.head))
	return msg
}

// Recv waits for what another device of the pipeline sends to one of this node in
// a step. Earlier steps of the group are over with it. Errors: ErrAborted and
// ErrPeer, also while it waits; ErrClosed; ctx's cause.
func (m *Mesh) Recv(ctx context.Context, device int, from Peer, step Step, tag Tag) (*Message, error) {
	if tag != Answer {
		return nil, fmt.Errorf("%w: tag %d is not received by name", ErrFrame, tag)
	}
	return m.recv(ctx, address{device: device, from: from, step: step, tag: tag})
}

func (m *Mesh) recv(ctx context.Context, a address) (*Message, error) {
	err := m.check(a.device, a.step, a.from)
	var msg *Message
	if err == nil {
		msg, err = m.inbox.recv(ctx, a)
	}
	if err != nil {
		return nil, fmt.Errorf("receive %s at %s from %s: %w", a.step, m.local(a.device), a.from, err)
	}
	return msg, nil
}

// Accept waits for the next work of a device of this node, whatever its step, and
// begins that step. Errors: ErrClosed, ctx's cause.
func (m *Mesh) Accept(ctx context.Context, device int) (*Message, error) {
	msg, err := m.inbox.accept(ctx, device)
	if err != nil {
		return nil, fmt.Errorf("accept work at %s: %w", m.local(device), err)
	}
	return msg, nil
}

// Abort gives up a step, and those of its group before it, on all devices of its
// pipeline: what they send and receive for it fails with ErrAborted and the text of
// reason. It does not wait until they know. device is the one of this node that
// gives up.
func (m *Mesh) Abort(device int, step Step, reason error) error {
	if err := m.check(device, step); err != nil {
		return err
	}
	m.abort(device, step, fmt.Errorf("%w by %s: %w", ErrAborted, m.local(device), reason))
	return nil
}

func (m *Mesh) abort(device int, step Step, reason error) {
	text := reason.Error()
	for _, p := range m.pipelines[step.Pipeline] {
		if m.isLocal(p) {
			m.inbox.abort(p.Device, step, reason)
			continue
		}
		m.spawn(func() {
			// A peer that cannot be told is lost, and finds out by itself.
			_ = m.link(device, p).tell(m.ctx, step, text)
		})
	}
}

// connected says whether two devices are of one pipeline.
func (m *Mesh) connected(a, b Peer) bool {
	for _, members := range m.pipelines {
		if slices.Contains(members, a) && slices.Contains(members, b) {
			return true
		}
	}
	return false
}

// lost gives up what the pipelines of peer are doing.
func (m *Mesh) lost(device int, peer Peer, err error) {
	if m.ctx.Err() != nil {
		return
	}
	reason := fmt.Errorf("%w: %s: %w", ErrPeer, peer, err)
	level := slog.LevelInfo
	if errors.Is(err, ErrEpoch) || errors.Is(err, io.EOF) {
		level = slog.LevelDebug // the peer has gone on to another plan; if it has died, steps fail
	}
	m.server.options.Log.Log(m.ctx, level, "link of a pipeline broke",
		"run", m.run, "epoch", m.epoch, "device", m.local(device), "peer", peer, "error", err)
	for _, number := range slices.Sorted(maps.Keys(m.pipelines)) {
		members := m.pipelines[number]
		if !slices.Contains(members, peer) || !slices.Contains(members, m.local(device)) {
			continue
		}
		for _, step := range m.inbox.current(device, number) {
			m.abort(device, step, reason)
		}
	}
}

// Comm returns the sums and gathers of one step among the ranks of a stage; rank
// is that of a device of this node. Their number is a power of two. Every rank
// calls the same methods in the same order. It is not safe for concurrent use.
func (m *Mesh) Comm(ranks []Peer, rank int, step Step) (*Comm, error) {
	if rank < 0 || rank >= len(ranks) || bits.OnesCount(uint(len(ranks))) != 1 {
		return nil, fmt.Errorf("%w: rank %d of %d, allowed are powers of two", ErrLength, rank, len(ranks))
	}
	if !m.isLocal(ranks[rank]) {
		return nil, fmt.Errorf("%w: rank %d is %s, this is %s", ErrWrongNode, rank, ranks[rank], m.server.options.Node)
	}
	if err := m.check(ranks[rank].Device, step, ranks...); err != nil {
		return nil, err
	}
	if err := m.inbox.begin(ranks[rank].Device, step); err != nil {
		return nil, err
	}
	return &Comm{mesh: m, ranks: ranks, rank: rank, step: step}, nil
}
