package natsbus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spotserve/spotserve/platform/bus"
)

// A server that refuses a subject says so on the connection, not to the call that
// used it: the question has no answer, as if the server were away. So calls say
// which subjects they use, and the one that waits for a refused subject is told.

// The verbs of what a user may do.
const (
	publishes  = "publish"
	subscribes = "listen to"
)

// denials are what the server of one connection refused.
type denials struct {
	mu      sync.Mutex
	waiting map[*wait]struct{}
	said    map[string]bool // of what the log has told
	untold  map[string]bool // of what no call has been told
}

func newDenials() *denials {
	return &denials{waiting: make(map[*wait]struct{}), said: make(map[string]bool), untold: make(map[string]bool)}
}

// wait is a call that uses subjects.
type wait struct {
	verb     string
	subjects []string // filters; without any it waits for none
	deny     func(subject string, err error)
	expected bool // the call makes do with a refusal, which is none of the log's
}

// guard has deny called, on another goroutine, for each refusal of one of the
// subjects until release is called.
func (d *denials) guard(verb string, subjects []string, deny func(subject string, err error)) (release func()) {
	return d.add(&wait{verb: verb, subjects: subjects, deny: deny})
}

func (d *denials) add(w *wait) (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[w] = struct{}{}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting, w)
	}
}

// guarded calls f with a context that ends when the server refuses one of the
// subjects that f publishes to. The error then says so.
func (c *conn) guarded(ctx context.Context, subjects []string, f func(context.Context) error) error {
	return c.watched(ctx, &wait{verb: publishes, subjects: subjects}, f)
}

// tried is guarded for what this process's user need not be allowed.
func (c *conn) tried(ctx context.Context, subject string, f func(context.Context) error) error {
	return c.watched(ctx, &wait{verb: publishes, subjects: []string{subject}, expected: true}, f)
}

func (c *conn) watched(ctx context.Context, w *wait, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.deny = func(_ string, err error) { cancel(err) }
	defer c.denials.add(w)()
	err := f(ctx)
	if denied := context.Cause(ctx); err != nil && errors.Is(denied, bus.ErrDenied) {
		return denied
	}
	return err
}

// violation is what the server says of a subject that is not allowed.
var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to ("(?:[^"\\]|\\.)*")`)

// refused takes the server's word that something is not allowed.
func (c *conn) refused(text error) {
	found := violation.FindStringSubmatch(text.Error())
	if found == nil {
		c.options.Log.Error("the bus refuses", "nats", c.options.where(), "user", c.options.who(), "error", text)
		return
	}
	subject, err := strconv.Unquote(found[2])
	if err != nil {
		subject = strings.Trim(found[2], `"`)
	}
	verb := publishes
	if strings.EqualFold(found[1], "subscription") {
		verb = subscribes
	}
	denied := c.options.denied(verb, subject)
	d := c.denials
	d.mu.Lock()
	var tell []func(string, error)
	expected := false
	for w := range d.waiting {
		if w.verb == verb && slices.ContainsFunc(w.subjects, func(filter string) bool { return bus.Match(filter, subject) }) {
			tell = append(tell, w.deny)
			expected = expected || w.expected
		}
	}
	what := verb + " " + kindOf(subject)
	if len(tell) == 0 {
		d.untold[what] = true
	}
	first := !d.said[what] && !expected
	if first {
		d.said[what] = true
	}
	d.mu.Unlock()
	if first {
		c.options.Log.Error("the bus refuses", "error", denied)
	}
	for _, f := range tell {
		f(subject, denied)
	}
}

// denied is the error of what this process's user is not allowed.
func (o Options) denied(verb, subject string) error {
	return fmt.Errorf("%w: NATS %s does not let %s %s %s: take the credentials of the role that may (docs/security.md), or make the server's auth.conf anew and reload it",
		bus.ErrDenied, o.where(), o.who(), verb, subject)
}

// wasDenied is the error of a subject that the server refused and that no call was
// told of; nil if there is none. The call after it tries again: the server may have
// taken new rights meanwhile, without a new connection.
func (c *conn) wasDenied(verb, subject string) error {
	c.denials.mu.Lock()
	defer c.denials.mu.Unlock()
	what := verb + " " + kindOf(subject)
	if c.denials.untold[what] {
		delete(c.denials.untold, what)
		return c.options.denied(verb, subject)
	}
	return nil
}

// kindOf is a subject without what differs from message to message, so that the
// log tells of each kind once: the numbers of an acknowledgement, a drawn name.
func kindOf(subject string) string {
	tokens := strings.Split(subject, ".")
	switch {
	case strings.HasPrefix(subject, "$JS.ACK.") && len(tokens) > 4:
		return strings.Join(tokens[:4], ".")
	case strings.HasPrefix(subject, "$JS.API.CONSUMER.") && len(tokens) > 5:
		return strings.Join(tokens[:5], ".")
	case strings.HasPrefix(subject, "spot.run.") && len(tokens) > 3:
		return "spot.run.*." + strings.Join(tokens[3:], ".")
	}
	return subject
}
