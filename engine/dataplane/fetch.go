package dataplane

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
)

// Transfer is an item on its way into memory. What has arrived stays good when a
// fetch fails: the next one, from any peer, goes on from there.
type Transfer struct {
	Run  string
	Item Item
	// Dst is where the item goes, as long as it.
	Dst []byte
	// Done is how many bytes of Dst have arrived and are checked.
	Done int
	// Progress, if set, is told Done after each chunk.
	Progress func(done int)
}

// Fetch fills dst, which is as long as the item, with what node holds.
//
// Errors: ErrNotHeld, ErrLength and ErrProvider at once; those of the connection,
// ErrChecksum, ErrFrame, ErrVersion, ErrWrongNode and ErrBusy after
// Options.Attempts connections in a row that brought nothing; ctx's cause; ErrClosed.
func (c *Client) Fetch(ctx context.Context, node, run string, item Item, dst []byte) error {
	return c.Resume(ctx, node, &Transfer{Run: run, Item: item, Dst: dst})
}

// Resume fetches what is missing of t. Errors are those of Fetch.
func (c *Client) Resume(ctx context.Context, node string, t *Transfer) error {
	err := t.check(node)
	if err == nil && t.Done < len(t.Dst) {
		err = c.retry(ctx, func() int { return t.Done }, func(ctx context.Context) (bool, error) {
			return c.exchange(ctx, node, func(w *wire) error { return t.receive(w, node) })
		})
	}
	if err != nil {
		return fmt.Errorf("fetch %s from %s, %d of %d bytes: %w", t.Item, node, t.Done, len(t.Dst), err)
	}
	return nil
}

func (t *Transfer) check(node string) error {
	if err := t.Item.check(); err != nil {
		return err
	}
	if len(t.Dst) == 0 || t.Done < 0 || t.Done > len(t.Dst) {
		return fmt.Errorf("%w: %d of %d bytes are there, allowed are 1 byte and more", ErrLength, t.Done, len(t.Dst))
	}
	return checkNames(node, t.Run)
}

func checkNames(names ...string) error {
	for _, n := range names {
		if len(n) > maxName {
			return fmt.Errorf("%w: a name of %d bytes, allowed are %d", ErrFrame, len(n), maxName)
		}
	}
	return nil
}

// receive asks for the rest of t on w and takes it in.
func (t *Transfer) receive(w *wire, node string) error {
	ask := getRequest{node: node, run: t.Run, item: t.Item, total: uint64(len(t.Dst)), offset: uint64(t.Done)}
	if err := w.send(frameGet, 0, ask.bytes()); err != nil {
		return err
	}
	for t.Done < len(t.Dst) {
		h, err := w.answer(frameData, w.timeout)
		if err != nil {
			return err
		}
		rest := t.Dst[t.Done:]
		if h.length == 0 || h.length > ChunkBytes || int(h.length) > len(rest) {
			return fmt.Errorf("%w: a chunk of %d bytes, %d are missing", ErrFrame, h.length, len(rest))
		}
		if err := w.body(h, rest[:h.length]); err != nil {
			return err
		}
		t.Done += int(h.length)
		if t.Progress != nil {
			t.Progress(t.Done)
		}
	}
	// The peer may let go of the item now. If it does not hear of it, it finds out
	// when the connection ends.
	_ = w.send(frameAck, 0)
	return nil
}

// Held asks node how much it holds of each item: of Cache how many tokens from
// item.From on, of Weights 1 or 0. Errors are those of Fetch, without ErrNotHeld.
func (c *Client) Held(ctx context.Context, node, run string, items []Item) ([]int32, error) {
	out := make([]int32, 0, len(items))
	for part := range slices.Chunk(items, maxItems) {
		holds, err := c.heldPart(ctx, heldRequest{node: node, run: run, items: part})
		if err != nil {
			return nil, fmt.Errorf("ask %s for what it holds of %d items: %w", node, len(items), err)
		}
		out = append(out, holds...)
	}
	return out, nil
}

func (c *Client) heldPart(ctx context.Context, r heldRequest) (holds []int32, err error) {
	for _, i := range r.items {
		if err := i.check(); err != nil {
			return nil, err
		}
	}
	if err := checkNames(r.node, r.run); err != nil {
		return nil, err
	}
	ask := func(w *wire) error {
		if err := w.send(frameHeld, 0, r.bytes()); err != nil {
			return err
		}
		h, err := w.answer(frameHolds, w.timeout)
		if err != nil {
			return err
		}
		b, err := w.control(h, maxHolds)
		if err != nil {
			return err
		}
		holds, err = parseHolds(b, len(r.items))
		return err
	}
	err = c.retry(ctx, func() int { return 0 }, func(ctx context.Context) (bool, error) {
		return c.exchange(ctx, r.node, ask)
	})
	return holds, err
}

// holds answers a question about items.
func (s *Server) holds(r heldRequest) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(r.items)))
	for _, i := range r.items {
		most := 1
		if i.Kind == Cache {
			most = i.To - i.From
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(min(max(s.options.Provider.Held(r.run, i), 0), most)))
	}
	return b
}
