package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/spotserve/spotserve/platform/bus"
)

// outbox holds what was handed over and is not known to be stored, in order.
//
// To a server on its own messages are sent at once, without waiting for the
// answers to earlier ones. When a connection is replaced, or answers stay away,
// all of them are sent again in the same order. Every message has an ID, its own
// or one made here, so the stream drops those that it had stored already; and
// because each sending keeps the order, whatever is stored first keeps it too,
// even while an old connection's last messages are still coming in.
//
// A cluster passes messages on to the server that leads the stream. When it
// elects another one, those that are on their way are lost, and later ones may
// arrive: so there each message waits for the answer to the one before it.
type outbox struct {
	options Options
	metrics *metrics
	ids     string        // prefix of IDs that are made here
	slots   chan struct{} // one for each message in the window

	mu       sync.Mutex
	conn     *conn // nil before the first attach
	inbox    string
	alone    bool      // the connection is to a server of no cluster
	resumeAt time.Time // zero, unless sending is halted until then
	window   []*entry
	first    uint64    // number of window[0]
	moved    time.Time // when the one before it was done
	failed   error     // of the first message that failed and that nobody was told of
	flushes  []flush
}

type entry struct {
	m      bus.Outgoing
	id     string
	put    time.Time
	sent   time.Time
	done   bool
	stored chan<- outcome // nil: nobody waits
}

type outcome struct {
	seq uint64
	err error
}

// flush waits for all messages with a number below upTo.
type flush struct {
	upTo uint64
	done chan struct{}
}

const (
	// answerWithin is when a missing answer makes the outbox send again;
	// passedOnWithin is that of a message that a cluster passes on.
	answerWithin   = 5 * time.Second
	passedOnWithin = 2 * time.Second
	// haltFor is the pause after the server had nobody to store a message.
	haltFor = 250 * time.Millisecond
)

func newOutbox(o Options) *outbox {
	return &outbox{options: o, metrics: newMetrics(o.Name), ids: nuid.Next() + ".", slots: make(chan struct{}, o.MaxInFlight)}
}

// put hands m over. It waits while too many messages are under way.
func (o *outbox) put(ctx, open context.Context, m bus.Outgoing, stored chan<- outcome) error {
	if _, err := bus.StreamOf(m.Subject); err != nil {
		return err
	}
	select {
	case o.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("bus: publish %s: %w", m.Subject, ctx.Err())
	case <-open.Done():
		return bus.ErrClosed
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if stored == nil { // else there is an answer of its own, and this one is for others
		if err := o.takeFailure(); err != nil {
			<-o.slots
			return err
		}
	}
	number := o.first + uint64(len(o.window))
	e := &entry{m: m, id: m.ID, put: time.Now(), stored: stored}
	if e.id == "" {
		e.id = o.ids + strconv.FormatUint(number, 36)
	}
	if o.resumeAt.IsZero() && (o.alone || len(o.window) == 0) {
		if err := o.send(e, number); err != nil {
			<-o.slots
			return err
		}
	}
	o.window = append(o.window, e)
	return nil
}

// send sends e on the current connection. Its error is one that sending again
// would not mend.
func (o *outbox) send(e *entry, number uint64) error {
	e.sent = time.Now()
	header := nats.Header{nats.MsgIdHdr: {e.id}}
	putTrace(header, e.m.TraceContext)
	err := o.conn.nc.PublishMsg(&nats.Msg{
		Subject: e.m.Subject,
		Reply:   o.inbox + strconv.FormatUint(number, 36),
		Header:  header,
		Data:    e.m.Data,
	})
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("bus: publish %s: %d bytes: %w: the server takes %d with the headers", e.m.Subject, len(e.m.Data), err, o.conn.nc.MaxPayload())
	}
	return nil // the next connection gets what a lost one did not take
}

// attach goes on over c.
func (o *outbox) attach(c *conn) {
	inbox := c.nc.NewInbox() + "."
	// An error means that c is lost again; the next one is on its way.
	_, _ = c.nc.Subscribe(inbox+"*", func(m *nats.Msg) {
		if number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, inbox), 36, 64); err == nil {
			o.settle(c, number, m)
		}
	})
	// As long as c is: the connection goes with its guards.
	c.denials.guard(publishes, []string{bus.Control.Subjects(), bus.Runs.Subjects()}, func(subject string, err error) { o.deny(c, subject, err) })
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conn, o.inbox, o.alone = c, inbox, c.nc.ConnectedClusterName() == ""
	o.sendAll()
}

// sendAll sends again what is not done: all of it, or the first. The lock is
// held.
func (o *outbox) sendAll() {
	o.resumeAt = time.Time{}
	for i, e := range o.window {
		if e.done {
			continue
		}
		if err := o.send(e, o.first+uint64(i)); err != nil {
			o.finish(e, outcome{err: err})
		} else if !o.alone {
			break
		}
	}
	o.trim()
}

// settle takes the server's answer to a message that went over c.
func (o *outbox) settle(c *conn, number uint64, answer *nats.Msg) {
	seq, halt, err := parseAnswer(answer)
	o.mu.Lock()
	defer o.mu.Unlock()
	if c != o.conn || number < o.first || number-o.first >= uint64(len(o.window)) {
		return
	}
	e := o.window[number-o.first]
	switch {
	case e.done:
	case halt:
		if o.resumeAt.IsZero() {
			o.resumeAt = time.Now().Add(haltFor)
		}
	case err != nil:
		o.finish(e, outcome{err: fmt.Errorf("bus: publish %s: %w", e.m.Subject, away(context.Background(), err))})
	default:
		o.finish(e, outcome{seq: seq})
	}
	o.trim()
	if e.done && !o.alone && o.resumeAt.IsZero() {
		o.sendAll()
	}
}

// deny ends the wait for all messages of a subject that may not be published: no
// answer comes.
func (o *outbox) deny(c *conn, subject string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c != o.conn {
		return
	}
	for _, e := range o.window {
		if !e.done && !e.sent.IsZero() && e.m.Subject == subject {
			o.finish(e, outcome{err: fmt.Errorf("bus: publish: %w", err)})
		}
	}
	o.trim()
	if !o.alone && o.resumeAt.IsZero() {
		o.sendAll()
	}
}

// finish ends the wait for e. The lock is held.
func (o *outbox) finish(e *entry, result outcome) {
	e.done = true
	o.metrics.settled(e.put, result.err)
	switch {
	case e.stored != nil:
		e.stored <- result
	case o.failed == nil:
		o.failed = result.err
	}
}

// trim forgets what is done at the window's head. The lock is held.
func (o *outbox) trim() {
	for len(o.window) > 0 && o.window[0].done {
		o.window[0] = nil
		o.window = o.window[1:]
		o.first++
		o.moved = time.Now()
		<-o.slots
	}
	for len(o.flushes) > 0 && o.flushes[0].upTo <= o.first {
		close(o.flushes[0].done)
		o.flushes = o.flushes[1:]
	}
}

// watch sends again what got no answer and gives up on what waits for too long,
// until ctx ends.
func (o *outbox) watch(ctx context.Context) {
	tick := time.NewTicker(haltFor)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			o.check(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

func (o *outbox) check(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.window) == 0:
		o.resumeAt = time.Time{}
	case now.Sub(o.tried()) >= o.options.PublishWait:
		// Those behind it fail with it: stored without it, they would be out
		// of order.
		for _, e := range o.window {
			if !e.done {
				o.finish(e, outcome{err: o.gaveUp(e)})
			}
		}
		o.trim()
	case !o.resumeAt.IsZero() && !now.Before(o.resumeAt), o.resumeAt.IsZero() && now.Sub(o.window[0].sent) >= o.patience():
		o.sendAll()
	}
}

// tried is since when the first message is tried. The lock is held.
func (o *outbox) tried() time.Time {
	if put := o.window[0].put; o.alone || put.After(o.moved) {
		return put
	}
	return o.moved
}

// patience is how long it waits for an answer until it sends again. The lock is
// held.
func (o *outbox) patience() time.Duration {
	if o.alone {
		return answerWithin
	}
	return passedOnWithin
}

func (o *outbox) gaveUp(e *entry) error {
	why := "it does not answer"
	if o.conn.nc.IsClosed() {
		why = "there is no connection"
	}
	return fmt.Errorf("%w: publish %s: NATS %s did not store it within %v: %s", bus.ErrAway, e.m.Subject, o.options.where(), o.options.PublishWait, why)
}

// takeFailure returns a failure once. The lock is held.
func (o *outbox) takeFailure() error {
	err := o.failed
	o.failed = nil
	return err
}

// flush waits for what was handed over before.
func (o *outbox) flush(ctx, open context.Context) error {
	o.mu.Lock()
	done := make(chan struct{})
	o.flushes = append(o.flushes, flush{o.first + uint64(len(o.window)), done})
	o.trim()
	o.mu.Unlock()
	select {
	case <-done:
	case <-open.Done():
		return bus.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("bus: flush: %w: %d messages are handed over and not known to be stored", ctx.Err(), len(o.slots))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.takeFailure()
}
