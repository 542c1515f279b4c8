// Package clickhouse keeps the rows in a ClickHouse database, over the native
// protocol. It works with servers from 18.16 on.
//
// Rows go to tables named NAME_rows, which replace rows of the same key when
// ClickHouse merges them; the views NAME show each key once, whatever has been
// merged. So a batch may be written any number of times.
package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"regexp"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const (
	defaultPort = "9000"
	dialTimeout = 5 * time.Second
)

// Codes of the server's errors.
const (
	codeUnknownTable    = 60
	codeUnknownDatabase = 81
)

// databaseName is what needs no quoting.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// target is a server and a database on it.
type target struct {
	options clickhouse.Options
	name    string // the URL without the password
}

// parse reads clickhouse://user:password@host:9000/db. Its errors never repeat
// the password.
func parse(text string) (*target, error) {
	const allowed = "allowed: clickhouse://user:password@host:9000/db, with special characters of the password percent-encoded"
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "clickhouse" || u.Hostname() == "" {
		return nil, errors.New("the store's clickhouse URL is not well formed; " + allowed)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), defaultPort)
	}
	options, err := clickhouse.ParseDSN(u.String())
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", u.Redacted(), err)
	}
	if !databaseName.MatchString(options.Auth.Database) {
		return nil, fmt.Errorf("store %s: the database is named %q; allowed are letters, digits and _, and %s",
			u.Redacted(), options.Auth.Database, allowed)
	}
	if options.DialTimeout == 0 {
		options.DialTimeout = dialTimeout
	}
	return &target{*options, u.Redacted()}, nil
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

// explain says of an error which store it came from, and what to do if the
// server was not reached.
func (t *target) explain(doing string, err error) error {
	var fromServer *clickhouse.Exception
	var network net.Error
	switch {
	case errors.As(err, &fromServer) && fromServer.Code == codeUnknownDatabase:
		return notThere{fmt.Errorf("%s store %s: its database does not exist; start a collector with it first: %w", doing, t.name, err)}
	case errors.As(err, &fromServer) && fromServer.Code == codeUnknownTable:
		return notThere{fmt.Errorf("%s store %s: a table is missing; if it is one of SpotServe's, start a collector with this store first: %w", doing, t.name, err)}
	case errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.EOF):
		return fmt.Errorf("%s store %s: it cannot be reached; start the server or correct --store: %w", doing, t.name, err)
	}
	return fmt.Errorf("%s store %s: %w", doing, t.name, err)
}

// notThere is the error of a store that nobody has written to yet. It is
// fs.ErrNotExist, as that of a missing SQLite file.
type notThere struct{ error }

func (e notThere) Unwrap() error        { return e.error }
func (e notThere) Is(target error) bool { return target == fs.ErrNotExist }

func hasCode(err error, code int32) bool {
	var fromServer *clickhouse.Exception
	return errors.As(err, &fromServer) && fromServer.Code == code
}
