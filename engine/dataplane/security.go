package dataplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Security has a data plane speak mutual TLS 1.3 and nothing else: each side has
// shown that it is a worker before a byte of a frame is taken or sent. The configs
// are asked at each handshake, so what they return may change meanwhile.
type Security struct {
	// Server is for the connections that peers open. It has to ask for a
	// certificate and verify it. Required.
	Server *tls.Config
	// Client returns what is for a connection to node. It has to verify the
	// certificate that it is shown. Required.
	Client func(node string) *tls.Config
	// Nodes are those that a verified certificate is for; none: it is not a
	// worker's. Required.
	Nodes func(tls.ConnectionState) ([]string, error)
}

// handshakeBytes is the most that is read of a stranger. A handshake with a chain
// of three certificates takes a tenth of it.
const handshakeBytes = 64 << 10

func (s *Security) check() error {
	switch {
	case s == nil:
		return nil
	case s.Server == nil || s.Client == nil || s.Nodes == nil:
		return errors.New("TLS needs a server's and a client's configuration, and a way to tell the nodes of a certificate")
	case !verifies(s.Server):
		return fmt.Errorf("TLS without verified client certificates (%s)", s.Server.ClientAuth)
	}
	return nil
}

// verifies says whether a server's configuration lets nobody in without a
// certificate that something has looked at.
func verifies(c *tls.Config) bool {
	looks := c.VerifyConnection != nil || c.VerifyPeerCertificate != nil
	asks := c.ClientAuth == tls.RequireAndVerifyClientCert || c.ClientAuth == tls.RequireAnyClientCert && looks
	return asks && c.GetConfigForClient == nil
}

// strict is a configuration for TLS 1.3 alone. Every connection verifies its peer
// anew: a resumed one would go by the certificates of the session that it resumes.
func strict(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion, c.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	c.SessionTicketsDisabled = true
	c.ClientSessionCache = nil
	// Small records come to a browser sooner. Here a frame counts when it is whole.
	c.DynamicRecordSizingDisabled = true
	return c
}

// identity is who a peer has shown to be: the nodes of its certificate. Nobody has
// one without TLS, and may be anyone.
type identity struct {
	known bool
	nodes []string
}

// is says whether the peer may speak for node.
func (i identity) is(node string) bool { return !i.known || slices.Contains(i.nodes, node) }

// name is what the peer's connections are counted by.
func (i identity) name() string {
	if len(i.nodes) == 0 {
		return ""
	}
	return i.nodes[0]
}

// serve shakes hands with a peer that has connected. raw is closed if ctx ends.
func (s *Security) serve(ctx context.Context, server *tls.Config, raw net.Conn, timeout time.Duration) (net.Conn, identity, error) {
	return s.shake(ctx, raw, timeout, func(c net.Conn) *tls.Conn { return tls.Server(c, server) })
}

// dial shakes hands with node, to which raw is connected.
func (s *Security) dial(ctx context.Context, raw net.Conn, node string, timeout time.Duration) (net.Conn, error) {
	config := s.Client(node)
	if config == nil {
		return nil, fmt.Errorf("there is no TLS configuration for node %s", node)
	}
	conn, who, err := s.shake(ctx, raw, timeout, func(c net.Conn) *tls.Conn { return tls.Client(c, strict(config)) })
	if err == nil && !who.is(node) {
		err = fmt.Errorf("%w: its certificate is for %q, dialled is %s", ErrWrongNode, who.nodes, node)
	}
	return conn, err
}

func (s *Security) shake(ctx context.Context, raw net.Conn, timeout time.Duration, over func(net.Conn) *tls.Conn) (net.Conn, identity, error) {
	// One deadline for all of it: a peer that sends a byte now and then gains nothing.
	if err := raw.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, identity{}, err
	}
	under := &carrier{Conn: raw, left: handshakeBytes}
	conn := over(under)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, identity{}, err
	}
	under.opened = true
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return nil, identity{}, err
	}
	state := conn.ConnectionState()
	if state.Version != tls.VersionTLS13 || len(state.PeerCertificates) == 0 {
		return nil, identity{}, errors.New("no certificate of the peer")
	}
	nodes, err := s.Nodes(state)
	if err == nil && len(nodes) == 0 {
		err = errNoWorker
	}
	if err != nil {
		return nil, identity{}, err
	}
	return &sealed{Conn: conn, under: under}, identity{known: true, nodes: nodes}, nil
}

var errNoWorker = errors.New("the certificate is not a worker's")

// sealed is a TLS connection whose records go out many at a time.
type sealed struct {
	*tls.Conn
	under *carrier
}

// together writes parts as one: records are of 16 KiB at most, and a system call
// for each of them costs more than copying them.
func (s *sealed) together(parts ...[]byte) error {
	s.under.hold()
	var err error
	for _, p := range parts {
		if _, err = s.Write(p); err != nil {
			break
		}
	}
	return errors.Join(err, s.under.flush())
}

// heldBytes is how much of a frame's records is written at once.
const heldBytes = 256 << 10

var held = sync.Pool{New: func() any { b := make([]byte, 0, heldBytes); return &b }}

// carrier is the connection below TLS. It bounds what a handshake may take, and
// holds back what is written between hold and flush.
type carrier struct {
	net.Conn

	opened bool // the handshake is done
	left   int  // bytes that it may still take

	mu  sync.Mutex // TLS writes by itself too, an alert for example
	out *[]byte    // nil: nothing is held back
}

var errLongHandshake = fmt.Errorf("a TLS handshake of more than %d bytes", handshakeBytes)

// Read implements net.Conn.
func (c *carrier) Read(p []byte) (int, error) {
	switch {
	case c.opened:
		return c.Conn.Read(p)
	case c.left <= 0:
		return 0, errLongHandshake
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// Write implements net.Conn.
func (c *carrier) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		return c.Conn.Write(p)
	}
	if len(*c.out)+len(p) > heldBytes {
		if _, err := c.Conn.Write(*c.out); err != nil {
			return 0, err
		}
		*c.out = (*c.out)[:0]
	}
	*c.out = append(*c.out, p...)
	return len(p), nil
}

func (c *carrier) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = held.Get().(*[]byte)
}

func (c *carrier) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Conn.Write(*c.out)
	*c.out = (*c.out)[:0]
	held.Put(c.out)
	c.out = nil
	return err
}
