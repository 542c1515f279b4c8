package dataplane

import (
	"errors"
	"fmt"
)

// Errors of transfers and of steps. They come wrapped with the peer and the item
// or the step.
var (
	// ErrNotHeld says that the peer does not have the item.
	ErrNotHeld = errors.New("not held")
	// ErrLength says that the two sides disagree about the length of an item or a vector.
	ErrLength = errors.New("wrong length")
	// ErrChecksum says that bytes were changed on their way, repeatedly.
	ErrChecksum = errors.New("wrong checksum")
	// ErrVersion says that the peer speaks another version of the wire format.
	ErrVersion = errors.New("unknown version of the data plane")
	// ErrFrame says that a peer sent what is no frame, or not one that is allowed here.
	ErrFrame = errors.New("bad frame")
	// ErrWrongNode says that another node answers at the peer's address.
	ErrWrongNode = errors.New("another node has this address")
	// ErrBusy says that the peer serves as many connections as it may.
	ErrBusy = errors.New("peer is busy")
	// ErrProvider says that the peer holds the item and could not read it.
	ErrProvider = errors.New("peer could not read")
	// ErrEpoch says that the peer is not, or no longer, in the epoch of the message.
	ErrEpoch = errors.New("other epoch")
	// ErrAborted says that a device of the pipeline gave the step up.
	ErrAborted = errors.New("step aborted")
	// ErrPeer says that the connection to a device of the pipeline broke.
	ErrPeer = errors.New("peer lost")
	// ErrOverflow says that a peer sent more than may wait to be received.
	ErrOverflow = errors.New("inbox overflow")
	// ErrClosed says that the server, client or mesh was closed here.
	ErrClosed = errors.New("data plane closed")
)

// Kind is what an item is a piece of.
type Kind uint8

// The kinds of items.
const (
	// Weights is the blob of (layer, leaf), see engine/model.
	Weights Kind = iota + 1
	// Cache is the KV cache of tokens [From, To) of a sequence in (layer, leaf).
	Cache
)

func (k Kind) String() string {
	switch k {
	case Weights:
		return "weights"
	case Cache:
		return "cache"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Item names a piece of model context or of cache context. Sequence, From and To
// are of Cache alone.
type Item struct {
	Kind     Kind
	Layer    int
	Leaf     int
	Sequence uint64
	From, To int // tokens
}

func (i Item) String() string {
	if i.Kind == Cache {
		return fmt.Sprintf("cache of sequence %x, layer %d leaf %d, tokens %d to %d", i.Sequence, i.Layer, i.Leaf, i.From, i.To)
	}
	return fmt.Sprintf("%s of layer %d leaf %d", i.Kind, i.Layer, i.Leaf)
}

// Provider gives out what a node holds. It is called by several goroutines at
// once.
type Provider interface {
	// Open returns the bytes of an item. They stay as they are until release is
	// called, once. Errors: ErrNotHeld, which the peer gets as itself; others reach
	// it as ErrProvider with their text.
	Open(run string, item Item) (data []byte, release func(), err error)
	// Held says how much of an item is held: of Cache the tokens from item.From on
	// without a gap, at most to item.To; of Weights 1 or 0.
	Held(run string, item Item) int
}
