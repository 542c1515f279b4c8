// Package bus is the message bus as the services see it: two append-only
// streams of subjects, read from any position.
//
// Promises, kept by every implementation and checked by bustest:
//   - Messages of one Publisher land in the stream in the order of its Publish
//     calls. A stream numbers its messages from its first sequence without gaps
//     in what a reader of all subjects sees.
//   - A Follow sees every matching message from its start position on, once and
//     in stream order, also across reconnects. It needs no acknowledgement.
//   - A Consume delivers at least once. What is not acknowledged comes again,
//     also to the next process that consumes under the same name.
//   - A slow reader delays nobody else; its messages wait in the stream.
//   - A message whose ID was published to the stream within the deduplication
//     window is dropped. That is a convenience, not a guarantee to build on.
//   - Nobody changes a payload once it was published: readers share it.
//   - A message keeps its trace context, as far as that is no longer than
//     MaxTraceContext.
package bus

import (
	"context"
	"errors"
	"time"
)

// Stream names one of the two streams.
type Stream string

// The streams and the subjects they hold.
const (
	Control Stream = "SPOT_CONTROL" // spot.control.>
	Runs    Stream = "SPOT_RUNS"    // spot.run.>
)

// Keys names the bucket of the keys of KeyValue.
const Keys = "SPOT_KEYS"

// Subjects returns the wildcard that s stores.
func (s Stream) Subjects() string {
	if s == Control {
		return "spot.control.>"
	}
	return "spot.run.>"
}

// MaxMessage is the most bytes of a message of either stream, with its headers: what
// a NATS server takes unless it is told otherwise. The largest message of this
// system is the start of a run over many nodes with long names; a start that asks
// for a larger one is refused. Custom starts come next, with files of 512 KiB.
const MaxMessage = 1 << 20

// MaxHeaders is how much of it headers may take: the message's ID and its trace.
const MaxHeaders = 4 << 10

// Message is one entry of a stream.
type Message struct {
	Subject   string
	Data      []byte
	Seq       uint64 // position in the stream
	Published time.Time
	TraceContext
}

// TraceContext says which trace a message belongs to, in the forms of the W3C. It
// decides nothing: a message means the same with and without it. Empty strings say
// nothing.
type TraceContext struct {
	// Trace is a traceparent: what brought the message about.
	Trace string
	// Baggage is a list of key=value, for what one traceparent cannot say.
	Baggage string
}

// Outgoing is a message to publish.
type Outgoing struct {
	Subject string
	Data    []byte
	ID      string // for deduplication; may be empty
	TraceContext
}

// MaxTraceContext bounds the trace context of a message, in bytes. What is longer
// is left out.
const MaxTraceContext = 16 << 10

// Bounded is what of t a message carries.
func (t TraceContext) Bounded() TraceContext {
	if len(t.Trace)+len(t.Baggage) > MaxTraceContext {
		return TraceContext{}
	}
	return t
}

// Position says where a reader starts.
type Position struct {
	// Seq is the first sequence to deliver; 0 means everything there is.
	Seq uint64
	// New skips everything that is in the stream already.
	New bool
}

// Publisher appends messages.
type Publisher interface {
	// Publish hands a message over in order and does not wait for the stream
	// to store it. If an earlier message could not be stored, Publish returns
	// that error instead, once, and drops m.
	Publish(ctx context.Context, m Outgoing) error
	// PublishWait stores a message and returns its sequence. Its error is of m
	// alone.
	PublishWait(ctx context.Context, m Outgoing) (uint64, error)
	// Flush waits until everything handed over is stored, and returns the
	// error of a message that could not be.
	Flush(ctx context.Context) error
}

// Appender appends a message only where nobody else has meanwhile: the way to
// be the one that takes a place.
type Appender interface {
	// Append stores m if last is the sequence of the newest message of its
	// subject, 0 for none, and returns the sequence of m. Otherwise its error
	// wraps ErrTaken and nothing is stored. It keeps no order with messages
	// that were handed over to Publish.
	Append(ctx context.Context, m Outgoing, last uint64) (uint64, error)
}

// Subscription delivers messages until it is stopped or its context ends.
type Subscription interface {
	// C is closed when the subscription is over; Err then says why. It is nil
	// after Stop and after the context's end.
	C() <-chan Message
	Err() error
	Stop()
}

// Follower reads a stream in order, without acknowledgements.
type Follower interface {
	Follow(ctx context.Context, s Stream, from Position, filters ...string) (Subscription, error)
	// LastSeq is the sequence of the newest message that s ever stored, also
	// when it was purged since; 0 if there was none.
	LastSeq(ctx context.Context, s Stream) (uint64, error)
	// Newest returns the newest message of s that the filter selects; found is
	// false if there is none.
	Newest(ctx context.Context, s Stream, filter string) (m Message, found bool, err error)
}

// Delivery is a message that wants an acknowledgement.
type Delivery struct {
	Message
	// Ack says that the message is dealt with. It is safe to call more than
	// once and also when the Work is over.
	Ack func() error
}

// Work delivers messages of a durable consumer.
type Work interface {
	C() <-chan Delivery
	Err() error
	Stop()
}

// Consumer reads a stream with acknowledgements, under a durable name. Several
// Works under one name share the messages. A new name starts at the beginning.
type Consumer interface {
	Consume(ctx context.Context, s Stream, durable string, filters ...string) (Work, error)
	// Waiting counts the messages that were not delivered under a durable name
	// yet, or not acknowledged; 0 for a name that nobody has used. It may lag
	// behind for a moment.
	Waiting(ctx context.Context, s Stream, durable string) (uint64, error)
}

// Purger forgets messages.
type Purger interface {
	// Purge removes the messages of s that match the filter.
	Purge(ctx context.Context, s Stream, filter string) error
	// PurgeBefore removes the messages of s with a sequence below seq.
	PurgeBefore(ctx context.Context, s Stream, seq uint64) error
}

// KeyValue holds a few small values that change, one at a time.
type KeyValue interface {
	// Get returns the value of a key and its revision, which is 0 for a key
	// without value.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put replaces the value of a key if revision is still its revision, and
	// returns the new one. Otherwise its error wraps ErrTaken.
	Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// Signaller carries signals, which nobody keeps: who listens hears them, if it
// can. Their subjects are below spot.signal.
type Signaller interface {
	// Signal tells whoever listens now.
	Signal(ctx context.Context, subject string, data []byte) error
	// Listen hears the signals that the filter selects, from now on. A signal
	// may be lost, also when the listener is slow.
	Listen(ctx context.Context, filter string) (Subscription, error)
}

// Signals are the subjects of signals.
const Signals = "spot.signal.>"

// Bus is all of it.
type Bus interface {
	Publisher
	Appender
	Follower
	Consumer
	Purger
	KeyValue
	Signaller
	// Close flushes, ends all subscriptions with ErrClosed and lets go. The
	// streams stay. Closing again does nothing.
	Close() error
}

// ErrClosed is returned by every call on a closed bus but Close.
var ErrClosed = errors.New("bus: closed")

// ErrTaken is returned by Append and Put when another one was there first.
var ErrTaken = errors.New("bus: another one was there first")

// ErrAway wraps the error of a call that the bus did not answer, or could not
// carry out at the moment: it is cut off, a server is gone, a cluster elects a
// leader, its disk is full. What the call was to do may be done or not. The same
// call may succeed later; Insist makes it again. An error that wraps neither
// this one nor the context's does not get better by waiting.
var ErrAway = errors.New("bus: away")

// ErrDenied wraps the error of a call that this process's user is not allowed, and
// says who that is and what it may not. Waiting does not help.
var ErrDenied = errors.New("bus: not allowed")

// ErrSubject is returned for a subject or filter that no stream holds or that
// is not well formed.
var ErrSubject = errors.New("bus: no stream holds this subject")
