package look

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
	"github.com/spotserve/spotserve/platform/credential"
)

// asker asks a NATS server. What the server does not let this user do fails at
// once, not after a timeout.
type asker struct {
	nc      *nats.Conn
	timeout time.Duration

	mu     sync.Mutex
	denied map[string]bool // subjects
	more   chan struct{}   // closed when there is another
}

// dial connects to one server.
func dial(url string, files credential.Files, timeout time.Duration) (*asker, error) {
	a := &asker{timeout: timeout, denied: make(map[string]bool), more: make(chan struct{})}
	options := []nats.Option{
		nats.Name("spotserve-doctor"), nats.NoReconnect(), nats.Timeout(timeout), nats.DontRandomize(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { a.take(err) }),
	}
	config, err := files.Client()
	if err != nil {
		return nil, err
	}
	if config != nil {
		options = append(options, nats.Secure(config))
	}
	switch {
	case files.NKey != "":
		key, err := credential.PublicKey(files.NKey)
		if err != nil {
			return nil, err
		}
		// Nobody reads another's replies: that is the prefix that this user has.
		options = append(options, nats.CustomInboxPrefix(jsapi.Inbox(key)),
			nats.Nkey(key, func(nonce []byte) ([]byte, error) { return credential.Sign(files.NKey, nonce) }))
	case files.NATSPassword != "":
		password, err := files.ReadNATSPassword()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.UserInfo(userIn(url), password))
	}
	if a.nc, err = nats.Connect(url, options...); err != nil {
		return nil, unreachable(url, timeout, err)
	}
	return a, nil
}

// unreachable is why a server cannot be dialled, which nats.go does not say.
func unreachable(text string, timeout time.Duration, err error) error {
	u, parseErr := parseURL(text)
	if !errors.Is(err, nats.ErrNoServers) || parseErr != nil {
		return err
	}
	conn, dialErr := net.DialTimeout("tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "4222")), timeout)
	if dialErr != nil {
		return dialErr
	}
	return errors.Join(err, conn.Close())
}

func (a *asker) close() { a.nc.Close() }

var violation = regexp.MustCompile(`(?i)permissions violation for (?:publish|subscription) to "([^"]+)"`)

// take remembers what the server does not allow.
func (a *asker) take(err error) {
	found := violation.FindStringSubmatch(err.Error())
	if found == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denied[found[1]] = true
	close(a.more)
	a.more = make(chan struct{})
}

func (a *asker) isDenied(subject string) (denied bool, more <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.denied[subject], a.more
}

// ask sends a request and waits for its answer.
func (a *asker) ask(ctx context.Context, subject string, question any) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var data []byte
	if question != nil {
		var err error
		if data, err = json.Marshal(question); err != nil {
			return nil, err
		}
	}
	type reply struct {
		msg *nats.Msg
		err error
	}
	done := make(chan reply, 1)
	go func() {
		msg, err := a.nc.RequestWithContext(ctx, subject, data)
		done <- reply{msg, err}
	}()
	for {
		denied, more := a.isDenied(subject)
		if denied {
			return nil, &doctor.DeniedError{Subject: subject}
		}
		select {
		case <-more:
		case r := <-done:
			if r.err == nil {
				return r.msg, nil
			}
			if denied, _ := a.isDenied(subject); denied {
				return nil, &doctor.DeniedError{Subject: subject}
			}
			if errors.Is(r.err, context.DeadlineExceeded) {
				return nil, fmt.Errorf("no answer to %s within %s", subject, a.timeout)
			}
			return nil, fmt.Errorf("%s: %w", subject, r.err)
		}
	}
}

// api asks JetStream; answer gets what it says.
func (a *asker) api(ctx context.Context, subject string, question, answer any) error {
	reply, err := a.ask(ctx, subject, question)
	if err != nil {
		return err
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &failed); err != nil {
		return fmt.Errorf("JetStream's answer to %s: %w", subject, err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	return json.Unmarshal(reply.Data, answer)
}

// hear subscribes to a subject, until stop is called.
func (a *asker) hear(subject string, take func(*nats.Msg)) (stop func(), err error) {
	sub, err := a.nc.Subscribe(subject, take)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	// When the answer to the ping is here, so is a refusal.
	if err := a.nc.FlushTimeout(a.timeout); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	if denied, _ := a.isDenied(subject); denied {
		return nil, &doctor.DeniedError{Subject: subject}
	}
	return func() { _ = sub.Unsubscribe() }, nil // the connection may be closed
}

// tls is the state of the connection; the version is empty for plain text.
func (a *asker) tls() (state tls.ConnectionState, version string) {
	state, err := a.nc.TLSConnectionState()
	if err != nil {
		return state, ""
	}
	return state, tls.VersionName(state.Version)
}

// isCode reports whether JetStream answered with one of its error codes.
func isCode(err error, codes ...jetstream.ErrorCode) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && slices.Contains(codes, api.ErrorCode)
}

// userIn is the user that a URL names.
func userIn(text string) string {
	u, err := parseURL(text)
	if err != nil {
		return ""
	}
	return u.User.Username()
}
