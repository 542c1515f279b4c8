package dataplane_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/dataplane/planetest"
)

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// ended says whether the other side closed the connection.
func ended(conn net.Conn) bool {
	_, err := io.Copy(io.Discard, conn)
	var timeout net.Error
	return err == nil || !errors.As(err, &timeout) || !timeout.Timeout()
}

// A handshake has to be over within the timeout, however busy its peer looks.
func TestSlowHandshakes(t *testing.T) {
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	refusals := dataplane.NewRefusals(textLog(&journal{}))
	s := r.node("a", secured(ca.Security("a")), counted(refusals), func(o *dataplane.Options) { o.Timeout = 300 * time.Millisecond })
	silent, drip := dial(t, s.Addr()), dial(t, s.Addr())
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		// The beginning of a handshake of 200 bytes, a byte at a time.
		hello := append([]byte{0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3}, make([]byte, 200)...)
		for i := range hello {
			if _, err := drip.Write(hello[i : i+1]); err != nil {
				return
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-stop:
				return
			}
		}
	}()
	for name, conn := range map[string]net.Conn{"silent": silent, "dripping": drip} {
		if !ended(conn) {
			t.Errorf("the %s handshake goes on", name)
		}
	}
	await(t, "both are counted", func() bool { return refusals.Counts()[dataplane.SlowHandshake] == 2 && s.Conns() == 0 })
}

// Who connects and goes, as a probe of the port does, is no refusal.
func TestProbesAreNotCounted(t *testing.T) {
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	refusals := dataplane.NewRefusals(textLog(&journal{}))
	s := r.node("a", secured(ca.Security("a")), counted(refusals))
	for _, begin := range [][]byte{nil, {0x16, 3, 1}} {
		conn := dial(t, s.Addr())
		if _, err := conn.Write(begin); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	_ = r.client(secured(ca.Security("b"))).Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 1)) // comes behind them
	await(t, "they are gone", func() bool { return s.Conns() <= 1 })
	if n := len(refusals.Counts()); n != 0 {
		t.Errorf("counted are %v", refusals.Counts())
	}
}

// A stranger that sends on and on is stopped before it has cost anything.
func TestLongHandshakes(t *testing.T) {
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	var log journal
	refusals := dataplane.NewRefusals(textLog(&log))
	s := r.node("a", secured(ca.Security("a")), counted(refusals))
	conn := dial(t, s.Addr())
	// A hello that says it has 60,000 bytes comes in records of 1, with their headers
	// six times as much.
	record := []byte{0x16, 3, 1, 0, 1, 0}
	hello := bytes.Repeat(record, 60_004)
	for i, b := range []byte{1, 0, 0xea, 0x60} {
		hello[i*len(record)+5] = b
	}
	if _, err := conn.Write(hello); err == nil && !ended(conn) {
		t.Error("the handshake goes on")
	}
	await(t, "it is counted", func() bool { return refusals.Counts()[dataplane.BadHandshake] == 1 })
	if !strings.Contains(log.String(), "handshake of more than 65536 bytes") {
		t.Errorf("the log says\n%s", log.String())
	}
}

// However many connections begin and never finish their handshakes, their number
// and memory are bounded, they make room for others, and who may get in does.
func TestFloodOfHandshakes(t *testing.T) {
	const half, flood = 256, 900
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	held := newHolder()
	held.items[weights(0, 0)] = []byte("abcd")
	refusals := dataplane.NewRefusals(textLog(&journal{}))
	s := r.node("a", secured(ca.Security("a")), counted(refusals), held.provide, func(o *dataplane.Options) { o.Timeout = time.Minute })
	before := heap()
	most := 0
	for i := range flood {
		conn := dial(t, s.Addr())
		if _, err := conn.Write([]byte{0x16, 3, 1, 2, 0, 1}); err != nil && i < half {
			t.Fatal(err)
		}
		most = max(most, s.Conns())
		if i%300 == 0 {
			c := r.client(secured(ca.Security("client")))
			if err := c.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 4)); err != nil {
				t.Fatalf("behind %d half-open connections: %v", i, err)
			}
		}
	}
	await(t, "the others were closed", func() bool { return refusals.Counts()[dataplane.Crowded] >= flood-half })
	if most > half+4 || s.Conns() > half+4 {
		t.Errorf("%d connections at a time, %d at the end; allowed are %d half-open ones, and the clients'", most, s.Conns(), half)
	}
	const each = 64 << 10
	if grown := heap() - before; grown > half*each {
		t.Errorf("%d bytes more are in use, allowed are %d", grown, half*each)
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// A peer that is known has its share of a server's connections and no more.
func TestOnePeerDoesNotTakeAllConnections(t *testing.T) {
	const share = 3
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	held := newHolder()
	held.items[weights(0, 0)] = []byte("abcd")
	refusals := dataplane.NewRefusals(textLog(&journal{}))
	s := r.node("a", secured(ca.Security("a")), counted(refusals), held.provide, func(o *dataplane.Options) { o.MaxPeerConns = share })
	wild := ca.Security("wild")
	var conns []*tls.Conn
	for range 200 { // it is told of some, others are just closed
		conn, err := tls.Dial("tcp", s.Addr(), wild.Client("a"))
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	await(t, "the others were refused", func() bool { return refusals.Counts()[dataplane.Crowded] == 200-share })
	if n := s.Conns(); n > share+64 {
		t.Errorf("%d connections of one peer", n)
	}
	again := r.client(secured(wild), func(o *dataplane.Options) { o.Attempts = 1 })
	if err := again.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 4)); err == nil {
		t.Error("it gets another one")
	}
	if err := r.client(secured(ca.Security("client"))).Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 4)); err != nil {
		t.Errorf("another peer: %v", err)
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	await(t, "its connections are gone", func() bool { return s.Conns() <= 1 })
	if err := again.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 4)); err != nil {
		t.Errorf("when it has let go: %v", err)
	}
}

// A device of the mesh that announces as much as it may, and sends none of it,
// takes what may wait in the mesh at most.
func TestAnnouncedMessagesAreBounded(t *testing.T) {
	const inbox, message = 16 << 20, 4 << 20
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	var peers []dataplane.Peer
	for device := range 40 {
		peers = append(peers, dataplane.Peer{Node: "wild", Device: device})
	}
	peers = append(peers, dataplane.Peer{Node: "a"})
	s := r.node("a", secured(ca.Security("a")), func(o *dataplane.Options) { o.InboxBytes, o.MaxMessage = inbox, message })
	r.join(s, epoch, peers)
	wild := ca.Security("wild")
	before := heap()
	for device := range 40 {
		conn, err := tls.Dial("tcp", s.Addr(), wild.Client("a"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write(announce(device, message)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, header)); err != nil {
			t.Fatalf("it is not let in: %v", err)
		}
	}
	await(t, "what does not fit is refused", func() bool { return s.Conns() < inbox/message })
	if grown, most := heap()-before, int64(inbox+40*(512<<10)); grown > most {
		t.Errorf("%d bytes more are in use, allowed are %d", grown, most)
	}
}

// announce is what joins the mesh as a device of node wild, and then says that a
// message of n bytes comes.
func announce(device, n int) []byte {
	var join bytes.Buffer
	text := func(s string) {
		_ = binary.Write(&join, binary.LittleEndian, uint16(len(s)))
		join.WriteString(s)
	}
	text(run)
	_ = binary.Write(&join, binary.LittleEndian, []uint64{epoch.Term, epoch.N})
	text("wild")
	_ = binary.Write(&join, binary.LittleEndian, uint32(device))
	text("a")
	_ = binary.Write(&join, binary.LittleEndian, uint32(0))
	var step bytes.Buffer
	_ = binary.Write(&step, binary.LittleEndian, []uint32{0, 0, 1, 0, 0, 1, 0})
	frames := dataplane.RawFrame(6, 0, join.Len(), join.Bytes())
	return append(frames, dataplane.RawFrame(8, 1, 28+n, step.Bytes())...)
}

func TestErrorsOfStrangersAreShort(t *testing.T) {
	// A refusal may be a stranger's own words; a certificate may hold long names.
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	var log journal
	refusals := dataplane.NewRefusals(textLog(&log))
	r.node("a", secured(ca.Security("a")), counted(refusals))
	pair := planetest.NewAuthority(t).Issue(time.Now().Add(time.Hour), "worker/"+strings.Repeat("x", 20_000))
	c := r.client(secured(ca.Show(func() *tls.Certificate { return pair })), func(o *dataplane.Options) { o.Attempts = 1 })
	_ = c.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 1))
	await(t, "it is counted", func() bool { return refusals.Counts()[dataplane.BadCertificate] == 1 })
	if n := len(log.String()); n > 2000 {
		t.Errorf("%d bytes of log for a stranger", n)
	}
}
