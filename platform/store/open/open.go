// Package open opens the store that a URL names.
package open

import (
	"context"
	"fmt"
	"strings"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/clickhouse"
	"github.com/spotserve/spotserve/platform/store/sqlite"
)

// Open opens a store for writing and sets up its tables: sqlite:PATH or
// clickhouse://user:password@host:9000/db.
func Open(ctx context.Context, url string) (store.Writer, error) {
	return openWriter(ctx, url)
}

// OpenPruner opens a store that exists, to remove runs from it.
//
//nolint:revive // open.Pruner would read like a type
func OpenPruner(ctx context.Context, url string) (store.Pruner, error) {
	r, err := OpenReader(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	return openWriter(ctx, url)
}

// writer is what every store has.
type writer interface {
	store.Writer
	store.Pruner
}

func openWriter(ctx context.Context, url string) (writer, error) {
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		w, err := sqlite.Open(ctx, rest)
		if err != nil {
			return nil, err
		}
		return w, nil
	case "clickhouse":
		w, err := clickhouse.Open(ctx, url)
		if err != nil {
			return nil, err
		}
		return w, nil
	default:
		return nil, errScheme(scheme)
	}
}

// OpenReader opens a store that exists for reading, by the same URLs.
//
//nolint:revive // open.Reader would read like a type
func OpenReader(ctx context.Context, url string) (store.Reader, error) {
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		r, err := sqlite.OpenReader(ctx, rest)
		if err != nil {
			return nil, err
		}
		return r, nil
	case "clickhouse":
		r, err := clickhouse.OpenReader(ctx, url)
		if err != nil {
			return nil, err
		}
		return r, nil
	default:
		return nil, errScheme(scheme)
	}
}

// errScheme does not repeat the URL, which may hold a password.
func errScheme(scheme string) error {
	return fmt.Errorf("no store is named %q; allowed: sqlite:PATH or clickhouse://user:password@host:9000/db", scheme)
}
