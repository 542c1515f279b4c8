package natsbus

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// checkServer says whether the options name a server. Its errors show no part
// of a URL that cannot be parsed: it may be a password.
func (o Options) checkServer() error {
	if o.InProcess != nil {
		return nil
	}
	if o.URL == "" {
		return errors.New("connect to NATS: want a URL or a server in this process, have neither")
	}
	urls := strings.Split(o.URL, ",")
	for i, text := range urls {
		if u, err := parseURL(text); err != nil || u.Host == "" {
			return fmt.Errorf("connect to NATS: URL %d of %d cannot be read: want nats://[user:password@]host:port", i+1, len(urls))
		}
	}
	return nil
}

// Redacted is a URL, or a list of them, for logs: without passwords and tokens.
func Redacted(text string) string { return Options{URL: text}.where() }

// where names the server in messages, without its password or token. The
// options passed checkServer.
func (o Options) where() string {
	if o.InProcess != nil {
		return "in this process"
	}
	urls := strings.Split(o.URL, ",")
	for i, text := range urls {
		u, err := parseURL(text)
		if err != nil {
			urls[i] = "?"
			continue
		}
		if _, hasPassword := u.User.Password(); u.User != nil && !hasPassword && o.Credentials.NATSPassword == "" {
			u.User = url.User("xxxxx") // a token
		}
		urls[i] = u.Redacted()
	}
	return strings.Join(urls, ",")
}

// parseURL takes a URL as nats.go does, which adds a missing scheme.
func parseURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	return url.Parse(text)
}
