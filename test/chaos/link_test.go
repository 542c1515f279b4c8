//go:build unix

package chaos

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// link carries TCP connections to servers. It can be cut, so that they end and
// no new ones are made, and held, so that nothing comes through and nobody is
// told: as a network does that drops packets, which come through, sent again,
// when it heals.
type link struct {
	listeners []net.Listener // one for each server
	workers   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	down  bool
	held  chan struct{} // closed when bytes go through
}

// newLink makes a link to servers, whose URLs have commas between them.
func newLink(t testing.TB, urls string) *link {
	t.Helper()
	l := &link{conns: make(map[net.Conn]struct{}), held: make(chan struct{})}
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
		l.heal()
		l.cut()
		l.workers.Wait()
	})
	return l
}

// url is of the servers as they are reached through the link.
func (l *link) url() string {
	var urls []string
	for _, listener := range l.listeners {
		urls = append(urls, "nats://"+listener.Addr().String())
	}
	return strings.Join(urls, ",")
}

// cut ends all connections and refuses new ones.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.conns {
		_ = c.Close()
	}
	clear(l.conns)
}

// hold lets nothing through.
func (l *link) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = make(chan struct{})
}

// heal undoes cut and hold.
func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
	select {
	case <-l.held:
	default:
		close(l.held)
	}
}

func (l *link) open() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (l *link) accept(listener net.Listener, target string) {
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
	link *link
}

// Write implements io.Writer.
func (g gate) Write(b []byte) (int, error) {
	<-g.link.open()
	return g.Conn.Write(b)
}
