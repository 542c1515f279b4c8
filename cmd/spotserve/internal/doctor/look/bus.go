package look

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
)

// bus looks at all that is on NATS.
func (l *looker) bus(ctx context.Context, s *doctor.Seen) {
	l.servers(ctx, s)
	if l.asker == nil {
		lost := errNoServer
		s.User.Err, s.Account.Err, s.Keys.Err, s.Roll.Err, s.Beats.Err = lost, lost, lost, lost, lost
		for _, stream := range streams() {
			stream.Err = lost
			s.Streams = append(s.Streams, stream)
		}
		return
	}
	var parts sync.WaitGroup
	parts.Go(func() { l.user(ctx, &s.User) })
	parts.Go(func() { l.account(ctx, &s.Account) })
	parts.Go(func() {
		l.streams(ctx, s)
		l.leases(ctx, s)
	})
	parts.Go(func() { l.signals(ctx, s) })
	parts.Wait()
}

// servers dials each server by itself: one that is gone does not show where
// another takes its place.
func (l *looker) servers(ctx context.Context, s *doctor.Seen) {
	var mu sync.Mutex
	var askers []*asker
	s.Servers = each(ctx, l.Timeout, strings.Split(l.NATS, ","), func(_ context.Context, at string) doctor.Server {
		at = strings.TrimSpace(at)
		seen := doctor.Server{URL: redacted(at), Loopback: isLoopback(at)}
		if _, err := parseURL(at); err != nil {
			seen.Err = errURL
			return seen
		}
		a, err := dial(at, l.Credentials, l.Timeout)
		if err != nil {
			seen.Err = err
			return seen
		}
		seen.Name, seen.Version, seen.Cluster = a.nc.ConnectedServerName(), a.nc.ConnectedServerVersion(), a.nc.ConnectedClusterName()
		state, version := a.tls()
		seen.TLS = version
		mu.Lock()
		defer mu.Unlock()
		l.show("NATS "+seen.URL, state.PeerCertificates)
		askers = append(askers, a)
		return seen
	})
	for i, a := range askers {
		if i == 0 {
			l.asker = a
			continue
		}
		a.close()
	}
}

// errURL stands for an error of net/url, which would repeat the password.
var errURL = errors.New("the URL is not well formed: special characters of a password have to be percent-encoded")

// redacted is a URL without its password or token.
func redacted(text string) string {
	u, err := parseURL(text)
	if err != nil {
		return "?"
	}
	if _, hasPassword := u.User.Password(); u.User != nil && !hasPassword {
		u.User = url.User("xxxxx")
	}
	return u.Redacted()
}

// parseURL takes a URL as nats.go does, which adds a missing scheme.
func parseURL(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	return url.Parse(text)
}

// isLoopback reports whether a URL names this host.
func isLoopback(text string) bool {
	u, err := parseURL(text)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// user asks who the server takes this process for.
func (l *looker) user(ctx context.Context, u *doctor.User) {
	u.Role, u.Node = identity(l.Credentials)
	reply, err := l.asker.ask(ctx, jsapi.UserInfo, nil)
	if err != nil {
		u.Err = err
		return
	}
	type list struct {
		Allow []string `json:"allow"`
		Deny  []string `json:"deny"`
	}
	var answer struct {
		Data struct {
			User        string `json:"user"`
			Account     string `json:"account"`
			Permissions *struct {
				Publish   *list `json:"publish"`
				Subscribe *list `json:"subscribe"`
			} `json:"permissions"`
		} `json:"data"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		u.Err = err
		return
	}
	u.Name, u.Account = answer.Data.User, answer.Data.Account
	if p := answer.Data.Permissions; p != nil {
		u.Limited = true
		if p.Publish != nil {
			u.MayPublish, u.MayNotPublish = p.Publish.Allow, p.Publish.Deny
		}
		if p.Subscribe != nil {
			u.MaySubscribe = p.Subscribe.Allow
		}
	}
}

// Codes of JetStream's errors.
const (
	codeOff        jetstream.ErrorCode = 10076
	codeOffAccount jetstream.ErrorCode = 10039
	codeNoStream   jetstream.ErrorCode = 10059
	codeNoMessage  jetstream.ErrorCode = 10037
)

func (l *looker) account(ctx context.Context, a *doctor.Account) {
	a.Err = l.asker.api(ctx, jsapi.Info, nil, &a.Usage)
	a.Off = isCode(a.Err, codeOff, codeOffAccount) || isNobody(a.Err)
}

// keysStream holds the bucket of keys.
var keysStream = jsapi.KeyStream(bus.Keys)

// streams are those of a deployment.
func streams() []doctor.Stream {
	out := []doctor.Stream{
		{Name: string(bus.Control), Subjects: []string{bus.Control.Subjects()}, MaxMessage: bus.MaxMessage},
		{Name: string(bus.Runs), Subjects: []string{bus.Runs.Subjects()}, MaxMessage: bus.MaxMessage},
		{Name: keysStream, Bucket: true, Subjects: []string{jsapi.Key(bus.Keys, ">")}},
	}
	for _, d := range access.Durables() {
		for i := range out {
			if out[i].Name == string(d.Stream) {
				out[i].Durables = append(out[i].Durables, doctor.Durable{Name: d.Name, Service: string(d.Owner)})
			}
		}
	}
	return out
}

func (l *looker) streams(ctx context.Context, s *doctor.Seen) {
	for _, stream := range streams() {
		began := time.Now()
		info := new(jetstream.StreamInfo)
		err := l.asker.api(ctx, jsapi.StreamInfo(stream.Name), nil, info)
		ended := time.Now()
		switch {
		case isCode(err, codeNoStream):
		case err != nil:
			stream.Err = err
		default:
			stream.Info = info
			l.skew(s, info.TimeStamp, began, ended)
		}
		if stream.Info != nil && len(stream.Durables) > 0 {
			l.consumers(ctx, &stream)
		}
		s.Streams = append(s.Streams, stream)
	}
}

// A reader asks for messages again and again, and in between it shows no request:
// it is looked for several times.
const (
	samples      = 5
	betweenLooks = 300 * time.Millisecond
)

// consumers lists the durable consumers of a stream. The first page has those with
// the first names, more than there are durables.
func (l *looker) consumers(ctx context.Context, stream *doctor.Stream) {
	for range samples {
		var list struct {
			Consumers []*jetstream.ConsumerInfo `json:"consumers"`
		}
		stream.ConsumersErr = l.asker.api(ctx, jsapi.ConsumerList(stream.Name), nil, &list)
		unread := false
		for _, c := range list.Consumers {
			for _, before := range stream.Consumers {
				if before.Name == c.Name {
					c.NumWaiting = max(c.NumWaiting, before.NumWaiting)
				}
			}
			unread = unread || c.Config.Durable != "" && c.NumWaiting == 0
		}
		stream.Consumers = list.Consumers
		if !unread {
			return
		}
		pause(ctx, betweenLooks)
	}
}

// skew compares the clock of a server, at some instant between two of this host's,
// with this host's. The shortest way there and back says most.
func (l *looker) skew(s *doctor.Seen, server, began, ended time.Time) {
	if server.IsZero() {
		return
	}
	within := ended.Sub(began) / 2
	if s.Skew == nil || within < s.Skew.Within {
		s.Skew = &doctor.Skew{Offset: began.Add(within).Sub(server), Within: within}
	}
}

func (l *looker) leases(ctx context.Context, s *doctor.Seen) {
	keys := s.Streams[len(s.Streams)-1]
	if keys.Info == nil {
		s.Keys.Err = keys.Err
		if s.Keys.Err == nil {
			s.Keys.Err = errNoBucket
		}
		return
	}
	for _, service := range access.Leases() {
		lease := doctor.Lease{Service: service, Now: l.now(s)}
		m, err := l.key(ctx, service)
		switch {
		case errors.Is(err, errNoKey):
			lease.Missing = true
		case err != nil:
			lease.Err = err
		default:
			lease.Holder, lease.Renewed = string(m.Data), m.Time
			lease.Now = l.now(s)
		}
		s.Keys.Leases = append(s.Keys.Leases, lease)
	}
}

// now is the present by the server's clock, as far as it is known.
func (l *looker) now(s *doctor.Seen) time.Time {
	if s.Skew == nil {
		return time.Now()
	}
	return time.Now().Add(-s.Skew.Offset)
}

// message is one that JetStream has stored.
type message struct {
	Data []byte    `json:"data"`
	Time time.Time `json:"time"`
}

// last is the newest message that a filter selects.
func (l *looker) last(ctx context.Context, stream bus.Stream, filter string) (m message, err error) {
	question := struct {
		Last string `json:"last_by_subj"`
	}{filter}
	var answer struct {
		Message message `json:"message"`
	}
	err = l.asker.api(ctx, jsapi.MessageGet(string(stream)), question, &answer)
	return answer.Message, err
}

var errNoKey = errors.New("the bucket has no such key")

// key is the newest value of a key. It comes as a message itself, and not in the
// leader's words: whoever reads keys may read them so only.
func (l *looker) key(ctx context.Context, key string) (m message, err error) {
	answer, err := l.asker.ask(ctx, jsapi.DirectGet(keysStream, jsapi.Key(bus.Keys, key)), nil)
	if err != nil {
		return m, err
	}
	if status := answer.Header.Get("Status"); status == "404" {
		return m, errNoKey
	} else if status != "" {
		return m, fmt.Errorf("key %s: status %s %s", key, status, answer.Header.Get("Description"))
	}
	m.Data = answer.Data
	m.Time, err = time.Parse(time.RFC3339Nano, answer.Header.Get("Nats-Time-Stamp"))
	return m, err
}
