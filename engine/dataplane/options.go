package dataplane

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Limits of the wire format, in bytes.
const (
	// ChunkBytes is the most that one frame carries of an item.
	ChunkBytes = 1 << 20
	// maxName is the most of a run's or a node's name.
	maxName = 1 << 10
	// maxReason is the most of a refusal's text.
	maxReason = 1 << 10
	// maxItems is the most that one frame asks about.
	maxItems = 1 << 14
)

// Options are of a Server, its meshes, and a Client. Zero values mean the
// defaults that are named.
type Options struct {
	// Node is the name of this node, by which peers address it. Required.
	Node string
	// Resolve returns the address, host:port, of a node's server. It is asked again
	// after each failure. Required.
	Resolve func(ctx context.Context, node string) (addr string, err error)
	// Provider answers fetches; none: nothing is held here.
	Provider Provider
	// Delivered, if set, is told of each item that a peer has received whole.
	Delivered func(run string, item Item, bytes int)
	// Security is what connections are kept safe by; none: they are plain TCP, and
	// whoever reaches the server is believed.
	Security *Security
	// Refusals counts the connections that came to nothing: own counters.
	Refusals *Refusals

	// Streams is the most connections for fetches to one peer: 4.
	Streams int
	// Timeout is how long a frame may take, and how long a link of a mesh may be
	// silent: 10 s.
	Timeout time.Duration
	// Attempts is how many connections in a row may fail without any progress of a
	// fetch: 4.
	Attempts int
	// MaxConns is the most connections that a server has at a time: 4096.
	MaxConns int
	// MaxPeerConns is the most of them that one peer has, known by its certificate: 512.
	MaxPeerConns int
	// MaxMessage is the most bytes of head and rows of one message of a step: 256 MiB.
	MaxMessage int
	// InboxBytes is the most that may wait in a mesh to be received: 1 GiB.
	InboxBytes int64
	// Add adds src to dst, element by element: Add.
	Add func(dst, src []float32)
	// SocketBuffer is the size of the sockets' buffers in bytes: the system's own choice.
	SocketBuffer int
	// Log takes what happens to connections: discarded.
	Log *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Node == "" || len(o.Node) > maxName {
		return o, fmt.Errorf("data plane: the node's name has %d bytes, allowed are 1 to %d", len(o.Node), maxName)
	}
	if o.Resolve == nil {
		return o, fmt.Errorf("data plane of %s: no way to resolve addresses", o.Node)
	}
	if err := o.Security.check(); err != nil {
		return o, fmt.Errorf("data plane of %s: %w", o.Node, err)
	}
	if o.Provider == nil {
		o.Provider = nothing{}
	}
	if o.Delivered == nil {
		o.Delivered = func(string, Item, int) {}
	}
	if o.Add == nil {
		o.Add = Add
	}
	setDefault(&o.Streams, 4)
	setDefault(&o.Timeout, 10*time.Second)
	setDefault(&o.Attempts, 4)
	setDefault(&o.MaxConns, 4096)
	setDefault(&o.MaxPeerConns, 512)
	setDefault(&o.MaxMessage, 256<<20)
	setDefault(&o.InboxBytes, 1<<30)
	if o.MaxMessage > 1<<31-1 {
		return o, fmt.Errorf("data plane of %s: messages of %d bytes, allowed are up to %d", o.Node, o.MaxMessage, 1<<31-1)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Refusals == nil {
		o.Refusals = NewRefusals(o.Log)
	}
	return o, nil
}

func setDefault[T int | int64 | time.Duration](v *T, value T) {
	if *v <= 0 {
		*v = value
	}
}

// nothing is the provider of a node that holds nothing.
type nothing struct{}

func (nothing) Open(string, Item) ([]byte, func(), error) { return nil, nil, ErrNotHeld }
func (nothing) Held(string, Item) int                     { return 0 }
