// Package clickhouse keeps the rows in a ClickHouse database, over the native
// protocol, under TLS if the URL says secure=true. It works with servers from
// 18.16 on.
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

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
)

// Codes of the server's errors.
const (
	codeUnknownTable     = 60
	codeUnknownDatabase  = 81
	codeReadonly         = 164
	codeUnknownUser      = 192
	codeWrongPassword    = 193
	codeRequiredPassword = 194
	codeNoDatabase       = 291 // that the user may see
	codeDenied           = 497
	codeRefused          = 516 // user or password, of newer servers
)

// explain says of an error which store it came from, and what to do if the
// server was not reached.
func (t *target) explain(doing string, err error) error {
	var fromServer *clickhouse.Exception
	var network net.Error
	hint := t.hint(err)
	switch {
	case errors.As(err, &fromServer) && fromServer.Code == codeUnknownDatabase:
		return notThere{fmt.Errorf("%s store %s: its database does not exist; start a collector with it first: %w", doing, t.name, err)}
	case errors.As(err, &fromServer) && fromServer.Code == codeUnknownTable:
		return notThere{fmt.Errorf("%s store %s: a table is missing; if it is one of SpotServe's, start a collector with this store first: %w", doing, t.name, err)}
	case hint != "":
		return fmt.Errorf("%s store %s: %s: %w", doing, t.name, hint, err)
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
