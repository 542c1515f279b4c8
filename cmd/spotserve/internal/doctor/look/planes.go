package look

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
	"github.com/spotserve/spotserve/platform/credential"
)

// planes greets the data planes of the address book. A worker shows its certificate
// before it asks for that of whoever dials, so anybody may see who it is.
func (l *looker) planes(ctx context.Context, s *doctor.Seen) {
	if l.asker == nil || s.Keys.Err != nil {
		return
	}
	wanted := make(map[string]bool)
	for _, run := range s.Runs.Open {
		for _, node := range run.Nodes {
			wanted[node] = wanted[node] || run.Measured && run.Ended.IsZero()
		}
	}
	var mu sync.Mutex
	s.Planes = each(ctx, l.Timeout, l.planeKeys(ctx), func(ctx context.Context, key string) doctor.Plane {
		node := nodeOf(key)
		p := doctor.Plane{Node: node, Wanted: wanted[node]}
		entry, err := l.key(ctx, key)
		if err != nil {
			p.Err = err
			return p
		}
		p.Address = string(entry.Data)
		if p.Wanted {
			state := greet(ctx, &p, l.Credentials)
			mu.Lock()
			defer mu.Unlock()
			l.show("the worker of node "+node, state.PeerCertificates)
		}
		return p
	})
	s.Planes = slices.DeleteFunc(s.Planes, func(p doctor.Plane) bool { return p.Address == "" && p.Err == nil })
}

// planeKeys lists the entries of the address book.
func (l *looker) planeKeys(ctx context.Context) (keys []string) {
	question := struct {
		Filter string `json:"subjects_filter"`
	}{jsapi.Key(bus.Keys, access.AddressKey("*"))}
	var answer struct {
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	if err := l.asker.api(ctx, jsapi.StreamInfo(keysStream), question, &answer); err != nil {
		return nil // told with the stream
	}
	for key := range answer.State.Subjects {
		keys = append(keys, strings.TrimPrefix(key, jsapi.Key(bus.Keys, "")))
	}
	slices.Sort(keys)
	return keys
}

// nodeOf is the node of an entry: what access.AddressKey writes, read.
func nodeOf(key string) string {
	name := strings.TrimPrefix(key, strings.TrimSuffix(access.AddressKey("*"), "*"))
	node, err := url.PathUnescape(strings.ReplaceAll(name, "=", "%"))
	if err != nil {
		return name
	}
	return node
}

// greet dials a data plane, and shakes hands as far as it gets without a worker's
// certificate.
func greet(ctx context.Context, p *doctor.Plane, files credential.Files) (state tls.ConnectionState) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", p.Address)
	if err != nil {
		p.Err = err
		return state
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	if !files.TLS() {
		return state
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			p.Err = err
			return state
		}
	}
	config, err := files.Client()
	if err != nil {
		p.Err = err
		return state
	}
	roots := config.RootCAs
	config.InsecureSkipVerify = true //nolint:gosec // the chain and the name are checked by VerifyConnection
	config.VerifyConnection = func(s tls.ConnectionState) error {
		state = s
		return credential.VerifyWorker(s, roots, p.Node)
	}
	err = tls.Client(conn, config).HandshakeContext(ctx)
	p.TLS = len(state.PeerCertificates) > 0
	switch {
	case p.TLS && err != nil && !isAlert(err):
		p.Refused = err.Error()
	case !p.TLS && err != nil:
		p.Refused = fmt.Sprintf("it does not speak TLS: %v", err)
	}
	return state
}

// isAlert reports whether the other side ended a handshake, as workers do with who
// is none.
func isAlert(err error) bool {
	_, alert := errors.AsType[tls.AlertError](err)
	return alert || errors.Is(err, io.EOF)
}
