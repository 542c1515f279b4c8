package dataplane

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Cause is why a connection came to nothing at one of the two ends.
type Cause string

// The causes.
const (
	// NotTLS is a peer that speaks without TLS where it is required.
	NotTLS Cause = "not_tls"
	// BadCertificate is a peer without a certificate, or with one that is of another
	// CA, expired, or not a worker's.
	BadCertificate Cause = "certificate"
	// WrongNode is a peer with the certificate of another node than it says it is, or
	// than was dialled.
	WrongNode Cause = "node"
	// SlowHandshake is a peer that did not finish its handshake in time.
	SlowHandshake Cause = "slow_handshake"
	// BadHandshake is a handshake that failed otherwise: the peer refused it, or speaks
	// another version. One that the peer broke off is none.
	BadHandshake Cause = "handshake"
	// Crowded is a connection beyond what a server takes at a time.
	Crowded Cause = "crowded"
)

// Causes lists all of them.
var Causes = []Cause{NotTLS, BadCertificate, WrongNode, SlowHandshake, BadHandshake, Crowded}

// refusalPause is how long a cause is not logged again.
const refusalPause = time.Minute

// Refusals counts the connections that were refused, and logs them: each cause
// once in a while, as strangers may try without end. It is safe for concurrent use.
type Refusals struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	causes map[Cause]*refusalsOf
}

// refusalsOf is what is known of one cause.
type refusalsOf struct {
	count    int64
	unlogged int64
	logged   time.Time // the last time
}

// NewRefusals returns counters that log to log.
func NewRefusals(log *slog.Logger) *Refusals {
	return &Refusals{log: log, now: time.Now, causes: map[Cause]*refusalsOf{}}
}

// Counts returns how many connections were refused, by cause.
func (r *Refusals) Counts() map[Cause]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[Cause]int64, len(r.causes))
	for cause, of := range r.causes {
		out[cause] = of.count
	}
	return out
}

// add counts a refusal of a peer. node is who it was dialled as, or says it is.
func (r *Refusals) add(cause Cause, peer net.Addr, node string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.causes[cause]
	if of == nil {
		of = &refusalsOf{}
		r.causes[cause] = of
	}
	of.count++
	now := r.now()
	if of.count > 1 && now.Sub(of.logged) < refusalPause {
		of.unlogged++
		return
	}
	r.log.Log(context.Background(), slog.LevelWarn, "data plane refuses a connection",
		"cause", string(cause), "peer", addressOf(peer), "node", node, "error", err, "also", of.unlogged)
	of.logged, of.unlogged = now, 0
}

func addressOf(peer net.Addr) string {
	if peer == nil {
		return ""
	}
	return peer.String()
}

// left says that the other side went away in its handshake: a probe of the port, a
// worker that has got another plan. Nobody was refused.
func left(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// causeOf says why a handshake failed.
func causeOf(err error) Cause {
	var plain tls.RecordHeaderError
	var verified *tls.CertificateVerificationError
	var remote *net.OpError
	switch {
	case errors.As(err, &plain):
		return NotTLS
	case errors.Is(err, ErrWrongNode):
		return WrongNode
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return SlowHandshake
	case errors.As(err, &verified), errors.Is(err, errNoWorker):
		return BadCertificate
	case errors.As(err, &remote):
		return BadHandshake // the peer's own reason, or the network's
	case strings.Contains(err.Error(), "certificate"):
		return BadCertificate // crypto/tls has no type for one that is missing
	}
	return BadHandshake
}
