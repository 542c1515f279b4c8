package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Client fetches items from other nodes. It is safe for concurrent use.
type Client struct {
	options Options
	ctx     context.Context // until Close
	cancel  context.CancelFunc

	mu    sync.Mutex
	peers map[string]*streams
}

// streams are the connections to a peer.
type streams struct {
	slots chan struct{} // one for each connection in use
	idle  []*stream
}

// stream is a connection to a peer that has been used, or is about to be.
type stream struct {
	wire *wire
	// used says that it answered a request before.
	used bool
	// evict closes it when it has been idle for too long.
	evict *time.Timer
}

// NewClient returns a client. Options.Provider is not used.
func NewClient(o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{options: o, peers: map[string]*streams{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close ends the idle connections, and the fetches that are on their way with ErrClosed.
func (c *Client) Close() error {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		for _, s := range p.idle {
			s.close()
		}
		p.idle = nil
	}
	return nil
}

func (s *stream) close() {
	if s.evict != nil {
		s.evict.Stop()
	}
	_ = s.wire.conn.Close()
}

func (c *Client) streams(node string) *streams {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[node]
	if p == nil {
		p = &streams{slots: make(chan struct{}, c.options.Streams)}
		c.peers[node] = p
	}
	return p
}

// acquire waits for one of the connections to node, and opens it if none is idle.
func (c *Client) acquire(ctx context.Context, node string) (*stream, error) {
	p := c.streams(node)
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		s := p.idle[last]
		p.idle = p.idle[:last]
		c.mu.Unlock()
		s.evict.Stop()
		return s, nil
	}
	c.mu.Unlock()
	conn, err := c.options.dial(ctx, node)
	if err != nil {
		<-p.slots
		return nil, err
	}
	return &stream{wire: newWire(conn, c.options.Timeout)}, nil
}

// giveBack ends the use of s; a connection that is broken, or of a client that is
// closed, is closed.
func (c *Client) giveBack(node string, s *stream, broken bool) {
	p := c.streams(node)
	c.mu.Lock()
	if broken || c.ctx.Err() != nil {
		s.close()
	} else {
		s.used = true
		s.evict = time.AfterFunc(idleTimeouts*c.options.Timeout/2, func() { c.drop(p, s) })
		p.idle = append(p.idle, s)
	}
	c.mu.Unlock()
	<-p.slots
}

// drop closes s if nobody uses it.
func (c *Client) drop(p *streams, s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range p.idle {
		if other == s {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			s.close()
			return
		}
	}
}

// dial connects to node. How long it may take is Options.Timeout, and as long again
// for the handshake of TLS.
func (o Options) dial(ctx context.Context, node string) (net.Conn, error) {
	conn, err := o.reach(ctx, node)
	if err != nil || o.Security == nil {
		return conn, err
	}
	safe, err := o.Security.dial(ctx, conn, node, o.Timeout)
	if err != nil {
		if ctx.Err() == nil && !left(err) {
			o.Refusals.add(causeOf(err), conn.RemoteAddr(), node, err)
		}
		_ = conn.Close()
		return nil, fmt.Errorf("no data plane of %s at %s: %w", node, conn.RemoteAddr(), err)
	}
	return safe, nil
}

// reach connects to the address of node.
func (o Options) reach(ctx context.Context, node string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	addr, err := o.Resolve(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w", node, err)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	o.tune(conn)
	return conn, nil
}

// exchange runs talk on a connection to node, which ends when ctx does or the
// client is closed. stale says that the connection was an old one that broke
// before anything came back: it says nothing about the peer as it is now.
func (c *Client) exchange(ctx context.Context, node string, talk func(*wire) error) (stale bool, err error) {
	s, err := c.acquire(ctx, node)
	if err != nil {
		return false, err
	}
	before := s.wire.got
	stop := context.AfterFunc(ctx, func() { _ = s.wire.conn.Close() })
	err = talk(s.wire)
	ended := !stop()
	var refused *refusedError
	inOrder := err == nil || errors.As(err, &refused) && permanent(err)
	broken := ended || !inOrder
	stale = broken && s.used && s.wire.got == before
	c.giveBack(node, s, broken)
	if ended && err != nil {
		err = context.Cause(ctx)
	}
	return stale, err
}

// retry calls once until it succeeds, fails for good, or fails too often without
// progress. Resolving the address is part of each attempt.
func (c *Client) retry(ctx context.Context, progress func() int, once func(context.Context) (stale bool, err error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })()
	wait := firstPause
	for failures := 0; ; {
		before := progress()
		stale, err := once(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case permanent(err):
			return err
		case stale:
			continue
		case progress() > before:
			failures, wait = 0, firstPause
		}
		if failures++; failures >= c.options.Attempts {
			return fmt.Errorf("%d attempts: %w", failures, err)
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, time.Second)
	}
}

// firstPause is the pause after a first failure; it doubles up to a second.
const firstPause = 20 * time.Millisecond

// permanent says that trying again changes nothing. Another version may be a bit that
// was flipped.
func permanent(err error) bool {
	for _, e := range []error{ErrNotHeld, ErrLength, ErrProvider} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
