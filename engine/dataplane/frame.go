package dataplane

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	version     = 1
	headerBytes = 24
	// smallFrame is up to which size copying a frame together is cheaper than a
	// vectored write.
	smallFrame = 16 << 10
	// readPiece is how much is read at once before it is summed, while it is still
	// in the processor's cache.
	readPiece = 256 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type frameType uint8

const (
	frameGet frameType = iota + 1
	frameData
	frameAck
	frameHeld
	frameHolds
	frameJoin
	frameJoined
	frameStep
	frameAbort
	framePing
	frameRefused

	lastFrame = frameRefused
)

var frameNames = [...]string{
	"none", "get", "data", "ack", "held", "holds", "join", "joined", "step", "abort", "ping", "refused",
}

func (t frameType) String() string {
	if t > lastFrame {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return frameNames[t]
}

type header struct {
	kind   frameType
	code   refusal
	length uint32
	number uint32
	sum    uint32 // of the body
}

func (h header) put(b []byte) {
	b[0], b[1], b[2], b[3] = 'S', 'S', 'D', version
	b[4], b[5], b[6], b[7] = byte(h.kind), byte(h.code), 0, 0
	binary.LittleEndian.PutUint32(b[8:], h.length)
	binary.LittleEndian.PutUint32(b[12:], h.number)
	binary.LittleEndian.PutUint32(b[16:], h.sum)
	binary.LittleEndian.PutUint32(b[20:], crc32.Checksum(b[:20], castagnoli))
}

// parseHeader reads a header. The version is looked at before the checksum, which
// another version may have elsewhere.
func parseHeader(b []byte) (header, error) {
	if b[0] != 'S' || b[1] != 'S' || b[2] != 'D' {
		return header{}, fmt.Errorf("%w: begins with % x, not with \"SSD\"", ErrFrame, b[:3])
	}
	if b[3] != version {
		return header{}, fmt.Errorf("%w: %d, this is %d", ErrVersion, b[3], version)
	}
	if got, want := crc32.Checksum(b[:20], castagnoli), binary.LittleEndian.Uint32(b[20:]); got != want {
		return header{}, fmt.Errorf("%w: a header sums to %08x and says %08x", ErrChecksum, got, want)
	}
	h := header{
		kind:   frameType(b[4]),
		code:   refusal(b[5]),
		length: binary.LittleEndian.Uint32(b[8:]),
		number: binary.LittleEndian.Uint32(b[12:]),
		sum:    binary.LittleEndian.Uint32(b[16:]),
	}
	if h.kind == 0 || h.kind > lastFrame || b[6] != 0 || b[7] != 0 {
		return header{}, fmt.Errorf("%w: %s", ErrFrame, h.kind)
	}
	return h, nil
}

// wire is a connection as frames. One goroutine may send while another receives.
type wire struct {
	conn    net.Conn
	in      io.Reader // conn, or a buffer over it
	peer    identity
	timeout time.Duration
	safe    *sealed // conn, if it is one: TLS has a checksum on every byte already

	sent, got uint32 // frames
	out       []byte
	vector    net.Buffers
	head      [headerBytes]byte // of the frame being received
	fixed     [stepBytes]byte   // of the step being received

	cause atomic.Pointer[error] // why the connection was closed, the first reason
}

func newWire(conn net.Conn, timeout time.Duration) *wire {
	safe, _ := conn.(*sealed)
	return &wire{conn: conn, in: conn, timeout: timeout, safe: safe}
}

// fail closes the connection.
func (w *wire) fail(err error) {
	w.cause.CompareAndSwap(nil, &err)
	_ = w.conn.Close()
}

// failure is why the connection was closed by fail.
func (w *wire) failure() error { return *w.cause.Load() }

// sum is the checksum of what had the sum given, and p after it; 0 under TLS.
func (w *wire) sum(sum uint32, p []byte) uint32 {
	if w.safe != nil {
		return 0
	}
	return crc32.Update(sum, castagnoli, p)
}

// send writes a frame whose body is the parts. It must be out within the timeout.
func (w *wire) send(kind frameType, code refusal, parts ...[]byte) error {
	h := header{kind: kind, code: code, number: w.sent}
	for _, p := range parts {
		h.length += uint32(len(p))
		h.sum = w.sum(h.sum, p)
	}
	if w.out == nil {
		w.out = make([]byte, headerBytes, headerBytes+smallFrame)
	}
	h.put(w.out[:headerBytes])
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return err
	}
	w.sent++
	if h.length > smallFrame && w.safe != nil {
		return w.safe.together(append([][]byte{w.out[:headerBytes]}, parts...)...)
	}
	if h.length > smallFrame {
		w.vector = append(append(w.vector[:0], w.out[:headerBytes]), parts...)
		left := w.vector
		_, err := left.WriteTo(w.conn)
		clear(w.vector)
		return err
	}
	frame := w.out[:headerBytes]
	for _, p := range parts {
		frame = append(frame, p...)
	}
	_, err := w.conn.Write(frame)
	return err
}

// next waits for the header of a frame, at most for wait.
func (w *wire) next(wait time.Duration) (header, error) {
	if err := w.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return header{}, err
	}
	if _, err := io.ReadFull(w.in, w.head[:]); err != nil {
		return header{}, err
	}
	h, err := parseHeader(w.head[:])
	if err != nil {
		return header{}, err
	}
	if h.number != w.got {
		return header{}, fmt.Errorf("%w: frame %d, expected is %d", ErrFrame, h.number, w.got)
	}
	w.got++
	return h, nil
}

// body reads the body of h, which is as long as b, and checks it.
func (w *wire) body(h header, b []byte) error {
	if err := w.conn.SetReadDeadline(time.Now().Add(w.timeout)); err != nil {
		return err
	}
	sum, err := w.part(0, b)
	if err != nil {
		return err
	}
	return h.check(sum)
}

// part reads the next bytes of a body, and returns the sum of those before and these.
func (w *wire) part(sum uint32, p []byte) (uint32, error) {
	for len(p) > 0 {
		n, err := w.in.Read(p[:min(len(p), readPiece)])
		sum = w.sum(sum, p[:n])
		if p = p[n:]; err != nil && len(p) > 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return sum, err
		}
	}
	return sum, nil
}

func (h header) check(sum uint32) error {
	if sum != h.sum {
		return fmt.Errorf("%w: the body of frame %d sums to %08x, its header says %08x", ErrChecksum, h.number, sum, h.sum)
	}
	return nil
}

// message reads the body of a step, which is at least stepBytes long. How it
// divides is believed before the checksum is known: it decides nothing but what
// goes where.
func (w *wire) message(h header, from Peer) (*Message, error) {
	if err := w.conn.SetReadDeadline(time.Now().Add(w.timeout)); err != nil {
		return nil, err
	}
	sum, err := w.part(0, w.fixed[:])
	if err != nil {
		return nil, err
	}
	fixed, err := parseStepHead(w.fixed[:], h.length)
	if err != nil {
		return nil, err
	}
	msg := newMessage(from, fixed, int(h.length-stepBytes-fixed.head)/4)
	if sum, err = w.part(sum, msg.Head); err == nil {
		sum, err = w.part(sum, bytesOf(msg.Rows))
	}
	if err == nil {
		err = h.check(sum)
	}
	if err != nil {
		msg.Release()
		return nil, err
	}
	return msg, nil
}

// firstPiece is how much memory a body gets before any of it has come.
const firstPiece = 4 << 10

// control reads a body of at most limit bytes. Memory is taken as they come: a
// header alone costs its sender nothing.
func (w *wire) control(h header, limit int) ([]byte, error) {
	if h.length > uint32(limit) {
		return nil, fmt.Errorf("%w: %s of %d bytes, allowed are %d", ErrFrame, h.kind, h.length, limit)
	}
	if err := w.conn.SetReadDeadline(time.Now().Add(w.timeout)); err != nil {
		return nil, err
	}
	var b []byte
	var sum uint32
	for rest := int(h.length); rest > 0; rest = int(h.length) - len(b) {
		at := len(b)
		b = append(b, make([]byte, min(rest, max(at, firstPiece)))...)
		var err error
		if sum, err = w.part(sum, b[at:]); err != nil {
			return nil, err
		}
	}
	return b, h.check(sum)
}

// answer waits for a frame of the given kind. A refusal comes back as its error.
func (w *wire) answer(kind frameType, wait time.Duration) (header, error) {
	h, err := w.next(wait)
	if err != nil {
		return h, err
	}
	switch h.kind {
	case kind:
		return h, nil
	case frameRefused:
		b, err := w.control(h, maxReason+2)
		if err != nil {
			return h, err
		}
		return h, h.code.asError(b)
	default:
		return h, fmt.Errorf("%w: %s where %s was expected", ErrFrame, h.kind, kind)
	}
}
