// Package linktest is a network between a process and the servers that it uses,
// for tests to break.
package linktest

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Link carries TCP connections to servers. It can be cut, so that they end and
// no new ones are made, and held, so that nothing comes through and nobody is
// told: as a network does that drops packets, which come through, sent again,
// when it heals.
type Link struct {
	listeners []net.Listener // one for each server
	workers   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	down  bool
	held  chan struct{} // closed when bytes go through
}

// New makes a link to NATS servers, whose URLs have commas between them. It ends
// with the test.
func New(t testing.TB, urls string) *Link {
	t.Helper()
	l := &Link{conns: make(map[net.Conn]struct{}), held: make(chan struct{})}
	close(l.held)
	for url := range strings.SplitSeq(urls, ",") {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.listeners = append(l.listeners, listener)
		l.workers.Go(func() { l.accept(listener, strings.TrimPrefix(url, "nats://")) })
	}
	t.Cleanup(func() {
		for _, listener := range l.listeners {
			_ = listener.Close()
		}
		l.Heal()
		l.Cut()
		l.workers.Wait()
	})
	return l
}

// URL is of the servers as they are reached through the link.
func (l *Link) URL() string {
	var urls []string
	for _, listener := range l.listeners {
		urls = append(urls, "nats://"+listener.Addr().String())
	}
	return strings.Join(urls, ",")
}

// Cut ends all connections and refuses new ones.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.conns {
		_ = c.Close()
	}
	clear(l.conns)
}

// Hold lets nothing through.
func (l *Link) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = make(chan struct{})
}

// Heal undoes Cut and Hold.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
	select {
	case <-l.held:
	default:
		close(l.held)
	}
}

func (l *Link) open() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (l *Link) accept(listener net.Listener, target string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l.mu.Lock()
		if l.down {
			_ = client.Close()
			_ = server.Close()
			l.mu.Unlock()
			continue
		}
		l.conns[client], l.conns[server] = struct{}{}, struct{}{}
		l.mu.Unlock()
		for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
			l.workers.Go(func() {
				_, _ = io.Copy(gate{pair[0], l}, pair[1]) // it ends with either connection
				_ = pair[0].Close()
				_ = pair[1].Close()
			})
		}
	}
}

// gate is a connection whose writes wait while the link is held.
type gate struct {
	net.Conn
	link *Link
}

// Write implements io.Writer.
func (g gate) Write(b []byte) (int, error) {
	<-g.link.open()
	return g.Conn.Write(b)
}
