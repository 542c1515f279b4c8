package dataplane_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// fault is what happens to the bytes of a connection. Byte numbers count from 0;
// -1 is never.
type fault struct {
	cutUp, cutDown   int // the connection ends before this byte to, or from, the server
	flipUp, flipDown int // a bit of this byte is flipped
	hangDown         int // from this byte on, nothing comes from the server
}

var noFault = fault{-1, -1, -1, -1, -1}

// proxy passes connections on to a server, with faults.
type proxy struct {
	l      net.Listener
	target string
	fault  func(conn int) fault

	mu    sync.Mutex
	hung  chan struct{} // closed: nothing passes any more, and nothing ends
	done  chan struct{}
	conns []net.Conn
	n     int
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, target string, f func(conn int) fault) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, target: target, fault: f, hung: make(chan struct{}), done: make(chan struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		close(p.done)
		p.cutAll()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// cutAll ends all connections.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		f := p.fault(p.n)
		p.n++
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		end := sync.OnceFunc(func() {
			_ = client.Close()
			_ = server.Close()
		})
		p.wg.Go(func() { p.pipe(server, client, f.cutUp, f.flipUp, -1); end() })
		p.wg.Go(func() { p.pipe(client, server, f.cutDown, f.flipDown, f.hangDown); end() })
	}
}

// hang keeps all connections as they are for good.
func (p *proxy) hang() { close(p.hung) }

func (p *proxy) pipe(dst io.Writer, src io.Reader, cut, flip, hang int) {
	buf := make([]byte, 32<<10)
	for at := 0; ; {
		n, err := src.Read(buf)
		select {
		case <-p.hung:
			<-p.done
			return
		default:
		}
		b := buf[:n]
		if flip >= at && flip < at+n {
			b[flip-at] ^= 0x10
		}
		if cut >= at && cut < at+n || cut == 0 {
			_, _ = dst.Write(b[:max(0, cut-at)])
			return
		}
		if hang >= 0 && hang < at+n {
			_, _ = dst.Write(b[:max(0, hang-at)])
			_, _ = io.Copy(io.Discard, src)
			return
		}
		at += n
		if _, werr := dst.Write(b); werr != nil || err != nil {
			return
		}
	}
}
