// Package skip tells of the messages that a reader leaves out: those that it cannot
// read, that do not belong on their subject, or that a newer service says. They
// end nothing, and they may be many, so each subject is logged once a while and all
// are counted.
package skip

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/wire"
)

// The reasons to leave a message out.
const (
	Unreadable = "unreadable" // no message of this system
	Unfit      = "unfit"      // it does not belong on its subject: wire.ErrUnfit
	Unknown    = "unknown"    // a kind that a newer service says: wire.ErrUnknown
	TooNew     = "too_new"    // of a version that this build does not read: wire.ErrTooNew
)

// Reasons are all of them.
func Reasons() []string { return []string{Unreadable, Unfit, Unknown, TooNew} }

// ReasonOf says why a message is left out that was not read with this error.
func ReasonOf(err error) string {
	switch {
	case errors.Is(err, wire.ErrUnfit):
		return Unfit
	case errors.Is(err, wire.ErrUnknown):
		return Unknown
	case errors.Is(err, wire.ErrTooNew):
		return TooNew
	}
	return Unreadable
}

// Again is how long, in wall time, a subject is not logged again. At most
// maxSubjects are told apart in that time; whoever floods more is one to the log.
const (
	Again       = time.Minute
	maxSubjects = 256
)

// Register returns a teller whose counts are a metric of the service.
func Register(metrics prometheus.Registerer, service string, log *slog.Logger) (*Teller, error) {
	skipped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "spotserve_" + service + "_skipped_messages_total",
		Help: "Messages left out, by reason: unreadable, unfit (not of one who may speak on the subject), unknown (a newer service's), too_new.",
	}, []string{"reason"})
	for _, r := range Reasons() {
		skipped.WithLabelValues(r)
	}
	if err := metrics.Register(skipped); err != nil {
		return nil, err
	}
	return New(log, func(reason string) { skipped.WithLabelValues(reason).Inc() }), nil
}

// Teller logs and counts. It is safe for concurrent use.
type Teller struct {
	log   *slog.Logger
	count func(reason string)

	mu     sync.Mutex
	silent map[string]quiet // by subject
}

// quiet is the time for which a subject is not logged.
type quiet struct {
	until time.Time
	left  int // messages out since the last line
}

// New returns a teller. count may be nil.
func New(log *slog.Logger, count func(reason string)) *Teller {
	return &Teller{log: log, count: count, silent: make(map[string]quiet)}
}

// Message tells of one that was not read with this error.
func (t *Teller) Message(m bus.Message, err error) {
	reason := ReasonOf(err)
	if t.count != nil {
		t.count(reason)
	}
	if left, ok := t.say(m.Subject, time.Now()); ok {
		log := t.log
		if run, ok := wire.RunOf(m.Subject); ok {
			log = log.With(obs.KeyRun, run)
		}
		log.Warn("skip a message that cannot be read", "subject", m.Subject, "seq", m.Seq, "reason", reason, "and_more", left, "error", err)
	}
}

// say reports whether a subject is to be logged now, and how many of its messages
// were not since the last time.
func (t *Teller) say(subject string, now time.Time) (left int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q, known := t.silent[subject]
	if !known && len(t.silent) >= maxSubjects {
		for s, q := range t.silent {
			if now.After(q.until) {
				delete(t.silent, s)
			}
		}
		if len(t.silent) >= maxSubjects {
			subject = ""
			q = t.silent[subject]
		}
	}
	if now.Before(q.until) {
		q.left++
		t.silent[subject] = q
		return 0, false
	}
	t.silent[subject] = quiet{until: now.Add(Again)}
	return q.left, true
}
