package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spotserve/spotserve/platform/credential"
)

const (
	plainPort   = "9000"
	securePort  = "9440"
	dialTimeout = 5 * time.Second
)

// databaseName is what needs no quoting.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// target is a server and a database on it.
type target struct {
	options clickhouse.Options
	name    string // the URL without the password
}

const allowed = "allowed: clickhouse://user:password@host:9000/db, with special characters of the password percent-encoded, " +
	"or clickhouse://user@host:9440/db?secure=true with --store-password-file and --tls-ca"

// parse reads clickhouse://user:password@host:9000/db, and with ?secure=true
// host:9440. Its errors never repeat the password.
func parse(text string, files credential.Files) (*target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "clickhouse" || u.Hostname() == "" {
		return nil, errors.New("the store's clickhouse URL is not well formed; " + allowed)
	}
	if err := checkParameters(u); err != nil {
		return nil, err
	}
	options, err := clickhouse.ParseDSN(u.String())
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", shown(u), err)
	}
	if u.Port() == "" {
		port := plainPort
		if options.TLS != nil {
			port = securePort
		}
		u.Host = net.JoinHostPort(u.Hostname(), port)
		options.Addr = []string{u.Host}
	}
	t := &target{*options, shown(u)}
	if !databaseName.MatchString(options.Auth.Database) {
		return nil, fmt.Errorf("store %s: the database is named %q; allowed are letters, digits and _, and %s",
			t.name, options.Auth.Database, allowed)
	}
	if t.options.DialTimeout == 0 {
		t.options.DialTimeout = dialTimeout
	}
	if err := errors.Join(t.secure(files), t.authenticate(u, files)); err != nil {
		return nil, err
	}
	return t, nil
}

// checkParameters refuses what would show a password or defeat TLS.
func checkParameters(u *url.URL) error {
	q := u.Query()
	for name := range q {
		switch name {
		case "password", "username":
			return fmt.Errorf("store %s: no parameter is named %s, which logs would show; %s", shown(u), name, allowed)
		case "skip_verify":
			return fmt.Errorf("store %s: skip_verify is refused: TLS to a server that is not verified hides nothing from who sits between; name its authority with --tls-ca", shown(u))
		}
	}
	return nil
}

// Redacted is a URL for logs and people: neither with its password nor with what
// else its parameters may hold.
func Redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "clickhouse:?"
	}
	return shown(u)
}

// shown is a URL for logs and errors: neither with the password nor with what else
// parameters may hold.
func shown(u *url.URL) string {
	v := *u
	v.RawQuery = ""
	if secure := u.Query().Get("secure"); u.Query().Has("secure") {
		v.RawQuery = url.Values{"secure": {secure}}.Encode()
	}
	v.Fragment = ""
	return v.Redacted()
}

// secure has the connections trust the authorities that are named, and show the
// process's own certificate, if the URL asks for TLS.
func (t *target) secure(files credential.Files) error {
	if t.options.TLS == nil {
		return nil
	}
	config, err := files.Client()
	switch {
	case err != nil:
		return fmt.Errorf("store %s: %w", t.name, err)
	case config == nil:
		config = &tls.Config{MinVersion: tls.VersionTLS12} // the system's authorities
	}
	config.ServerName = t.options.TLS.ServerName
	t.options.TLS = config
	return nil
}

// authenticate has each connection read the password anew, so that it can be
// changed without a new process.
func (t *target) authenticate(u *url.URL, files credential.Files) error {
	if files.StorePassword == "" {
		return nil
	}
	if _, given := u.User.Password(); given && t.options.Auth.Password != "" {
		return fmt.Errorf("store %s: the URL has a password and --store-password-file is given too: allowed is one of them", t.name)
	}
	if u.User.Username() == "" {
		return fmt.Errorf("store %s: --store-password-file is given and the URL names no user: want clickhouse://user@host", t.name)
	}
	if _, err := files.ReadStorePassword(); err != nil {
		return fmt.Errorf("store %s: %w", t.name, err)
	}
	t.options.DialStrategy = func(ctx context.Context, id int, o *clickhouse.Options, dial clickhouse.Dial) (clickhouse.DialResult, error) {
		password, err := files.ReadStorePassword()
		if err != nil {
			return clickhouse.DialResult{}, err
		}
		own := *o
		own.Auth.Password = password
		return clickhouse.DefaultDialStrategy(ctx, id, &own, dial)
	}
	return nil
}

// connect opens the target's connections, on the given database. It does not
// fail before the first use.
func (t *target) connect(database string) (driver.Conn, error) {
	options := t.options
	options.Auth.Database = database
	conn, err := clickhouse.Open(&options)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", t.name, err)
	}
	return conn, nil
}

// hint is what to do about an error of a connection, "" if that is not known.
func (t *target) hint(err error) string {
	var fromServer *clickhouse.Exception
	var untrusted *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &fromServer):
		switch fromServer.Code {
		case codeUnknownUser, codeWrongPassword, codeRefused, codeRequiredPassword:
			return "it refuses this user and password; correct --store and --store-password-file"
		case codeReadonly, codeNoDatabase, codeDenied:
			return "this user may not do that; a collector needs one that may write to the database"
		}
	case errors.As(err, &untrusted):
		return "its certificate is not to be trusted; name its authority with --tls-ca, and its host as in the certificate"
	case errors.As(err, &plain):
		return "it does not speak TLS at this port; that is its tcp_port_secure, 9440 as a rule"
	case t.options.TLS == nil && strings.HasSuffix(t.options.Addr[0], ":"+securePort):
		return "if this is its port for TLS, the URL needs ?secure=true"
	}
	return ""
}
