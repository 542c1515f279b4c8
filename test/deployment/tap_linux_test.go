package deployment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// tap hands connections on to a port of its host, and keeps what passes: what
// somebody on the network would see.
type tap struct {
	t    testing.TB
	mu   sync.Mutex
	wire [][2]*bytes.Buffer // of each connection: to the server, from the server
}

// newTap listens on one port of a host for another.
func newTap(h *host, port, to int) *tap {
	h.lan.t.Helper()
	tap := &tap{t: h.lan.t}
	l, err := h.listen(port)
	if err != nil {
		h.lan.t.Fatal(err)
	}
	var passing sync.WaitGroup
	h.lan.t.Cleanup(passing.Wait)
	h.lan.t.Cleanup(func() { _ = l.Close() }) // it ends the loop
	passing.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := h.dial(h, to)
			if err != nil {
				_ = client.Close() // as the server would
				continue
			}
			h.lan.t.Cleanup(func() { _, _ = client.Close(), server.Close() })
			both := [2]*bytes.Buffer{new(bytes.Buffer), new(bytes.Buffer)}
			tap.mu.Lock()
			tap.wire = append(tap.wire, both)
			tap.mu.Unlock()
			passing.Go(func() { tap.pass(server, client, both[0]) })
			passing.Go(func() { tap.pass(client, server, both[1]) })
		}
	})
	return tap
}

// mostKept bounds what is kept of each direction of a connection.
const mostKept = 4 << 20

func (tap *tap) pass(to, from net.Conn, kept *bytes.Buffer) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		tap.mu.Lock()
		kept.Write(buf[:min(n, mostKept-kept.Len())])
		tap.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_, _ = to.Close(), from.Close() // the other direction ends too
}

// mustBeTLS fails the test unless all that passed is records of TLS, after the
// greeting of a server that speaks first; and unless something passed, in both
// directions.
func (tap *tap) mustBeTLS(what string, greeting []byte) {
	tap.t.Helper()
	tap.mu.Lock()
	defer tap.mu.Unlock()
	total := [2]int{}
	for i, connection := range tap.wire {
		for direction, kept := range connection {
			text := kept.Bytes()
			if direction == 1 && len(greeting) > 0 && bytes.HasPrefix(text, greeting) {
				_, text, _ = bytes.Cut(text, []byte("\r\n"))
			}
			records, err := tlsRecords(text)
			if err != nil {
				tap.t.Errorf("%s: connection %d, direction %d: %v", what, i, direction, err)
			}
			total[direction] += records
		}
	}
	if total[0] < 10 || total[1] < 10 {
		tap.t.Errorf("%s: only %v records passed: it proves nothing", what, total)
	}
	tap.t.Logf("%s: %d connections, %v records of TLS and nothing else", what, len(tap.wire), total)
}

// tlsRecords counts the records of TLS in a text, which may end in one.
func tlsRecords(text []byte) (n int, err error) {
	for r := bytes.NewReader(text); r.Len() > 0; n++ {
		var header struct {
			Kind    uint8
			Version uint16
			Length  uint16
		}
		if err := binary.Read(r, binary.BigEndian, &header); err != nil {
			return n, nil //nolint:nilerr // cut off
		}
		if header.Kind < 20 || header.Kind > 23 || header.Version>>8 != 3 || header.Length > 1<<14+256 {
			return n, fmt.Errorf("record %d is none of TLS: % x", n, header)
		}
		if _, err := r.Seek(int64(header.Length), io.SeekCurrent); err != nil {
			return n, err
		}
	}
	return n, nil
}
