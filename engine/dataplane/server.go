package dataplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// idleTimeouts is for how many timeouts a server keeps a connection that asks for
// nothing; clients give theirs up in half of it.
const idleTimeouts = 6

// Server gives out what this node holds, and takes the links of its meshes.
type Server struct {
	options  Options
	tls      *tls.Config // nil: plain
	listener net.Listener
	meshes   *registry
	ctx      context.Context // until Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	strangers halfOpen
	crowd     *crowd
}

// Listen serves at addr, host:port; port 0 is a free one.
func Listen(addr string, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("data plane of %s: %w", o.Node, err)
	}
	s := newServer(o)
	s.listener = l
	s.wg.Go(s.accept)
	return s, nil
}

func newServer(o Options) *Server {
	s := &Server{options: o, meshes: newRegistry(), crowd: newCrowd(o.MaxConns, o.MaxPeerConns)}
	if o.Security != nil {
		s.tls = strict(o.Security.Server)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Addr is where the server listens, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Conns is the number of connections from peers, those that shake hands included.
func (s *Server) Conns() int { return s.crowd.len() + s.strangers.len() }

// Close ends all connections and meshes, and waits for what they do.
func (s *Server) Close() error {
	s.cancel()
	err := s.listener.Close()
	for _, m := range s.meshes.all() {
		m.Close()
	}
	s.strangers.closeAll()
	s.crowd.close()
	s.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			s.begin(conn)
		case s.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of file descriptors, most likely: others have to end first.
			s.options.Log.Warn("data plane cannot accept", "error", err)
			if pause(s.ctx, 100*time.Millisecond) != nil {
				return
			}
		}
	}
}

// begin serves a connection in a goroutine of its own, unless there are too many.
func (s *Server) begin(conn net.Conn) {
	s.options.tune(conn)
	if s.tls == nil {
		if busy, ok := s.admit(conn, identity{}); ok {
			s.wg.Go(func() { s.welcome(conn, conn, identity{}, busy) })
		}
		return
	}
	stranger := s.strangers.add(conn)
	s.wg.Go(func() {
		safe, who, err := s.options.Security.serve(s.ctx, s.tls, conn, s.options.Timeout)
		evicted := s.strangers.remove(stranger)
		switch {
		case evicted:
			s.refused(Crowded, conn, who, fmt.Errorf("%w: more than %d handshakes at a time", ErrBusy, maxHalfOpen))
		case left(err):
			s.options.Log.Debug("data plane handshake broken off", "peer", conn.RemoteAddr(), "error", err)
		case err != nil && s.ctx.Err() == nil:
			s.refused(causeOf(err), conn, who, err)
		}
		if evicted || err != nil {
			_ = conn.Close()
			return
		}
		if busy, ok := s.admit(conn, who); ok {
			s.welcome(conn, safe, who, busy)
		}
	})
}

// admit counts a connection, and closes it if there is no room for it.
func (s *Server) admit(conn net.Conn, who identity) (busy, ok bool) {
	busy, ok = s.crowd.admit(conn, who)
	if !ok {
		_ = conn.Close()
	}
	if (busy || !ok) && s.ctx.Err() == nil {
		s.refused(Crowded, conn, who, ErrBusy)
	}
	return busy, ok
}

func (s *Server) refused(cause Cause, conn net.Conn, who identity, err error) {
	s.options.Refusals.add(cause, conn.RemoteAddr(), who.name(), err)
}

// welcome serves a connection, raw, that has been admitted, over safe, until it ends.
func (s *Server) welcome(raw, safe net.Conn, who identity, busy bool) {
	defer func() {
		_ = safe.Close()
		s.crowd.leave(raw)
	}()
	w := newWire(safe, s.options.Timeout)
	w.peer = who
	if busy {
		s.turnAway(w)
		return
	}
	if err := s.serve(w); err != nil && s.ctx.Err() == nil {
		s.options.Log.Debug("data plane connection ended", "peer", raw.RemoteAddr(), "error", err)
	}
}

func (s *Server) turnAway(w *wire) {
	// What it asks is read first: closing with it unread would take the answer back.
	if h, err := w.next(s.options.Timeout); err == nil {
		if _, err := w.control(h, maxConnecting); err == nil {
			_ = w.refuse(fmt.Errorf("%w: %s has %d connections, of one peer at most %d", ErrBusy,
				s.options.Node, s.options.MaxConns, s.options.MaxPeerConns))
		}
	}
}

func (o Options) tune(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetNoDelay(true)
	if o.SocketBuffer > 0 {
		_ = tcp.SetReadBuffer(o.SocketBuffer)
		_ = tcp.SetWriteBuffer(o.SocketBuffer)
	}
}

// serve answers requests until the peer ends or breaks the rules. It is told of
// the latter.
func (s *Server) serve(w *wire) error {
	wait := s.options.Timeout
	for {
		h, err := w.next(wait)
		if err == nil {
			switch h.kind {
			case frameGet:
				err = s.get(w, h)
			case frameHeld:
				err = s.held(w, h)
			case frameJoin:
				return s.join(w, h)
			default:
				err = fmt.Errorf("%w: %s begins no request", ErrFrame, h.kind)
			}
		}
		if err != nil {
			if errors.Is(err, ErrFrame) || errors.Is(err, ErrVersion) || errors.Is(err, ErrChecksum) {
				_ = w.refuse(err)
			}
			return err
		}
		wait = idleTimeouts * s.options.Timeout
	}
}

// get sends an item. A nil error means that the connection can be used on.
func (s *Server) get(w *wire, h header) error {
	b, err := w.control(h, maxGet)
	if err != nil {
		return err
	}
	r, err := parseGet(b)
	if err != nil {
		return err
	}
	if r.node != s.options.Node {
		return w.refuse(fmt.Errorf("%w: asked for %s, this is %s", ErrWrongNode, r.node, s.options.Node))
	}
	data, release, err := s.options.Provider.Open(r.run, r.item)
	if errors.Is(err, ErrNotHeld) {
		return w.refuse(fmt.Errorf("%w: %s", ErrNotHeld, r.item))
	} else if err != nil {
		return w.refuse(fmt.Errorf("%w %s: %w", ErrProvider, r.item, err))
	}
	defer release()
	if uint64(len(data)) != r.total {
		return w.refuse(fmt.Errorf("%w: %s has %d bytes here, asked for are %d", ErrLength, r.item, len(data), r.total))
	}
	for rest := data[r.offset:]; len(rest) > 0; {
		chunk := rest[:min(len(rest), ChunkBytes)]
		if err := w.send(frameData, 0, chunk); err != nil {
			return err
		}
		rest = rest[len(chunk):]
	}
	ack, err := w.next(s.options.Timeout)
	if err != nil {
		return err
	}
	if ack.kind != frameAck || ack.length != 0 {
		return fmt.Errorf("%w: %s of %d bytes after %s", ErrFrame, ack.kind, ack.length, r.item)
	}
	s.options.Delivered(r.run, r.item, len(data))
	return nil
}

func (s *Server) held(w *wire, h header) error {
	b, err := w.control(h, maxHeld)
	if err != nil {
		return err
	}
	r, err := parseHeld(b)
	if err != nil {
		return err
	}
	if r.node != s.options.Node {
		return w.refuse(fmt.Errorf("%w: asked for %s, this is %s", ErrWrongNode, r.node, s.options.Node))
	}
	return w.send(frameHolds, 0, s.holds(r))
}

// join makes the connection a link of a mesh.
func (s *Server) join(w *wire, h header) error {
	b, err := w.control(h, maxJoin)
	if err != nil {
		return err
	}
	r, err := parseJoin(b)
	if err != nil {
		return err
	}
	if r.to.Node != s.options.Node {
		return w.refuse(fmt.Errorf("%w: asked for %s, this is %s", ErrWrongNode, r.to.Node, s.options.Node))
	}
	if !w.peer.is(r.from.Node) {
		err := fmt.Errorf("%w: it says it is %s, its certificate is for %q", ErrWrongNode, r.from.Node, w.peer.nodes)
		s.refused(WrongNode, w.conn, w.peer, err)
		return w.refuse(err)
	}
	m, err := s.meshes.await(s.ctx, r.run, r.epoch, s.options.Timeout/2)
	if err != nil {
		return w.refuse(fmt.Errorf("%w at %s", err, s.options.Node))
	}
	return m.receive(w, r.from, r.to.Device)
}

// pause waits for d, or until ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
