package dataplane

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
)

// tape is a connection whose other side has said everything in advance.
type tape struct {
	io.Reader
	written bytes.Buffer
}

func (t *tape) Write(b []byte) (int, error)    { return t.written.Write(b) }
func (*tape) Close() error                     { return nil }
func (*tape) LocalAddr() net.Addr              { return nil }
func (*tape) RemoteAddr() net.Addr             { return nil }
func (*tape) SetDeadline(time.Time) error      { return nil }
func (*tape) SetReadDeadline(time.Time) error  { return nil }
func (*tape) SetWriteDeadline(time.Time) error { return nil }

// frames makes valid headers for what a fuzzer made up: type, code, two bytes of
// length, body, and so on.
func frames(script []byte) []byte {
	var out []byte
	for number := uint32(0); len(script) >= 4; number++ {
		n := min(int(script[2])|int(script[3])<<8, len(script)-4)
		body := script[4 : 4+n]
		h := header{
			kind: frameType(script[0]), code: refusal(script[1]), length: uint32(n), number: number,
			sum: crc32.Checksum(body, castagnoli),
		}
		var b [headerBytes]byte
		h.put(b[:])
		out = append(append(out, b[:]...), body...)
		script = script[4+n:]
	}
	return out
}

func script(kind frameType, body []byte) []byte {
	return append([]byte{byte(kind), 0, byte(len(body)), byte(len(body) >> 8)}, body...)
}

type oneItem struct{ data []byte }

func (o oneItem) Open(_ string, i Item) ([]byte, func(), error) {
	if i.Layer > 3 {
		return nil, nil, ErrNotHeld
	}
	return o.data, func() {}, nil
}
func (oneItem) Held(string, Item) int { return 1 << 40 }

const (
	fuzzMessage = 4 << 10
	fuzzInbox   = 64 << 10
)

func fuzzServer(f *testing.F) *Server {
	f.Helper()
	o, err := Options{
		Node: "n", Resolve: func(context.Context, string) (string, error) { return "", errors.New("nowhere") },
		Provider: oneItem{make([]byte, 100)}, MaxMessage: fuzzMessage, InboxBytes: fuzzInbox, Timeout: time.Millisecond,
	}.withDefaults()
	if err != nil {
		f.Fatal(err)
	}
	s := newServer(o)
	f.Cleanup(s.cancel)
	return s
}

// allocated runs f and returns how many bytes it took from the heap.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What a peer sends, also one that has shown who it is, never makes a server panic,
// and it never gets more memory for it than the limits of frames and of the inbox
// allow.
func FuzzServer(f *testing.F) {
	peer, self := Peer{Node: "m"}, Peer{Node: "n"}
	get := getRequest{node: "n", run: "r", item: Item{Kind: Weights}, total: 100, offset: 3}
	held := heldRequest{node: "n", run: "r", items: []Item{{Kind: Weights}, {Kind: Cache, Sequence: 5, To: 2}}}
	join := joinRequest{run: "r", epoch: event.Epoch{Term: 1}, from: peer, to: self}
	work := stepHead{step: Step{Number: 3}, tag: Work, head: 2}
	f.Add(append(script(frameGet, get.bytes()), script(frameAck, nil)...), true)
	f.Add(script(frameHeld, held.bytes()), true)
	links := append(script(frameJoin, join.bytes()), script(frameStep, append(work.append(nil), 1, 2, 3, 4, 5, 6))...)
	links = append(append(links, script(framePing, nil)...), script(frameAbort, abortBytes(Step{Number: 3}, "why"))...)
	f.Add(links, true)
	f.Add(frames(links), false)
	other := joinRequest{run: "r", epoch: event.Epoch{Term: 1}, from: Peer{Node: "x"}, to: self}
	f.Add(script(frameJoin, other.bytes()), true)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\nand some more, to fill a header"), false)
	s := fuzzServer(f)
	f.Fuzz(func(t *testing.T, data []byte, valid bool) {
		if len(data) > 1<<16 {
			return
		}
		if valid {
			data = frames(data)
		}
		m, err := s.Join("r", event.Epoch{Term: 1}, map[int][]Peer{0: {peer, self}})
		if err != nil {
			t.Fatal(err)
		}
		w := newWire(&tape{Reader: bytes.NewReader(data)}, s.options.Timeout)
		w.peer = identity{known: true, nodes: []string{"m"}}
		n := allocated(func() { _ = s.serve(w) }) // it ends with the data at the latest
		if limit := uint64(8*len(data) + 2*fuzzInbox + 1<<20); n > limit {
			t.Errorf("%d bytes were allocated for %d, allowed are %d", n, len(data), limit)
		}
		if m.inbox.bytes > fuzzInbox {
			t.Errorf("%d bytes wait in the inbox", m.inbox.bytes)
		}
		m.Close()
		if m.inbox.bytes != 0 {
			t.Errorf("%d bytes are counted in a closed inbox", m.inbox.bytes)
		}
		s.meshes.newest = map[string]event.Epoch{}
	})
}

// What a peer answers never makes a client panic, go beyond the item's memory, or
// take bytes for good that are not what their checksum says.
func FuzzAnswers(f *testing.F) {
	f.Add(append(script(frameData, []byte("0123456789")), script(frameData, []byte("abcdef"))...), true)
	f.Add(script(frameRefused, appendText(nil, "no")), true)
	f.Add(script(frameHolds, []byte{1, 0, 0, 0, 7, 0, 0, 0}), true)
	f.Add(frames(script(frameData, []byte("0123456789abcdef"))), false)
	f.Fuzz(func(t *testing.T, data []byte, valid bool) {
		if len(data) > 1<<16 {
			return
		}
		if valid {
			data = frames(data)
		}
		memory := bytes.Repeat([]byte{0xaa}, 64)
		tr := Transfer{Run: "r", Item: Item{Kind: Weights}, Dst: memory[16:32:32]}
		var err error
		n := allocated(func() {
			err = tr.receive(newWire(&tape{Reader: bytes.NewReader(data)}, time.Second), "n")
			w := newWire(&tape{Reader: bytes.NewReader(data)}, time.Second)
			if h, err := w.answer(frameHolds, time.Second); err == nil {
				if b, err := w.control(h, maxHolds); err == nil {
					_, _ = parseHolds(b, 1)
				}
			}
		})
		if (err == nil) != (tr.Done == 16) {
			t.Errorf("%d of 16 bytes are there, and the error is %v", tr.Done, err)
		}
		if !bytes.Equal(memory[:16], bytes.Repeat([]byte{0xaa}, 16)) || !bytes.Equal(memory[32:], bytes.Repeat([]byte{0xaa}, 32)) {
			t.Error("bytes beside the item were written")
		}
		if limit := uint64(8*len(data) + 2*maxHolds + 1<<20); n > limit {
			t.Errorf("%d bytes were allocated for %d, allowed are %d", n, len(data), limit)
		}
	})
}

// A frame that comes twice, or is left out, shows by its number.
func TestFramesAreCounted(t *testing.T) {
	three := frames(append(append(script(framePing, nil), script(frameAck, nil)...), script(framePing, nil)...))
	one, two, last := three[:headerBytes], three[headerBytes:2*headerBytes], three[2*headerBytes:]
	for name, c := range map[string]struct {
		parts [][]byte
		good  int
	}{
		"in order": {[][]byte{one, two, last}, 3},
		"twice":    {[][]byte{one, one, two}, 1},
		"left out": {[][]byte{one, last}, 1},
	} {
		w := newWire(&tape{Reader: bytes.NewReader(bytes.Join(c.parts, nil))}, time.Second)
		var good int
		var err error
		for err == nil {
			if _, err = w.next(time.Second); err == nil {
				good++
			}
		}
		if good != c.good || good < 3 && !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %d frames are good, want %d; then %v", name, good, c.good, err)
		}
	}
}

// Bodies come back as they were sent.
func TestBodiesRoundTrip(t *testing.T) {
	item := Item{Kind: Cache, Layer: 1, Leaf: 2, Sequence: 1<<64 - 1, From: 3, To: 1<<31 - 1}
	get := getRequest{node: "node", run: "run", item: item, total: 1<<63 - 1, offset: 1 << 40}
	if got, err := parseGet(get.bytes()); err != nil || got != get {
		t.Errorf("got %+v, %v", got, err)
	}
	join := joinRequest{run: "run", epoch: event.Epoch{Term: 1<<64 - 1, N: 5}, from: Peer{"a", 7}, to: Peer{"b", 0}}
	if got, err := parseJoin(join.bytes()); err != nil || got != join {
		t.Errorf("got %+v, %v", got, err)
	}
	head := stepHead{step: Step{Pipeline: 1, Group: 2, Number: 1<<64 - 1}, number: 9, tag: gather, head: 13}
	b := head.append(nil)
	if got, err := parseStepHead(b, stepBytes+13+8); err != nil || len(b) != stepBytes || got != head {
		t.Errorf("got %+v, %v", got, err)
	}
	s, reason, err := parseAbort(abortBytes(head.step, string(bytes.Repeat([]byte("x"), 5000))))
	if err != nil || s != head.step || len(reason) != maxReason {
		t.Errorf("got %s, %d bytes of reason, %v", s, len(reason), err)
	}
	// A body that is cut anywhere, or has a byte too many, is refused.
	for name, c := range map[string]struct {
		body  []byte
		parse func([]byte) error
	}{
		"get":   {get.bytes(), func(b []byte) error { _, err := parseGet(b); return err }},
		"join":  {join.bytes(), func(b []byte) error { _, err := parseJoin(b); return err }},
		"abort": {abortBytes(head.step, "why"), func(b []byte) error { _, _, err := parseAbort(b); return err }},
		"held": {heldRequest{node: "n", run: "r", items: []Item{item, item}}.bytes(), func(b []byte) error {
			_, err := parseHeld(b)
			return err
		}},
	} {
		for n := range c.body {
			if err := c.parse(c.body[:n]); !errors.Is(err, ErrFrame) {
				t.Errorf("%s of %d of %d bytes: %v", name, n, len(c.body), err)
			}
		}
		if err := c.parse(append(c.body, 0)); !errors.Is(err, ErrFrame) {
			t.Errorf("%s and a byte: %v", name, err)
		}
	}
}

// Codes of refusals mean the same on both sides, and unknown ones are errors.
func TestRefusalsRoundTrip(t *testing.T) {
	for code, known := range refusals {
		if codeOf(known) != code {
			t.Errorf("%v has code %d, want %d", known, codeOf(known), code)
		}
		if err := code.asError(appendText(nil, "text")); !errors.Is(err, known) || err.Error() != "refused: text" {
			t.Errorf("code %d is %v, want %v", code, err, known)
		}
	}
	if codeOf(errors.New("other")) != codeOf(ErrProvider) {
		t.Error("an unknown error is not the provider's")
	}
	for _, code := range []refusal{0, 99} {
		if err := code.asError(appendText(nil, "text")); !errors.Is(err, ErrFrame) {
			t.Errorf("code %d is %v", code, err)
		}
	}
}
