package dataplane

import (
	"net"
	"slices"
	"sync"
)

// maxHalfOpen is the most connections of a server that have not shown yet who they
// are.
const maxHalfOpen = 256

// halfOpen are the connections in their TLS handshakes, oldest first. Who opens
// many and finishes none takes the places of its own address first: others still
// get in.
type halfOpen struct {
	mu    sync.Mutex
	conns []*stranger
}

// stranger is a connection whose peer is not known yet.
type stranger struct {
	conn    net.Conn
	host    string
	evicted bool // it made room for another one
}

// add takes a connection in. If there are too many, one has to go: the oldest of
// the address that has most of them.
func (h *halfOpen) add(conn net.Conn) *stranger {
	s := &stranger{conn: conn, host: hostOf(conn.RemoteAddr())}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, s)
	if len(h.conns) > maxHalfOpen {
		i := h.victim()
		h.conns[i].evicted = true
		_ = h.conns[i].conn.Close()
		h.conns = slices.Delete(h.conns, i, i+1)
	}
	return s
}

func (h *halfOpen) victim() int {
	of := make(map[string]int)
	for _, s := range h.conns {
		of[s.host]++
	}
	victim := 0
	for i, s := range h.conns {
		if of[s.host] > of[h.conns[victim].host] {
			victim = i
		}
	}
	return victim
}

// remove says that the handshake of s is over, and whether s was evicted.
func (h *halfOpen) remove(s *stranger) (evicted bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.conns, s); i >= 0 {
		h.conns = slices.Delete(h.conns, i, i+1)
	}
	return s.evicted
}

func (h *halfOpen) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.conns {
		_ = s.conn.Close()
	}
}

func (h *halfOpen) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

func hostOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	return ""
}
