// Package open opens the store that a URL names.
package open

import (
	"context"
	"fmt"
	"strings"

	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/clickhouse"
	"github.com/spotserve/spotserve/platform/store/sqlite"
)

// As opens stores with the credentials of a process: those of servers that ask for
// them. The zero value has none.
type As credential.Files

// Open opens a store for writing and sets up its tables: sqlite:PATH,
// clickhouse://user:password@host:9000/db or clickhouse://user@host:9440/db?secure=true.
func (as As) Open(ctx context.Context, url string) (store.Writer, error) {
	return as.openWriter(ctx, url)
}

// OpenPruner opens a store that exists, to remove runs from it.
func (as As) OpenPruner(ctx context.Context, url string) (store.Pruner, error) {
	r, err := as.OpenReader(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	return as.openWriter(ctx, url)
}

// writer is what every store has.
type writer interface {
	store.Writer
	store.Pruner
}

func (as As) openWriter(ctx context.Context, url string) (writer, error) {
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		w, err := sqlite.Open(ctx, rest)
		if err != nil {
			return nil, err
		}
		return w, nil
	case "clickhouse":
		w, err := clickhouse.OpenAs(ctx, credential.Files(as), url)
		if err != nil {
			return nil, err
		}
		return w, nil
	default:
		return nil, errScheme(scheme)
	}
}

// OpenReader opens a store that exists for reading, by the same URLs.
func (as As) OpenReader(ctx context.Context, url string) (store.Reader, error) {
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		r, err := sqlite.OpenReader(ctx, rest)
		if err != nil {
			return nil, err
		}
		return r, nil
	case "clickhouse":
		r, err := clickhouse.OpenReaderAs(ctx, credential.Files(as), url)
		if err != nil {
			return nil, err
		}
		return r, nil
	default:
		return nil, errScheme(scheme)
	}
}

// Open opens a store for writing, without credentials but those of the URL.
func Open(ctx context.Context, url string) (store.Writer, error) { return As{}.Open(ctx, url) }

// OpenReader opens a store for reading, without credentials but those of the URL.
//
//nolint:revive // open.Reader would read like a type
func OpenReader(ctx context.Context, url string) (store.Reader, error) {
	return As{}.OpenReader(ctx, url)
}

// OpenPruner opens a store for removing runs, without credentials but those of the URL.
//
//nolint:revive // open.Pruner would read like a type
func OpenPruner(ctx context.Context, url string) (store.Pruner, error) {
	return As{}.OpenPruner(ctx, url)
}

// Redacted is a URL of a store for logs and people, without what may be a password.
func Redacted(url string) string {
	switch scheme, _, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		return url
	case "clickhouse":
		return clickhouse.Redacted(url)
	}
	return "?"
}

// errScheme does not repeat the URL, which may hold a password.
func errScheme(scheme string) error {
	return fmt.Errorf("no store is named %q; allowed: sqlite:PATH or clickhouse://user:password@host:9000/db", scheme)
}
