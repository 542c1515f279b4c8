// Package metadata watches the metadata services that clouds offer inside an
// instance: EC2's IMDSv2, Google Compute Engine's metadata server, and Azure's
// Scheduled Events.
package metadata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Options are the settings of a source.
type Options struct {
	Instance string // the node that the notices are about
	// BaseURL replaces the cloud's own address, http://169.254.169.254 for
	// example; empty: the cloud's own.
	BaseURL string
	// Poll is the time between two questions; 0: the cloud's usual one.
	Poll time.Duration
	// Transport carries the requests; nil: directly, through no proxy.
	Transport http.RoundTripper
	Log       *slog.Logger
}

// The limits on one exchange. Metadata services answer from the host, within
// milliseconds.
const (
	timeout   = 2 * time.Second
	bodyLimit = 64 << 10
)

// client asks one metadata service.
type client struct {
	http *http.Client
	base string
}

func newClient(o Options, base string) client {
	if o.BaseURL != "" {
		base = o.BaseURL
	}
	transport := o.Transport
	if transport == nil {
		// A proxy is no way to a link-local address.
		transport = &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute}
	}
	return client{base: strings.TrimSuffix(base, "/"), http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask sends one request without a body.
func (c client) ask(ctx context.Context, method, path string, header map[string]string, within time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return answer{}, err
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit+1))
	err = errors.Join(err, response.Body.Close())
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("%s %s: read the answer: %w", method, r.URL, err)
	case len(body) > bodyLimit:
		return answer{}, fmt.Errorf("%s %s: the answer is longer than %d bytes", method, r.URL, bodyLimit)
	}
	return answer{response.StatusCode, response.Header, body}, nil
}

// unexpected is a status that the service has no meaning for.
func (c client) unexpected(method, path string, a answer) error {
	return fmt.Errorf("%s %s: status %d %s", method, c.base+path, a.status, http.StatusText(a.status))
}

// unreadable is a body that does not say what it should.
func (c client) unreadable(path string, a answer, err error) error {
	const most = 200
	body := string(a.body)
	if len(body) > most {
		body = body[:most] + "..."
	}
	return fmt.Errorf("GET %s: cannot read the answer %q: %w", c.base+path, body, err)
}
