package dataplane

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/spotserve/spotserve/core/event"
)

// Sizes of bodies, in bytes.
const (
	itemBytes     = 25
	stepBytes     = 28
	maxGet        = 2*(2+maxName) + itemBytes + 16
	maxHeld       = 2*(2+maxName) + 4 + maxItems*itemBytes
	maxHolds      = 4 + 4*maxItems
	maxJoin       = 3*(2+maxName) + 16 + 8
	maxAbort      = 16 + 2 + maxReason
	maxConnecting = maxHeld // the longest frame that a stranger may begin with
)

// decoder reads a body. After the first mistake everything is zero, and done says
// what it was.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) take(n int) []byte {
	if d.err == nil && n > len(d.rest) {
		d.err = fmt.Errorf("%w: a body ends %d bytes early", ErrFrame, n-len(d.rest))
	}
	if d.err != nil {
		return make([]byte, min(n, 8))
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) u8() uint8   { return d.take(1)[0] }
func (d *decoder) u32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

// number is a u32 that is small enough to be an int everywhere.
func (d *decoder) number() int {
	v := d.u32()
	if v > math.MaxInt32 {
		d.fail("number %d, allowed is up to %d", v, math.MaxInt32)
		return 0
	}
	return int(v)
}

func (d *decoder) text(limit int) string {
	n := int(binary.LittleEndian.Uint16(d.take(2)))
	if d.err == nil && n > limit {
		d.fail("a string of %d bytes, allowed are %d", n, limit)
	}
	if d.err != nil {
		return ""
	}
	return string(d.take(n))
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrFrame}, args...)...)
	}
}

// done says what was wrong, bytes that are left over included.
func (d *decoder) done() error {
	if len(d.rest) > 0 {
		d.fail("%d bytes too many in a body", len(d.rest))
	}
	return d.err
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func appendItem(b []byte, i Item) []byte {
	b = append(b, byte(i.Kind))
	b = binary.LittleEndian.AppendUint32(b, uint32(i.Layer))
	b = binary.LittleEndian.AppendUint32(b, uint32(i.Leaf))
	b = binary.LittleEndian.AppendUint64(b, i.Sequence)
	b = binary.LittleEndian.AppendUint32(b, uint32(i.From))
	return binary.LittleEndian.AppendUint32(b, uint32(i.To))
}

func (d *decoder) item() Item {
	i := Item{Kind: Kind(d.u8())}
	i.Layer, i.Leaf = d.number(), d.number()
	i.Sequence = d.u64()
	i.From, i.To = d.number(), d.number()
	if d.err == nil {
		d.err = i.check()
	}
	return i
}

// check says whether i can be named on the wire.
func (i Item) check() error {
	for _, v := range []int{i.Layer, i.Leaf, i.From, i.To} {
		if v < 0 || v > math.MaxInt32 {
			return fmt.Errorf("%w: %s: number %d, allowed are 0 to %d", ErrFrame, i, v, math.MaxInt32)
		}
	}
	switch {
	case i.Kind == Weights && i.Sequence == 0 && i.From == 0 && i.To == 0:
	case i.Kind == Cache && i.From < i.To:
	case i.Kind == Weights:
		return fmt.Errorf("%w: %s with a sequence or tokens", ErrFrame, i)
	default:
		return fmt.Errorf("%w: %s", ErrFrame, i)
	}
	return nil
}

// getRequest asks for an item of total bytes, from offset on.
type getRequest struct {
	node, run     string
	item          Item
	total, offset uint64
}

func (r getRequest) bytes() []byte {
	b := appendItem(appendText(appendText(nil, r.node), r.run), r.item)
	b = binary.LittleEndian.AppendUint64(b, r.total)
	return binary.LittleEndian.AppendUint64(b, r.offset)
}

func parseGet(b []byte) (getRequest, error) {
	d := decoder{rest: b}
	r := getRequest{node: d.text(maxName), run: d.text(maxName), item: d.item(), total: d.u64(), offset: d.u64()}
	if r.total > math.MaxInt64 || r.offset >= r.total {
		d.fail("bytes from %d of %d", r.offset, r.total)
	}
	return r, d.done()
}

// heldRequest asks how much of each item is held.
type heldRequest struct {
	node, run string
	items     []Item
}

func (r heldRequest) bytes() []byte {
	b := appendText(appendText(nil, r.node), r.run)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.items)))
	for _, i := range r.items {
		b = appendItem(b, i)
	}
	return b
}

func parseHeld(b []byte) (heldRequest, error) {
	d := decoder{rest: b}
	r := heldRequest{node: d.text(maxName), run: d.text(maxName)}
	n := d.number()
	if n > maxItems || n*itemBytes != len(d.rest) {
		d.fail("%d items in %d bytes, allowed are %d", n, len(d.rest), maxItems)
		return r, d.done()
	}
	r.items = make([]Item, n)
	for k := range r.items {
		r.items[k] = d.item()
	}
	return r, d.done()
}

func parseHolds(b []byte, want int) ([]int32, error) {
	d := decoder{rest: b}
	n := d.number()
	if n != want || 4*n != len(d.rest) {
		d.fail("%d answers in %d bytes to %d questions", n, len(d.rest), want)
		return nil, d.done()
	}
	out := make([]int32, n)
	for k := range out {
		out[k] = int32(d.number())
	}
	return out, d.done()
}

// joinRequest opens a link of a mesh.
type joinRequest struct {
	run      string
	epoch    event.Epoch
	from, to Peer
}

func (r joinRequest) bytes() []byte {
	b := appendText(nil, r.run)
	b = binary.LittleEndian.AppendUint64(b, r.epoch.Term)
	b = binary.LittleEndian.AppendUint64(b, r.epoch.N)
	for _, p := range []Peer{r.from, r.to} {
		b = binary.LittleEndian.AppendUint32(appendText(b, p.Node), uint32(p.Device))
	}
	return b
}

func parseJoin(b []byte) (joinRequest, error) {
	d := decoder{rest: b}
	r := joinRequest{run: d.text(maxName), epoch: event.Epoch{Term: d.u64(), N: d.u64()}}
	r.from = Peer{Node: d.text(maxName), Device: d.number()}
	r.to = Peer{Node: d.text(maxName), Device: d.number()}
	return r, d.done()
}

// stepHead is the fixed part of a message of a step.
type stepHead struct {
	step   Step
	number uint32 // among the messages of a tag between two devices in a step
	tag    Tag
	head   uint32 // bytes of the message's head
}

func appendStep(b []byte, s Step) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(s.Pipeline))
	b = binary.LittleEndian.AppendUint32(b, uint32(s.Group))
	return binary.LittleEndian.AppendUint64(b, s.Number)
}

func (d *decoder) step() Step {
	return Step{Pipeline: d.number(), Group: d.number(), Number: d.u64()}
}

func (h stepHead) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(appendStep(b, h.step), h.number)
	return binary.LittleEndian.AppendUint32(append(b, byte(h.tag), 0, 0, 0), h.head)
}

// parseStepHead reads the fixed part of a message whose whole body has length
// bytes.
func parseStepHead(b []byte, length uint32) (stepHead, error) {
	d := decoder{rest: b}
	h := stepHead{step: d.step(), number: d.u32(), tag: Tag(d.u8())}
	if pad := d.take(3); pad[0]|pad[1]|pad[2] != 0 || h.tag == 0 || h.tag > lastTag {
		d.fail("tag %d", h.tag)
	}
	h.head = d.u32()
	if rest := length - stepBytes; h.head > rest || (rest-h.head)%4 != 0 {
		d.fail("a head of %d bytes in %d, with rows of four-byte floats", h.head, rest)
	}
	return h, d.done()
}

func abortBytes(s Step, reason string) []byte {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return appendText(appendStep(nil, s), reason)
}

func parseAbort(b []byte) (Step, string, error) {
	d := decoder{rest: b}
	s, reason := d.step(), d.text(maxReason)
	return s, reason, d.done()
}
