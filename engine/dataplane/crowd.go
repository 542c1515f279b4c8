package dataplane

import (
	"net"
	"sync"
)

// busyConns is how many connections beyond a limit are told why; others are just
// closed.
const busyConns = 64

// crowd counts a server's connections whose peers are known, as far as they get
// known: all of them, and those of each peer.
type crowd struct {
	most, mostOfPeer int

	mu     sync.Mutex
	conns  map[net.Conn]string // by the peer's name, "" without TLS
	of     map[string]int
	closed bool
}

func newCrowd(most, mostOfPeer int) *crowd {
	return &crowd{most: most, mostOfPeer: mostOfPeer, conns: map[net.Conn]string{}, of: map[string]int{}}
}

// admit takes a connection in. busy: it is one too many and is to be told so. It is
// not ok if there is no room even for that.
func (c *crowd) admit(conn net.Conn, who identity) (busy, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	peer := who.name()
	all, its := len(c.conns)-c.most, -1
	if who.known {
		its = c.of[peer] - c.mostOfPeer
	}
	if c.closed || max(all, its) >= busyConns {
		return false, false
	}
	c.conns[conn] = peer
	c.of[peer]++
	return max(all, its) >= 0, true
}

func (c *crowd) leave(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	peer := c.conns[conn]
	delete(c.conns, conn)
	if c.of[peer]--; c.of[peer] == 0 {
		delete(c.of, peer)
	}
}

// close closes all connections; from now on none is admitted.
func (c *crowd) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.conns {
		_ = conn.Close()
	}
}

func (c *crowd) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.conns)
}
