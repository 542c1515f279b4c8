package dataplane_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/dataplane/planetest"
)

// recorder is a client's end of a connection that keeps what is sent on it.
type recorder struct {
	net.Conn
	sent bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.sent.Write(p)
	return r.Conn.Write(p)
}

// stranger is a connection whose other side has said everything in advance.
type stranger struct {
	net.Conn // none: what is not below is not used
	io.Reader
	answer bytes.Buffer
}

func (s *stranger) Read(p []byte) (int, error)     { return s.Reader.Read(p) }
func (s *stranger) Write(p []byte) (int, error)    { return s.answer.Write(p) }
func (*stranger) Close() error                     { return nil }
func (*stranger) SetDeadline(time.Time) error      { return nil }
func (*stranger) SetReadDeadline(time.Time) error  { return nil }
func (*stranger) SetWriteDeadline(time.Time) error { return nil }

// What a stranger sends in place of a handshake never makes a server panic, is never
// answered by a frame, never reaches the provider, and takes no more memory than
// such a beginning may.
func FuzzHandshake(f *testing.F) {
	ca := planetest.NewAuthority(f)
	held := &asked{holder: newHolder()}
	held.items[weights(0, 0)] = []byte("abcd")
	refusals := dataplane.NewRefusals(textLog(&journal{}))
	s, err := dataplane.Listen("127.0.0.1:0", dataplane.Options{
		Node: "a", Resolve: newRig(nil).Resolve, Provider: held, Security: ca.Security("a"), Refusals: refusals, Timeout: 50 * time.Millisecond,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	whole := handshake(f, s.Addr(), ca.Security("b"))
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(whole[:40])
	f.Add(append(whole[:200:200], whole...))
	f.Add(dataplane.RawFrame(1, 0, 0, nil))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0x16, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff})
	f.Add([]byte{0x15, 3, 3, 0, 2, 2, 40})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		conn := &stranger{Reader: bytes.NewReader(data)}
		if err := s.Meet(conn); err == nil {
			t.Error("a stranger is served")
		}
		runtime.ReadMemStats(&after)
		if bytes.Contains(conn.answer.Bytes(), []byte("SSD\x01")) {
			t.Errorf("a frame is the answer to %d bytes of a stranger", len(data))
		}
		if n := held.times.Load(); n != 0 {
			t.Fatalf("the provider was asked %d times", n)
		}
		if n, most := after.TotalAlloc-before.TotalAlloc, uint64(8*len(data)+1<<20); n > most {
			t.Errorf("%d bytes were allocated for %d, allowed are %d", n, len(data), most)
		}
	})
}

// handshake is what a client that is let in sends, up to its first request.
func handshake(f *testing.F, addr string, s *dataplane.Security) []byte {
	f.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		f.Fatal(err)
	}
	r := &recorder{Conn: raw}
	conn := tls.Client(r, s.Client("a"))
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		f.Fatal(err)
	}
	return bytes.Clone(r.sent.Bytes())
}
